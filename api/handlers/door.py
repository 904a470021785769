"""What every handler needs, and the steps that all of them begin with, in the order of their checks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from aiohttp import web

from api import negotiation
from api.agents import Agents
from api.auth import Tokens
from api.body import read_json
from api.inbox import Inbox
from api.postgres import Postgres
from api.submission import (
    Answer,
    Applied,
    Archived,
    Held,
    Idempotency,
    InFlight,
    Mismatch,
    Missing,
    NewThread,
    Parked,
    Passes,
    Pending,
    Submission,
)
from shared import events, ids, logs, reads
from shared.errors import IdempotencyConflict, NotFound, ReadinessBlocked
from shared.events import Event
from shared.ids import BatchRef, ThreadId
from shared.models import Thread
from shared.settings import Settings
from shared.views import Caller

_TRY_AGAIN = 2  # seconds; an outcome takes milliseconds, and longer only where something is wrong


@dataclass(frozen=True, slots=True)
class Door:
    settings: Settings
    inbox: Inbox
    postgres: Postgres
    tokens: Tokens
    agents: Agents

    async def body(self, request: web.Request, empty: Any = None) -> Any:
        """The request's JSON; `empty` where it has none and that is taken. Raises TooLarge, UnsupportedMediaType,
        InvalidJson, InvalidRequest.
        """
        return await read_json(request, self.settings.body_limit, self.settings.body_timeout, empty)

    def wait(self, request: web.Request) -> float:
        """Seconds that the client wants to wait for the outcome."""
        return negotiation.wait(request.headers, self.settings.wait_default, self.settings.wait_limit)

    def patience(self, request: web.Request) -> float:
        """The same where the dialect can't say that an outcome is pending: all that may be asked for."""
        return negotiation.wait(request.headers, self.settings.wait_limit, self.settings.wait_limit)

    async def thread(self, caller: Caller, thread: ThreadId) -> Thread:
        """The caller's thread. Raises NotFound."""
        logs.about(thread=thread, account=caller.account)
        partition = await self.postgres.partition_of(thread)
        found = await reads.thread(self.postgres, partition, thread, caller.account)
        if found is None:
            raise NotFound
        return found

    async def change(
        self, caller: Caller, thread: ThreadId, event: Event, wait: float, passes: Passes = Passes.NOTHING
    ) -> Applied | Pending:
        """One event as a batch of its own, in the thread's order. Raises what `taken` raises."""
        return await self.submit(caller, thread, (event,), wait, passes=passes)

    async def submit(
        self,
        caller: Caller,
        thread: ThreadId,
        batch: Sequence[Event],
        wait: float,
        *,
        new: NewThread | None = None,
        idempotency: Idempotency | None = None,
        passes: Passes = Passes.NOTHING,
    ) -> Applied | Pending:
        """A batch, in the thread's order; with `new` it makes the thread. Raises what `taken` raises."""
        logs.about(thread=thread, account=caller.account)
        submission = Submission(
            ref=BatchRef(ids.mint()),
            partition=await self.postgres.partition_of(thread),
            thread=thread,
            account=caller.account,
            token=caller.token,
            events=events.dump(batch),
            new=new,
            idempotency=idempotency,
            passes=passes,
            reply=wait > 0,
        )
        return taken(await self.inbox.submit(submission, wait))


def taken(answer: Answer) -> Applied | Pending:
    """What was accepted. Raises the error of what was not."""
    match answer:
        case Applied() | Pending():
            return answer
        case Mismatch():
            raise IdempotencyConflict
        case InFlight():
            raise IdempotencyConflict(
                "The original request of this Idempotency-Key is still under way.", retry_after=_TRY_AGAIN
            )
        case Parked():
            raise IdempotencyConflict(
                "The original request of this Idempotency-Key is parked as a dead letter: an operator must settle it."
            )
        case Missing():
            raise NotFound
        case Archived():
            raise ReadinessBlocked("The thread is archived.")
        case Held():
            raise ReadinessBlocked("The thread is held: an operator must settle its dead letter, or release it.")
        case _:
            assert_never(answer)
