"""The live log of a thread, as server-sent events."""

import structlog
from aiohttp import web

from api import sse, tail
from api.follow import Hub
from api.handlers import paths
from api.handlers.door import Door
from api.sse import COMMENT, CONNECTED, PIECE, Frame, Outlet
from api.streams import Stream
from shared import stream as logs
from shared.errors import InternalError, ThreadmillError
from shared.models import Thread
from shared.stream import START
from shared.views import Caller

log = structlog.get_logger()

MOST = 1_000  # entries that a stream begins with


class EventStream:
    def __init__(self, door: Door, hub: Hub) -> None:
        self._door = door
        self._hub = hub

    async def follow(self, request: web.Request) -> web.StreamResponse:
        """GET /threads/{threadId}/events/stream"""
        caller = await self._door.tokens.caller(request)
        thread_id, cursor = paths.thread_id(request), paths.stream_cursor(request)
        limit, brief = paths.limit(request, MOST), paths.until_run(request)
        thread = await self._door.read(request, caller, thread_id)
        if cursor is None:
            cursor = await logs.beginning(self._door.postgres, thread.partition, thread.id, limit)
        # Behind the beginning: the last event of a run that is still under way now lies in what is sent.
        until = await logs.current_run(self._door.postgres, thread.partition, thread.id) if brief else None
        response = sse.response(request)
        writer = await response.prepare(request)
        if request.method == "HEAD" or writer is None or request.transport is None:
            return response
        stream = _opened(caller, thread, Outlet(writer, request.transport))
        stream.cursor, stream.until, stream.brief = cursor, until, brief and until is None
        self._hub.follow(stream)
        try:
            await self._feed(stream)
        except ConnectionError as gone:
            log.debug("stream lost", thread=thread.id, error=repr(gone))
        finally:
            self._hub.leave(stream)
        return response

    async def _feed(self, stream: Stream) -> None:
        """Sends until the stream ends. The answer has begun: what fails from here on is told within it."""
        try:
            await stream.outlet.send(CONNECTED)
            while not stream.stopped and await self._go_on(stream):
                pass
        except ThreadmillError as error:
            stream.stop(error)
        except ConnectionError:
            raise
        except Exception:  # whatever it is, the client gets our envelope and the log the reason
            log.exception("stream failed", thread=stream.thread)
            stream.stop(InternalError())
        if stream.error is not None:
            await stream.outlet.send(sse.error(stream.error))

    async def _go_on(self, stream: Stream) -> bool:
        """The next step; False behind the last one."""
        stream.settle()
        if stream.behind or (stream.brief and not stream.caught_up):
            return await self._replay(stream)
        if stream.brief:
            return False
        if frames := stream.take(PIECE):
            return await _send(stream, frames)
        if stream.ended:
            return False
        if stream.take_silence():
            await stream.outlet.send(COMMENT)
            stream.spoke_at = stream.now()
        elif not stream.waiting:
            await stream.wait()
        return True

    async def _replay(self, stream: Stream) -> bool:
        """The next piece of the log, read for this stream alone."""
        events = await tail.replay(stream, self._door.postgres)
        return await _send(stream, [sse.frame(event) for event in events]) if events else True


def _opened(caller: Caller, thread: Thread, outlet: Outlet) -> Stream:
    known = thread.last_event_id or START
    return Stream(thread.partition, thread.id, caller.token, outlet, cursor=START, since=known)


async def _send(stream: Stream, frames: list[Frame]) -> bool:
    """Sends frames in their order; False where one of them is the stream's last."""
    ends = [n for n, frame in enumerate(frames, 1) if frame.ends is not None and frame.ends == stream.until]
    for batch in sse.batches(frames[: ends[0]] if ends else frames):
        if stream.stopped:
            break
        await stream.outlet.send(b"".join([frame.data for frame in batch]))
        stream.cursor, stream.spoke_at = batch[-1].id, stream.now()
    return not ends
