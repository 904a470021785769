"""What a client is told of a run, event by event of its thread's log, in OpenAI's words.

Messages are spelt as they come, and read whole when they are over, so that a stream keeps none of their text. Refused
here: waiting, and sending.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from api.dialects.openai import encode
from api.dialects.openai import stream as spelling
from api.postgres import Postgres
from shared import messages, runs
from shared.effects import EventLogged
from shared.errors import NotFound
from shared.ids import AgentId, MessageId, ThreadId
from shared.models import RunStatus
from shared.views import RunRecord


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run is, and who executes it."""

    partition: int
    thread: ThreadId
    agent: AgentId | None


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
        return spelling.run(self._document(RunRecord(working, None, metadata=self.record.metadata)))

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
