"""One run of the OpenAI dialect as a stream: what it logs from its batch on, until it is over or asks.

A client that goes away does not stop the run. Messages are spelt as they come, and read whole when they are over, so
that a stream keeps none of their text.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import structlog
from aiohttp import web

from api import edge, sse
from api.dialects.openai import encode
from api.dialects.openai import stream as spelling
from api.follow import Hub
from api.handlers.door import Door
from api.postgres import Postgres
from api.sse import COMMENT, PIECE, Outlet
from api.streams import Stream
from api.submission import Applied, Pending
from shared import ids, messages, runs
from shared import stream as logs
from shared.effects import EventLogged
from shared.errors import InternalError, NotFound, ServiceInactive, ThreadmillError
from shared.ids import AgentId, EventId, MessageId, ThreadId
from shared.models import RunStatus
from shared.views import Caller, RunRecord

log = structlog.get_logger()

_ROWS, _SIZE = 5_000, 128 << 10  # of one read of the log, as in the native stream
_TRY_LATER = "The stream ends here, the run does not: ask for it."


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run is, and who executes it."""

    partition: int
    thread: ThreadId
    agent: AgentId | None


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
        answer: Applied | Pending,
        made: encode.Document | None = None,
    ) -> web.StreamResponse:
        """Tells of the run what it logs behind the batch of `answer`; `made`: its thread, where that is new."""
        response = sse.response(request)
        writer = await response.prepare(request)
        if writer is None or request.transport is None:
            return response
        outlet = Outlet(writer, request.transport)
        telling = Telling(self._door.postgres, place, record)
        try:
            await outlet.send(telling.beginning(made))
            if isinstance(answer, Pending):
                await outlet.send(spelling.error(ServiceInactive(_TRY_LATER), request[edge.ID]))
            elif not telling.over:
                await self._feed(request, _opened(caller, place, answer, outlet), telling)
        except ConnectionError as gone:
            log.debug("stream lost", thread=place.thread, error=repr(gone))
        return response

    async def _feed(self, request: web.Request, stream: Stream, telling: "Telling") -> None:
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

    async def _send(self, stream: Stream, telling: "Telling") -> None:
        async for piece in _pieces(stream, self._door.postgres):
            said = [await telling.tell(event) for event in piece] if piece else [COMMENT]
            if data := b"".join(said):
                await stream.outlet.send(data)
                stream.spoke_at = stream.now()
            if telling.over:
                return


@dataclass(slots=True)
class Telling:
    """What a client has been told of a run."""

    postgres: Postgres
    place: Place
    record: RunRecord  # as it was right after the batch: queued, or asking still
    over: bool = False  # nothing comes any more
    _message: MessageId | None = None  # that is being said
    _working: bool = False  # whether it was told that the run is in progress

    def beginning(self, made: encode.Document | None) -> bytes:
        """The first events: of a run that was just made, or of one that goes on."""
        document = self._document(self.record)
        fresh = self.record.run.started_at is None
        said = [spelling.event("thread.created", made)] if made is not None else []
        said += [spelling.event("thread.run.created", document)] if fresh else []
        said += [spelling.run(document)]
        return self._ending(said) if self.record.requests else b"".join(said)

    async def tell(self, event: EventLogged) -> bytes:
        """What one event of the thread's log says of the run; nothing where it is another's, or behind the end."""
        if event.run != self.record.run.id or self.over:
            return b""
        match event.type:
            case "run.completed" | "run.failed":
                return await self._end()
            case "tool.confirmation.required":
                return await self._ask()
            case "agent.message.delta" if event.message is not None:
                return self._begin_work(event) + await self._say(event, MessageId(event.message))
            case _:
                return self._begin_work(event)

    def _begin_work(self, event: EventLogged) -> bytes:
        """A worker has the run: the log says so once, and nothing where it goes on behind a permission."""
        if self._working:
            return b""
        self._working = True
        run = self.record.run
        working = run._replace(status=RunStatus.RUNNING, started_at=run.started_at or event.occurred_at)
        return spelling.run(self._document(RunRecord(working, None)))

    async def _say(self, event: EventLogged, message: MessageId) -> bytes:
        said = b""
        if message != self._message:
            at, place = encode.seconds(event.occurred_at), self.place
            said = await self._end_message()
            said += spelling.begun(message, place.thread, self.record.run.id, place.agent, at or 0)
            self._message = message
        return said + spelling.delta(message, event.content or "")

    async def _end_message(self) -> bytes:
        """The message that was being said, whole; nothing where it was removed meanwhile."""
        message, self._message = self._message, None
        if message is None:
            return b""
        found = await messages.one(self.postgres, self.place.partition, self.place.thread, message)
        if found is None:
            return b""
        return spelling.ended(encode.message(found, self.place.thread, self.place.agent))

    async def _ask(self) -> bytes:
        """All that a run asks for at once is logged at once; where it is decided already the run goes on."""
        record = await self._current()
        if not record.requests:
            return b""
        return self._ending([await self._end_message(), spelling.run(self._document(record))])

    async def _end(self) -> bytes:
        return self._ending([await self._end_message(), spelling.run(self._document(await self._current()))])

    def _ending(self, said: Sequence[bytes]) -> bytes:
        self.over = True
        return b"".join((*said, spelling.DONE))

    async def _current(self) -> RunRecord:
        found = await runs.one(self.postgres, self.place.partition, self.place.thread, self.record.run.id)
        if found is None:
            raise NotFound("The thread was deleted.")
        return found

    def _document(self, record: RunRecord) -> encode.Document:
        return encode.run(record, self.place.thread, self.place.agent)


def _opened(caller: Caller, place: Place, answer: Applied, outlet: Outlet) -> Stream:
    """A stream from the moment when the batch was accepted; it begins by reading the log."""
    cursor = EventId(ids.earliest(answer.accepted_at))
    since = EventId(ids.successor(cursor))
    return Stream(place.partition, place.thread, caller.token, outlet, cursor=cursor, since=since)


async def _pieces(stream: Stream, postgres: Postgres) -> AsyncIterator[Sequence[EventLogged]]:
    """What the thread logs, in order, until the stream is ended; an empty piece where it is time for a comment."""
    while not stream.stopped:
        stream.settle()
        if stream.behind:
            if piece := await _replay(stream, postgres):
                yield piece
                stream.cursor = piece[-1].id
        elif frames := stream.take(PIECE):
            yield [frame.event for frame in frames]
            stream.cursor = frames[-1].id
        elif stream.ended:
            return
        elif stream.take_silence():
            yield ()
        else:
            await stream.wait()


async def _replay(stream: Stream, postgres: Postgres) -> Sequence[EventLogged]:
    """The next piece of the log, read for this stream alone."""
    place = logs.Place(stream.partition, stream.thread, stream.cursor)
    piece = (await logs.behind(postgres, [place], _ROWS, _SIZE)).get(stream.thread)
    if piece is not None and piece.events:
        return list(logs.folded(piece.events))
    if piece is not None and piece.deleted:
        raise NotFound("The thread was deleted.")
    stream.catch_up()
    return ()
