"""Append: what runners yielded is written by one writer a process, for all of its runs at once.

What comes while an append is under way goes with the next one. lock free threads → leases still held? → load → step →
write → commit: the same core and the same statement as a drain's. A run whose lease was taken, or that has ended
meanwhile, writes nothing any more; a thread that somebody else has locked has its turn a moment later.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import NamedTuple, Protocol

import asyncpg
import structlog

from shared import ids
from shared.crashpoints import any_armed, armed, crash
from shared.db.connect import BY_INDEX, Line
from shared.db.statements import statements
from shared.effects import Effect, EventLogged
from shared.ids import EventId, RunId, ThreadId
from shared.lifecycle import State, step
from shared.logs import Seldom
from shared.metrics import APPEND_SIZE, POSTGRES_ERRORS
from shared.models import EXECUTING, RunStatus
from shared.reports import RunFinished, RunnerEvent, RunOutput, RunWaits
from shared.tasks import about
from worker import poison
from worker.changes import Changes
from worker.counts import count_runs
from worker.execute.leases import Key, Lease, lock_free
from worker.load import Want, Where, load_states
from worker.transaction import BOUNDED, transaction
from worker.write import write

log = structlog.get_logger()
warn = Seldom(log)
SQL = statements("execute")

AGAIN = 0.002  # seconds; whoever has a thread locked is done in about as long
SETTLE = 3  # turns of the loop in which a runner that has no more to say comes to its end: one append less
AT_MOST = 0.1  # seconds, if not
MOST = 4 << 20  # characters of one append, about: encoding them keeps the loop, and the transaction waits for it
PAUSE = 0.2  # seconds after an error of Postgres' state

_CHECKPOINT = ("worker.before_checkpoint", "worker.after_checkpoint")
_WAIT = ("worker.before_wait", "worker.after_wait")
_FINISH = ("worker.before_finish", "worker.after_finish")


class Append(NamedTuple):
    """What one run has to say, in order. `last`: its lease ends with it."""

    lease: Lease
    events: Sequence[RunnerEvent]
    ends: bool = False  # the run says nothing more
    releases: bool = False  # its lease ends with it
    size: int = 0  # characters, about

    @property
    def key(self) -> Key:
        return self.lease.key


class Fate(Enum):
    WRITTEN = "written"
    REFUSED = "refused"  # the lease is gone, or the run is over
    BUSY = "busy"  # somebody else has its thread


class Source(Protocol):
    """A run that is being executed, as the writer sees it."""

    lease: Lease

    @property
    def size(self) -> int:
        """Characters that wait to be collected."""

    def collect(self) -> Append | None:
        """All that is to be written, and no longer the source's; None where there is nothing."""

    def settle(self, append: Append, fate: Fate) -> None:
        """What became of it. Where it was BUSY it comes again by itself."""

    def spoil(self, append: Append, error: Exception) -> None:
        """It can't be written at all: the database refuses its content."""


@dataclass(slots=True)
class Writer:
    url: str
    announce: Callable[[Sequence[ThreadId], Sequence[Where]], None]  # threads that changed, those that are ready
    _line: Line = field(init=False)
    _sources: dict[Key, Source] = field(default_factory=dict)  # with something to write
    _held: dict[Key, tuple[Source, Append]] = field(default_factory=dict)  # collected, not settled
    _first: dict[Key, tuple[EventId, RunId, str]] = field(default_factory=dict)  # of those that may be written
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._line = Line(self.url, **BY_INDEX, **BOUNDED, application_name="threadmill append")

    def add(self, source: Source) -> None:
        """The source has something to write."""
        self._sources[source.lease.key] = source
        self._arrived.set()

    async def run(self) -> None:
        """Appends until it is cancelled."""
        pause = AGAIN
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), pause if self._held else None)
            try:
                busy = await self.run_once()
                pause = min(2 * pause, AT_MOST) if busy else AGAIN
            except Exception as error:
                if not poison.is_state(error):
                    raise
                POSTGRES_ERRORS.labels("append").inc()
                warn("outputs not written; they will be", error=repr(error))
                await self._line.drop()
                await asyncio.sleep(about(PAUSE))

    async def run_once(self) -> bool:
        """One append; True where there was none but of threads that somebody else has locked. Raises what says that
        Postgres is away.
        """
        for _ in range(SETTLE):
            await asyncio.sleep(0)
        self._collect()
        if not self._held:
            return False
        connection = await self._line.get()
        appends = [append for _, append in self._held.values()]
        try:
            fates = await self._append(connection, appends)
        except Exception as error:
            if poison.is_state(error):
                raise
            fates = await self._one_by_one(connection, appends)
        self._settle(fates)
        return all(fate is Fate.BUSY for fate in fates.values())

    def _collect(self) -> None:
        """What a source says later waits until what it said before is settled; what is much, for the next append."""
        self._arrived.clear()
        size = 0  # of what is new: what is held may be somebody else's for long, and must not keep the others
        for key in [key for key in self._sources if key not in self._held]:
            if size >= MOST:
                self._arrived.set()
                return
            source = self._sources.pop(key)
            size += (said := source.size)
            append = source.collect()
            if append is not None:
                self._held[key] = (source, append._replace(size=said))

    def _settle(self, fates: dict[Key, Fate]) -> None:
        for key, fate in fates.items():
            if fate is Fate.BUSY:
                continue
            source, append = self._held.pop(key)
            self._first.pop(key, None)
            source.settle(append, fate)
            if key in self._sources:
                self._arrived.set()

    async def _append(self, connection: asyncpg.Connection, appends: Sequence[Append]) -> dict[Key, Fate]:
        """One transaction for all of them."""
        APPEND_SIZE.observe(len(appends))
        fates = {append.key: Fate.BUSY for append in appends}
        async with transaction(connection):
            free, now = await lock_free(connection, sorted({append.lease.where for append in appends}))
            if now is None:
                return fates
            mine = [append for append in appends if append.lease.where in free]
            fates |= dict.fromkeys(before := await self._written(connection, mine), Fate.WRITTEN)
            mine = [append for append in mine if append.key not in before]
            states = await load_states(connection, [_want(append) for append in mine])
            plan = _Plan(now, Changes(states.hooked))
            for append in mine:
                held = states.epochs.get(append.key[0]) == append.lease.epoch or armed("ignore_epoch")
                fates[append.key] = plan.add(append, states[append.key[0]]) if held else Fate.REFUSED
            self._first.update(plan.first)
            if plan.changes.threads or plan.changes.ended:
                await write(connection, plan.changes, plan.statuses, (), plan.now)
            crash("worker.before_append")
            _crash_behind(mine, 0)
        crash("worker.after_append")
        _crash_behind(mine, 1)
        count_runs(plan.changes, plan.statuses)
        for key in (*before, *(append.key for append in mine)):
            self._first.pop(key, None)
        if plan.changes.threads or before:
            self.announce([*plan.changes.threads, *(thread for thread, _ in before)], plan.ready())
        return fates

    async def _written(self, connection: asyncpg.Connection, appends: Sequence[Append]) -> set[Key]:
        """Those that an append wrote whose commit had no answer: they must not be written twice. It is asked under the
        locks of the threads, which a commit that is still under way holds.
        """
        asked = [(append, first) for append in appends if (first := self._first.get(append.key)) is not None]
        if not asked:
            return set()
        columns = zip(*((*append.lease.where, *first) for append, first in asked), strict=True)
        rows = await connection.fetch(SQL["logged"], *columns)
        found = {(row["thread"], row["id"]) for row in rows}
        return {append.key for append, first in asked if (append.key[0], first[0]) in found}

    async def _one_by_one(self, connection: asyncpg.Connection, appends: Sequence[Append]) -> dict[Key, Fate]:
        """Something in one of them is refused by Postgres: it must not fail its neighbours."""
        busy: dict[Key, Fate] = {}
        for append in appends:
            try:
                fates = await self._append(connection, [append])
                self._settle(fates)  # each by itself: the next one may lose the connection
                busy |= {key: fate for key, fate in fates.items() if fate is Fate.BUSY}
            except Exception as error:
                if poison.is_state(error):
                    raise
                log.error(
                    "outputs of a run can't be written", run=append.lease.run, thread=append.lease.where[1], error=error
                )
                source, _ = self._held.pop(append.key)
                self._first.pop(append.key, None)
                source.spoil(append, error)
        return busy

    async def close(self) -> None:
        await self._line.close()


@dataclass(slots=True)
class _Plan:
    """What an append comes to, worked out run by run."""

    now: datetime
    changes: Changes
    statuses: dict[RunId, RunStatus] = field(default_factory=dict)
    first: dict[Key, tuple[EventId, RunId, str]] = field(default_factory=dict)

    def add(self, append: Append, state: State) -> Fate:
        """Steps one run through what it says; REFUSED where it is not its thread's current run any more, or is over."""
        lease, before = append.lease, state
        current = state.queue[0] if state.queue else None
        if current is None or current.id != lease.run or current.status not in EXECUTING:
            return Fate.REFUSED
        self.statuses.update({run.id: run.status for run in (*state.queue, *state.others.values())})
        fresh = EventId(ids.at(self.now))
        for event in append.events:
            taken = step(state, event, self.now, fresh)
            state = taken.state
            self.changes.add(lease.where, taken.effects)
            if lease.key not in self.first:
                self._note_first(lease, taken.effects)
        self.changes.change(before.thread, state.thread)
        if append.releases:
            row = (*lease.where, lease.epoch)
            self.changes.ended.append(row)
            self.changes.interrupted += [row] if _still_current(state, lease.run) else []
        return Fate.WRITTEN

    def _note_first(self, lease: Lease, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, EventLogged) and effect.run == lease.run:
                self.first[lease.key] = (effect.id, lease.run, effect.type)
                return

    def ready(self) -> list[Where]:
        """Threads whose next run waits for a worker since this append."""
        return [(t.partition, t.id) for t in self.changes.threads.values() if t.ready_at is not None]


def _crash_behind(appends: Iterable[Append], n: int) -> None:
    """Meets the points of what these say: those before their commit (0), or behind it (1)."""
    for event in (event for append in appends for event in append.events) if any_armed() else ():
        if isinstance(event, RunFinished):
            crash(_FINISH[n])
        elif isinstance(event, RunWaits):
            crash(_WAIT[n])
        elif isinstance(event, RunOutput) and event.checkpoint is not None:
            crash(_CHECKPOINT[n])


def _want(append: Append) -> Want:
    return Want(*append.lease.where, append.events)


def _still_current(state: State, run: RunId) -> bool:
    return bool(state.queue) and state.queue[0].id == run
