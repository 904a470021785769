"""What every handler needs, and the steps that all of them begin with, in the order of their checks."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from aiohttp import web

from api import negotiation
from api.agents import Agents
from api.auth import Tokens
from api.body import read_json
from api.gate import BACKLOG, Gate
from api.inbox import Inbox
from api.postgres import Postgres
from api.room import Stay
from api.submission import (
    Answer,
    Applied,
    Archived,
    Attachment,
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
    Unattachable,
)
from shared import events, ids, logs, reads
from shared.errors import (
    BacklogFull,
    Forbidden,
    IdempotencyConflict,
    InvalidRequest,
    NotFound,
    RateLimited,
    ReadinessBlocked,
)
from shared.events import Event
from shared.ids import BatchRef, ThreadId
from shared.limits import Limits
from shared.models import Thread, TokenKind
from shared.settings import Settings
from shared.tasks import about
from shared.views import Caller

PAUSE = 0.1  # seconds before a refusal by a limit is told: who asks again at once must not keep the loop from others
_TRY_AGAIN = 2  # seconds; an outcome takes milliseconds, and longer only where something is wrong


@dataclass(frozen=True, slots=True)
class Door:
    settings: Settings
    inbox: Inbox
    postgres: Postgres
    tokens: Tokens
    agents: Agents
    gate: Gate

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

    async def admit(
        self, request: web.Request, caller: Caller, key: Idempotency | None = None
    ) -> Applied | Pending | None:
        """Takes a unit of the caller's budget, where it has one: once a request, behind its path, its body and its key,
        before its thread. A replay wins: where nothing is left, the answer that `key` stands for is returned.

        Raises RateLimited, IdempotencyConflict, ServiceInactive.
        """
        if caller.limits is None:
            return None
        try:
            await self.gate.take(request, caller, caller.limits)
        except RateLimited as error:
            return await self._known(caller, key, error)
        return None

    async def _known(self, caller: Caller, key: Idempotency | None, refusal: RateLimited) -> Applied | Pending:
        """What the key stands for, where it was used before. Raises the refusal, IdempotencyConflict."""
        known = None if key is None else await self.inbox.recall(caller.token, key)
        if known is None:
            self.gate.refused(refusal.limit, caller)
            await asyncio.sleep(about(PAUSE, 0.5))
            raise refusal
        return taken(known)

    async def read(self, request: web.Request, caller: Caller, thread: ThreadId) -> Thread:
        """The thread of a request that only reads. Raises RateLimited, NotFound."""
        await self.admit(request, caller)
        return await self.thread(caller, thread)

    async def thread(self, caller: Caller, thread: ThreadId) -> Thread:
        """The caller's thread. Raises NotFound."""
        logs.about(thread=thread)
        partition = await self.postgres.partition_of(thread)
        found = await reads.thread(self.postgres, partition, thread, caller.account)
        if found is None:
            raise NotFound
        return found

    async def change(
        self,
        request: web.Request,
        caller: Caller,
        thread: ThreadId,
        event: Event,
        wait: float,
        passes: Passes = Passes.NOTHING,
    ) -> Applied | Pending:
        """One event as a batch of its own, in the thread's order. Raises what `submit` raises."""
        return await self.submit(request, caller, thread, (event,), wait, passes=passes)

    async def submit(
        self,
        request: web.Request,
        caller: Caller,
        thread: ThreadId,
        batch: Sequence[Event],
        wait: float,
        *,
        new: NewThread | None = None,
        idempotency: Idempotency | None = None,
        passes: Passes = Passes.NOTHING,
        admitted: bool = False,
        files: Sequence[Attachment] = (),
    ) -> Applied | Pending:
        """A batch, in the thread's order; with `new` it makes the thread. `admitted`: the request has its unit already.

        Raises what `taken` raises, and Forbidden, RateLimited, ServiceInactive.
        """
        logs.about(thread=thread)
        if files and caller.kind is TokenKind.SERVICE_TOKEN:
            raise Forbidden("A service token can't attach files.")
        stay: Stay | None = None
        if caller.limits is not None:
            entered = await self._enter(request, caller, caller.limits, idempotency, admitted)
            if isinstance(entered, Applied | Pending):
                return entered
            stay = entered
        answer: Answer | None = None
        try:
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
                files=tuple(files),
            )
            answer = await self.inbox.submit(submission, wait, None if stay is None else stay.commit)
        except BacklogFull:
            self.gate.refused(BACKLOG, caller)
            if stay is not None:
                stay.leave()
            raise
        finally:
            if stay is not None:
                _end(stay, answer)
        if caller.limits is not None and _was_known(answer):
            self.gate.give_back(caller, caller.limits)
        return taken(answer)

    async def _enter(
        self, request: web.Request, caller: Caller, limits: Limits, key: Idempotency | None, admitted: bool
    ) -> Applied | Pending | Stay | None:
        """Lets a batch in, or returns what its key stands for where it is one too many."""
        known = None if admitted else await self.admit(request, caller, key)
        if known is not None:
            return known
        try:
            return await self.gate.enter(caller, limits)
        except RateLimited as refusal:
            try:
                known = await self._known(caller, key, refusal)
            except IdempotencyConflict:  # a request with its key came before
                self.gate.give_back(caller, limits)
                raise
            self.gate.give_back(caller, limits)
            return known


def _end(stay: Stay, answer: Answer | None) -> None:
    """Pending is in flight; so may be what got no answer: its connection broke, or its client is gone."""
    if answer is None or isinstance(answer, Pending):
        stay.commit()
    else:
        stay.leave()


def _was_known(answer: Answer) -> bool:
    """Whether a request with its key came before: it uses no budget."""
    return (isinstance(answer, Applied) and answer.replayed) or isinstance(answer, Mismatch | InFlight | Parked)


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
        case Unattachable(reasons):
            raise InvalidRequest(" ".join(reasons))
        case _:
            assert_never(answer)
