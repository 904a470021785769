"""One run of the OpenAI dialect as a stream: what it logs from its batch on, until it is over or asks.

A client that goes away does not stop the run. Refused here: spelling any of it (`Telling` does).
"""

from contextlib import aclosing

import structlog
from aiohttp import web

from api import edge, sse, tail
from api.dialects.openai import encode
from api.dialects.openai import stream as spelling
from api.follow import Hub
from api.handlers.door import Door
from api.handlers.openai_telling import Place, Telling
from api.handlers.openai_writes import Told
from api.sse import COMMENT, Outlet
from api.streams import Stream
from shared import ids
from shared.errors import InternalError, ServiceInactive, ThreadmillError
from shared.ids import EventId
from shared.views import Caller, RunRecord

log = structlog.get_logger()

_TRY_LATER = "The stream ends here, the run does not: ask for it."


class RunStreams:
    def __init__(self, door: Door, hub: Hub) -> None:
        self._door = door
        self._hub = hub

    async def follow(
        self,
        request: web.Request,
        caller: Caller,
        place: Place,
        record: RunRecord,
        told: Told,
        made: encode.Document | None = None,
    ) -> web.StreamResponse:
        """Tells of the run what it logs behind the batch of `told`, a replay all of it again; `made`: its thread, where
        that is new.
        """
        response = sse.response(request)
        response.headers.update(told.headers or {})
        writer = await response.prepare(request)
        if writer is None or request.transport is None:
            return response
        outlet = Outlet(writer, request.transport)
        telling = Telling(self._door.postgres, place, record)
        try:
            await outlet.send(telling.beginning(made))
            if told.outcome is None:
                await outlet.send(spelling.error(ServiceInactive(_TRY_LATER), request[edge.ID]))
            elif not telling.over:
                await self._feed(request, _opened(caller, place, told, outlet), telling)
        except ConnectionError as gone:
            log.debug("stream lost", thread=place.thread, error=repr(gone))
        return response

    async def _feed(self, request: web.Request, stream: Stream, telling: Telling) -> None:
        """Sends until the run is over or asks. The answer has begun: what fails is told within it."""
        self._hub.follow(stream)
        try:
            await self._send(stream, telling)
        except ThreadmillError as error:
            stream.stop(error)
        except ConnectionError:
            raise
        except Exception:  # whatever it is, the client gets our envelope and the log the reason
            log.exception("stream failed", thread=stream.thread)
            stream.stop(InternalError())
        finally:
            self._hub.leave(stream)
        if not telling.over:
            await stream.outlet.send(spelling.error(stream.error or ServiceInactive(_TRY_LATER), request[edge.ID]))

    async def _send(self, stream: Stream, telling: Telling) -> None:
        async with aclosing(tail.pieces(stream, self._door.postgres)) as pieces:
            async for piece in pieces:
                said = [await telling.tell(event) for event in piece] if piece else [COMMENT]
                if data := b"".join(said):
                    await stream.outlet.send(data)
                if telling.over:
                    return


def _opened(caller: Caller, place: Place, told: Told, outlet: Outlet) -> Stream:
    """A stream from the moment when the batch was accepted; it begins by reading the log."""
    cursor = EventId(ids.earliest(told.accepted_at))
    since = EventId(ids.successor(cursor))
    return Stream(place.partition, place.thread, caller.token, outlet, cursor=cursor, since=since)
