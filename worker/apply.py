"""Apply: a drain takes the waiting batches of some partitions, in order, in one transaction.

lock partitions → read batches, lock their threads → note → load → step → write → commit. What a lock protects is read
by a later statement. Nothing here knows Redis; what is told afterwards is the caller's.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

import asyncpg
import structlog

from shared import ids
from shared.crashpoints import crash, crash_on
from shared.db.connect import BY_INDEX, Line
from shared.db.statements import statements
from shared.events import load
from shared.ids import ThreadId
from shared.logs import Seldom
from shared.metrics import FAILED_DRAINS
from shared.settings import Settings
from shared.tasks import about
from worker import poison
from worker.batch import ALONE, Batch, of_threads, taken_threads
from worker.changes import Changes, news_of, ready_of
from worker.counts import count_runs
from worker.execute.leases import Lease, Starter, lease
from worker.grip import Grip
from worker.load import Want, Where, load_states
from worker.pace import Pace
from worker.plan import Outcome, Plan, settle
from worker.read import Reader
from worker.standby import StandBy
from worker.tracing import UNTRACED, Tracing
from worker.transaction import BOUNDED, transaction
from worker.write import write

log = structlog.get_logger()
warn = Seldom(log)
SQL = statements("drain")
NOTES = statements("poison")

TRIES = 5  # of a whole transaction, on errors that say nothing about its batches
DRAIN = "threadmill drain"  # sessions' names begin with it


@dataclass(frozen=True, slots=True)
class Drained:
    """What one transaction came to.

    `blocked`: batches that no longer wait. `more`: there may be more right now; `left`: in these partitions, where that
    is known.
    """

    outcomes: Sequence[Outcome] = ()
    blocked: Sequence[Batch] = ()
    more: bool = False
    at: datetime | None = None
    changed: Sequence[ThreadId] = ()
    ready: Sequence[Where] = ()  # threads whose run waits for a worker since this drain
    news: Sequence[ThreadId] = ()  # threads whose executing run was interrupted, or offered a message
    left: Collection[int] | None = None


def _name(starter: Starter | None) -> str:
    """Of the session: whose drain it is, for those who look at the locks (`partitions.in_hand`)."""
    return DRAIN if starter is None else f"{DRAIN} {UUID(bytes=ids.to_bytes(starter.owner))}"


@dataclass(slots=True)
class Drainer:
    """Drains partitions on two connections of its own: one for its transaction, one for its note."""

    settings: Settings
    pace: Pace | None = None  # shared with the lane beside it; None: one of its own
    owner: ids.Ulid = field(default_factory=ids.mint)
    tracing: Tracing | None = None
    starter: Starter | None = None  # the executor of this worker: what becomes ready may start with the drain's commit
    _reader: Reader = field(init=False)
    _line: Line = field(init=False)
    _notes: Line = field(init=False)
    _grip: Grip = field(default_factory=Grip)
    _stand_by: StandBy = field(default_factory=StandBy)
    _in_hand: asyncio.Lock = field(default_factory=asyncio.Lock)  # two drains on a connection would be one transaction

    def __post_init__(self) -> None:
        url = self.settings.database_url
        self._reader = Reader(self.owner, self.pace or Pace(self.settings.drain_limit))
        self._line = Line(url, **BY_INDEX, **BOUNDED, application_name=_name(self.starter))
        self._notes = Line(url, **BY_INDEX, synchronous_commit="off", application_name="threadmill note")

    async def drain(self, partitions: Sequence[int], *, wait: bool = True, light: bool = False) -> Drained:
        """One transaction over `partitions`; with `wait` false those that are in hand elsewhere are passed over. With
        `light`, where somebody has little waiting beside somebody who has much, it is for those with little.

        A drain that fails goes on one batch at a time; so does one that finds what a dead owner had in hand.
        Raises what says that Postgres is away (`poison.is_state`), after a few tries.
        """
        async with self._in_hand:
            try:
                return await self._drain(partitions, wait, light)
            except asyncio.CancelledError:
                await self._line.drop()  # its transaction must not be there for the next drain to go on with
                raise

    async def close(self) -> None:
        await self._line.close()
        await self._notes.close()

    async def _drain(self, partitions: Sequence[int], wait: bool, light: bool) -> Drained:
        for attempt in range(1, TRIES + 1):
            seen: list[Batch] = []
            try:
                return await self._once(partitions, wait, light, seen)
            except Exception as error:
                await self._give_up(error)
                if not poison.is_state(error) and seen:
                    FAILED_DRAINS.labels("batch").inc()
                    log.warning(
                        "a drain failed, going on one batch at a time", batches=[b.id for b in seen], error=error
                    )
                    return await self._carefully(seen)
                FAILED_DRAINS.labels("state").inc()
                if attempt == TRIES or not poison.is_passing(error):
                    raise
                warn("a drain is taken again", attempt=attempt, error=error)
                await asyncio.sleep(about(0.01 * attempt, 1.0))
        raise AssertionError("unreachable")

    async def _once(self, partitions: Sequence[int], wait: bool, light: bool, seen: list[Batch]) -> Drained:
        connection = await self._line.get()
        held = await self._grip.begin(connection, partitions, wait=wait)
        crash("worker.after_lock")
        choice, now = await self._reader.read(connection, held, light=light)
        seen += choice.batches
        wary = {batch.thread for batch in choice.batches if batch.suspect or batch.attempts}
        alone = of_threads(choice.batches, wary - taken_threads(choice.batches))
        if alone:  # whole threads: what is not suspect itself must not be overtaken
            await connection.execute("rollback")
            drained = await self._after_a_death(alone)
            more = drained.more or len(alone) < len(choice.batches)
            return replace(drained, more=more, left=None if more else choice.left)
        batches = [batch for batch in choice.batches if batch.thread not in wary]  # those wait for their lock
        if not batches or now is None:
            await connection.execute("rollback")
            return Drained(more=choice.more and not wary, left=choice.left)
        drained = await self._apply(connection, batches, now)
        came = bool(drained.outcomes or drained.blocked)
        left = None if drained.more else choice.left
        return replace(drained, more=(choice.more and came) or drained.more, left=left)

    async def _apply(
        self, connection: asyncpg.Connection, batches: Sequence[Batch], now: datetime, *, alone: bool = False
    ) -> Drained:
        """Notes, loads, steps, writes and commits. The caller holds the locks of partitions and free threads."""
        with UNTRACED if self.tracing is None else self.tracing.drain(batches, alone=alone) as applying:
            crash("worker.after_read")
            await self._note(batches, alone)
            crash("worker.after_note")
            threads: dict[tuple[int, ThreadId], list[Batch]] = defaultdict(list)
            for batch in batches:
                crash_on(batch.events)
                threads[batch.partition, batch.thread].append(batch)
            events = {batch.id: load(batch.events) for batch in batches}
            wants = [
                Want(partition, thread, [event for batch in own for event in events[batch.id]])
                for (partition, thread), own in threads.items()
            ]
            states = await load_states(connection, wants)
            crash("worker.after_load")
            plan, busy = Plan(Changes(states.hooked)), False
            for (_, thread), own in threads.items():
                if own[0].free:
                    settle(plan, own, events, states.get(thread), now)
                else:
                    busy = True
            if applying is not None:
                plan.traces = applying.runs(batches, events, plan.changes)
            await self._commit(connection, plan, now)
            count_runs(plan.changes, plan.statuses)
            if applying is not None:
                applying.end(plan.outcomes)
            more = bool(plan.lifted) or await self._stand_by.wait(busy=busy)
            changes = plan.changes
            news = news_of(changes, plan.statuses)
            return Drained(plan.outcomes, plan.blocked, more, now, list(changes.threads), ready_of(changes), news)

    async def _commit(self, connection: asyncpg.Connection, plan: Plan, now: datetime) -> None:
        """Runs that are ready since this drain start with its commit, as far as this worker has room for them."""
        starter = self.starter
        reserved = 0 if starter is None else starter.reserve(len(plan.ready))
        try:
            leases: list[Lease] = []
            if starter is not None and reserved:
                timeout = self.settings.run_timeout
                leases = await lease(connection, plan.ready[:reserved], plan.changes, starter.owner, timeout, now)
            crash("worker.before_write")
            await self._write(connection, plan, now)
            crash("worker.before_commit")
            await connection.execute("commit")
            crash("worker.after_commit")
            if starter is not None and leases:
                starter.begin(leases)
        finally:
            if starter is not None:
                starter.cancel(reserved)

    async def _note(self, batches: Sequence[Batch], alone: bool) -> None:
        notes = await self._notes.get()
        partitions = sorted({batch.partition for batch in batches})
        await notes.execute(NOTES["note"], self.owner, partitions, [batch.id for batch in batches], alone, timeout=5)

    async def _write(self, connection: asyncpg.Connection, plan: Plan, now: datetime) -> None:
        marks = [(outcome.partition, outcome.batch, outcome.text) for outcome in plan.outcomes]
        await write(connection, plan.changes, plan.statuses, marks, now, self.owner)
        if plan.blocked:
            await connection.execute(SQL["block"], [b.partition for b in plan.blocked], [b.id for b in plan.blocked])
        if plan.traces:
            await connection.execute(SQL["keep_traces"], *zip(*plan.traces, strict=True))
        if plan.lifted:
            await connection.execute(SQL["unblock"], [p for p, _ in plan.lifted], [t for _, t in plan.lifted])

    async def _after_a_death(self, batches: Sequence[Batch]) -> Drained:
        """Threads with a batch that a dead owner had in hand, or that has failed before.

        A batch that an owner died of alone counts that try, and its thread waits; the rest is tried alone.
        """
        killers = {batch.thread: batch for batch in reversed(batches) if batch.suspect == ALONE}
        for batch in killers.values():
            await self._count(batch, "the worker that applied it died", death=True)
        return await self._carefully([batch for batch in batches if batch.thread not in killers])

    async def _carefully(self, batches: Sequence[Batch]) -> Drained:
        """One batch a transaction, in order; one that fails is counted and may become a dead letter."""
        outcomes: list[Outcome] = []
        blocked: list[Batch] = []
        failed: set[ThreadId] = set()
        counted = not batches  # where nothing comes of it, a look at once would find the same
        for batch in sorted(batches, key=lambda batch: batch.id):
            if batch.thread in failed:
                continue
            try:
                drained = await self._alone(batch)
            except Exception as error:
                await self._give_up(error)
                if poison.is_state(error):
                    if outcomes:  # these are committed: they are told before the next drain meets the error
                        break
                    raise
                failed.add(batch.thread)
                counted = True
                await self._count(batch, error)
                continue
            if not drained.outcomes:  # somebody has the thread: what is behind must not overtake
                failed.add(batch.thread)
            outcomes += drained.outcomes
            blocked += drained.blocked
        return Drained(outcomes, blocked, more=counted or bool(outcomes or blocked))

    async def _alone(self, batch: Batch) -> Drained:
        connection = await self._line.get()
        held = await self._grip.begin(connection, [batch.partition], wait=True)
        row = await connection.fetchrow(SQL["read_one"], batch.partition, batch.id) if held else None
        if row is None:
            await connection.execute("rollback")
            return Drained()
        return await self._apply(connection, [batch._replace(free=row["free"])], row["now"], alone=True)

    async def _count(self, batch: Batch, error: Exception | str, *, death: bool = False) -> None:
        connection = await self._line.get()
        async with transaction(connection):
            await connection.execute(SQL["lock"], [batch.partition])
            if death and not await connection.fetch(NOTES["claim_death"], self.owner, batch.partition, batch.id):
                return  # another drain has counted it
            parked = await poison.count(connection, batch, error, self.settings.on_poison)
            await connection.execute(NOTES["clear_note"], self.owner, [batch.id])
            crash("worker.after_count")
        if parked:
            crash("worker.after_park")

    async def _give_up(self, error: Exception) -> None:
        """Rolls back. The note of a drain that met the database's state goes first: its batches are not suspect."""
        if poison.is_state(error):
            try:
                await (await self._notes.get()).execute(NOTES["drop_note"], self.owner, timeout=1)
            except Exception as lost:
                log.debug("note not dropped", error=repr(lost))
                await self._notes.drop()
        try:
            connection = await self._line.get()
            # After a time-out it is asked in any case: a connection that hangs would cost the next try as long again.
            if connection.is_in_transaction() or isinstance(error, TimeoutError):
                await connection.execute("rollback", timeout=1)
        except Exception as lost:
            log.debug("connection dropped", error=repr(lost))
            await self._line.drop()
