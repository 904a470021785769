"""The way in: accept a batch, ring for it, wait for its outcome.

Refused here: knowing any dialect. What a request means was settled before; how an answer reads comes after.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import asyncpg

from api import broken, verdicts
from api.backlog import Backlog
from api.bell import TIMEOUT, Bell
from api.confirmation import Confirmation
from api.flush import SQL, Flusher
from api.outcomes import LISTEN_TIMEOUT, Outcomes
from api.postgres import Postgres
from api.submission import (
    Answer,
    Applied,
    Committed,
    Fresh,
    Idempotency,
    InFlight,
    Mismatch,
    Parked,
    Pending,
    Replay,
    Submission,
    Verdict,
)
from api.tracing import Accept, Tracing
from shared import ids, logs
from shared.crashpoints import crash
from shared.db.records import thread_view_of
from shared.errors import InternalError, ReadinessBlocked, ServiceInactive
from shared.ids import TokenId, Ulid
from shared.keys import Keys
from shared.queue import Queue, open_redis
from shared.settings import Settings
from shared.tasks import end, stop_process
from shared.views import ThreadView


@dataclass(slots=True)
class Inbox:
    settings: Settings
    pool: asyncpg.Pool
    tracing: Tracing | None = None
    name: Ulid = field(default_factory=ids.mint)
    _flusher: Flusher = field(init=False)
    _claiming: Flusher = field(init=False)  # of batches with files: nobody else is to wait for their locks
    _accept: Accept = field(init=False)
    _bell: Bell = field(init=False)
    _outcomes: Outcomes = field(init=False)
    _backlog: Backlog = field(init=False)
    _reads: Postgres = field(init=False)
    _confirmation: Confirmation = field(init=False)  # of what they find
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        settings, keys = self.settings, Keys(self.settings.redis_prefix)
        self._reads, self._confirmation = Postgres(self.pool), Confirmation(settings.database_url)
        queue = Queue(open_redis(settings.redis_url, TIMEOUT), keys)
        self._bell = Bell(queue)
        self._backlog = Backlog(queue, settings.database_url, settings.backlog_limit)
        self._outcomes = Outcomes(
            settings.database_url,
            open_redis(settings.redis_url, 5 * LISTEN_TIMEOUT),
            keys.outcomes(self.name),
        )
        self._flusher, self._claiming = (
            Flusher(settings.database_url, self.name, settings.flush_limit, self._accepted, self.tracing)
            for _ in range(2)
        )
        take = broken.take(self._take, settings)
        self._accept = take if self.tracing is None else self.tracing.accept(take)

    async def start(self) -> None:
        """Starts the loops: flush, ring, listen, tick, look. Neither Postgres nor Redis need be there."""
        flushes = (self._flusher.run, self._claiming.run)
        loops = (*flushes, self._bell.run, self._outcomes.listen, self._outcomes.tick, self._backlog.run)
        self._tasks = [asyncio.create_task(loop(), name=loop.__qualname__) for loop in loops]
        for task in self._tasks:
            task.add_done_callback(stop_process)

    def hurry(self) -> None:
        """Answers who waits with what is known: the process is about to end."""
        self._outcomes.hurry()

    async def close(self) -> None:
        """Ends the loops. Call it when no handler is under way any more."""
        await end(self._tasks)
        await self._flusher.close()
        await self._claiming.close()
        await self._confirmation.close()
        await self._backlog.close()
        await self._outcomes.close()
        await self._outcomes.redis.aclose()
        await self._bell.queue.close()

    async def submit(
        self,
        submission: Submission,
        wait: float,
        committed: Callable[[], None] | None = None,
        *,
        over_limit: bool = False,
    ) -> Answer:
        """Accepts, rings, and waits at most `wait` seconds for the outcome (0: not at all). `committed` is called once
        the batch is. `over_limit`: however much waits.

        `submission.reply` must be `wait > 0`. Raises ServiceInactive where Postgres is away, or too much waits.
        """
        if self._backlog.full and not over_limit:
            return await self._refuse(submission)
        if not submission.reply:
            return await self._answer(submission, await self._commit(submission, committed), None)
        waiter = self._outcomes.expect(submission.ref, submission.partition, wait)
        try:
            verdict = await self._commit(submission, committed)
            outcome = await waiter.outcome if isinstance(verdict, Fresh) else None
        finally:
            self._outcomes.forget(waiter)
        crash("api.after_outcome")
        return await self._answer(submission, verdict, outcome)

    async def _take(self, submission: Submission) -> Verdict:
        return await (self._claiming if submission.files else self._flusher).accept(submission)

    async def _commit(self, submission: Submission, committed: Callable[[], None] | None) -> Verdict:
        verdict = await self._accept(submission)
        if committed is not None and isinstance(verdict, Fresh):
            committed()
        return verdict

    async def wait_on(self, pending: Pending, wait: float) -> Applied | Pending:
        """The outcome of a batch that was accepted before, if it comes within `wait` seconds; to be repeated at will.

        Raises ReadinessBlocked where it takes an operator, ServiceInactive where Postgres is away or the process ends.
        """
        ref, partition, batch = pending.committed
        waiter = self._outcomes.expect(ref, partition, wait, batch)
        try:
            outcome = await waiter.outcome
        finally:
            self._outcomes.forget(waiter)
        if outcome is not None:
            return Applied(pending.accepted_at, outcome, replayed=False)
        if self._outcomes.hurried:
            raise ServiceInactive(
                "This process ends; the request is accepted and will be applied: look into the thread."
            )
        if await self._reads.fetchrow(SQL["blocked"], partition, batch):
            raise ReadinessBlocked("The thread is held: the request is accepted, and waits for an operator.")
        return pending

    async def recall(self, token: TokenId, idempotency: Idempotency) -> Applied | Mismatch | InFlight | Parked | None:
        """What the key stands for, where it was used before; nothing is accepted. Raises ServiceInactive, also where it
        can be read and a standby may lack it.
        """
        key = idempotency
        row = await self._reads.fetchrow(SQL["judge"], [token], [key.key], [key.route], [key.digest])
        if row is None:
            return None
        await self._confirmation.confirm()
        verdict = verdicts.judged(row)
        return _replayed(verdict) if isinstance(verdict, Replay) else verdict

    async def _refuse(self, submission: Submission) -> Answer:
        """Over the limit of the backlog only what was accepted before is answered."""
        if submission.idempotency is not None:
            known = await self.recall(submission.token, submission.idempotency)
            if known is not None:
                return known
        raise self._backlog.refusal()

    def _accepted(self, fresh: Sequence[tuple[Submission, Fresh]]) -> None:
        self._outcomes.commit(fresh)
        if self.settings.ring:
            self._bell.add(fresh)

    async def _answer(self, submission: Submission, verdict: Verdict, outcome: str | None) -> Answer:
        match verdict:
            case Fresh(batch, accepted_at) if outcome is not None:
                logs.about(batch=batch)
                return Applied(accepted_at, outcome, replayed=False)
            case Fresh(batch, accepted_at, thread):
                logs.about(batch=batch)
                committed = Committed(submission.ref, submission.partition, batch)
                return Pending(accepted_at, thread or await self._read(submission), committed)
            case Replay():
                return _replayed(verdict)
            case _:
                return verdict

    async def _read(self, submission: Submission) -> ThreadView:
        row = await self._reads.fetchrow(SQL["thread"], submission.partition, submission.thread)
        if row is None:
            raise InternalError
        return thread_view_of(row)


def _replayed(verdict: Replay) -> Applied:
    return Applied(verdict.accepted_at, verdict.outcome, True, verdict.basis)
