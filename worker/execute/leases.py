"""Leases: a worker takes the current runs of threads, and gives them back.

A lease is a row with an epoch that nobody had before; whatever is written for a run names it, so that a worker whose
lease was taken by another one can't write any more. The caller locks nothing; it hands in a `BOUNDED` connection.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeAlias

import asyncpg

from shared import ids
from shared.crashpoints import crash
from shared.db.statements import statements
from shared.effects import Effect
from shared.ids import AccountId, EventId, RunId, ThreadId, Ulid
from shared.lifecycle import State, step
from shared.models import RunStatus
from shared.reports import RunLeased, RunnerEvent, RunResumed, RunStarted
from worker.changes import Changes
from worker.counts import count_runs
from worker.load import Want, Where, load_states
from worker.transaction import transaction
from worker.write import write

SQL = statements("execute")

LIFE = 6.0  # seconds of a lease; three heartbeats


Key: TypeAlias = tuple[ThreadId, int]  # a thread and an epoch: two leases of a thread may end beside each other


@dataclass(frozen=True, slots=True)
class Lease:
    where: Where
    run: RunId
    epoch: int
    deadline: datetime  # of Postgres' clock
    taken_at: datetime  # of the same clock
    ahead: timedelta  # how far that clock is ahead of this machine's
    fresh: bool = True  # nobody had its run before

    @property
    def key(self) -> Key:
        """No other lease has it."""
        return self.where[1], self.epoch

    @property
    def left(self) -> float:
        """Seconds that the run has."""
        return (self.deadline - self._now()).total_seconds()

    @property
    def age(self) -> float:
        """Seconds since it was taken."""
        return (self._now() - self.taken_at).total_seconds()

    def _now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class Starter(Protocol):
    """Whoever executes runs beside the drains."""

    owner: Ulid

    def reserve(self, wanted: int) -> int:
        """Room for so many runs, or fewer; `begin` them or `cancel` it."""

    def cancel(self, reserved: int) -> None: ...

    def begin(self, leases: Sequence[Lease]) -> None:
        """Drives runs whose leases are committed."""


async def lock_free(connection: asyncpg.Connection, where: Sequence[Where]) -> tuple[list[Where], datetime | None]:
    """Locks the threads that nobody else has; returns them, and Postgres' time."""
    rows = await connection.fetch(SQL["lock_free"], *_columns(where))
    partitions = {thread: partition for partition, thread in where}
    return [(partitions[row["id"]], row["id"]) for row in rows], rows[0]["now"] if rows else None


async def still_waiting(connection: asyncpg.Connection, where: Sequence[Where]) -> dict[ThreadId, AccountId]:
    """Those of these threads whose current run waits for a worker, and whose they are."""
    return {row["id"]: row["account"] for row in await connection.fetch(SQL["waiting"], *_columns(where))}


async def take(
    connection: asyncpg.Connection, wanted: Sequence[Where], owner: Ulid, run_timeout: float
) -> tuple[list[Lease], list[ThreadId]]:
    """Leases the current runs of these threads that wait for a worker, and starts them. Threads that somebody else has
    locked, or leased, are left out; the locked ones are named, because they may be free in a moment.
    """
    async with transaction(connection):
        free, now = await lock_free(connection, wanted)
        locked = sorted({thread for _, thread in wanted} - {thread for _, thread in free})
        if now is None:
            return [], locked
        states = await load_states(connection, [Want(*where, ()) for where in free])
        changes = Changes(states.hooked)
        leases = await lease(connection, states.values(), changes, owner, run_timeout, now)
        statuses = {run.id: run.status for state in states.values() for run in state.queue}
        if leases:
            await write(connection, changes, statuses, (), now)
            crash("worker.before_lease")
    count_runs(changes, statuses)
    return leases, locked


async def lease(
    connection: asyncpg.Connection,
    states: Iterable[State],
    changes: Changes,
    owner: Ulid,
    run_timeout: float,
    now: datetime,
) -> list[Lease]:
    """Leases and starts those of the current runs that wait for a worker; adds to `changes` what that comes to. The
    caller has locked the threads.
    """
    started = [(state, taken) for state in states if (taken := _started(state, now)) is not None]
    if not started:
        return []
    asked = sorted((state.thread.partition, state.thread.id, state.queue[0].id) for state, _ in started)
    rows = await connection.fetch(SQL["lease"], *zip(*asked, strict=True), owner, LIFE, run_timeout)
    fresh = {state.thread.id for state, _ in started if state.queue[0].status is RunStatus.QUEUED}
    leases = {one.where[1]: one for one in read(rows, fresh)}
    for state, (after, effects) in started:
        if state.thread.id in leases:
            changes.change(state.thread, after.thread)
            changes.add((state.thread.partition, state.thread.id), effects)
    return list(leases.values())


def _started(state: State, now: datetime) -> tuple[State, list[Effect]] | None:
    """The thread with its current run at work; None where that is not to be taken."""
    if state.thread.ready_at is None or not state.queue:
        return None
    run = state.queue[0]
    waits = run.status is RunStatus.WAITING_INPUT
    events: tuple[RunnerEvent, ...] = (RunLeased(run.id), RunResumed(run.id) if waits else RunStarted(run.id))
    fresh = EventId(ids.at(now))
    effects: list[Effect] = []
    for event in events:
        taken = step(state, event, now, fresh)
        state = taken.state
        effects += taken.effects
    return (state, effects) if state.queue[0].status is RunStatus.RUNNING else None


def read(rows: Sequence[asyncpg.Record], fresh: Collection[ThreadId] = ()) -> list[Lease]:
    """Rows of leases that were read just now."""
    read_at = datetime.now(UTC)
    return [
        Lease(
            where=(row["partition"], row["thread"]),
            run=row["run"],
            epoch=row["epoch"],
            deadline=row["deadline"],
            taken_at=row["taken_at"],
            ahead=row["now"] - read_at,
            fresh=row["thread"] in fresh,
        )
        for row in rows
    ]


async def let_go(connection: asyncpg.Connection, leases: Sequence[Lease]) -> list[Where]:
    """Ends leases whose runs are over already; returns the threads whose next run may begin."""
    columns = zip(*((*lease.where, lease.epoch) for lease in leases), strict=True)
    crash("worker.before_let_go")
    rows = await connection.fetch(SQL["let_go"], *columns)
    crash("worker.after_let_go")
    return [(row["partition"], row["id"]) for row in rows]


def _columns(where: Sequence[Where]) -> tuple[list[int], list[ThreadId]]:
    return [partition for partition, _ in where], [thread for _, thread in where]
