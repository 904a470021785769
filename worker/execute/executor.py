"""The executor of a worker: takes threads whose run waits, drives as many runs at once as it has room for.

Threads are offered by this worker's own drains and appends, by the bell (other workers' drains), and by the sweep,
which finds all that nobody rang for. What there is no room for is rung for other workers.
"""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import asyncpg
import structlog

from shared import ids
from shared.crashpoints import crash
from shared.db.connect import AWAY, BY_INDEX, Line
from shared.files.storage import Storage
from shared.ids import AccountId, ThreadId, Ulid
from shared.logs import Seldom
from shared.metrics import EXECUTING_RUNS, POSTGRES_ERRORS
from shared.queue import Queue
from shared.settings import Settings
from shared.tasks import about, end
from worker.aftermath import Aftermath
from worker.execute import leases
from worker.execute.apart import apart
from worker.execute.append import Writer
from worker.execute.archive import Archive
from worker.execute.beginning import Beginning
from worker.execute.caps import Caps
from worker.execute.desk import Desk
from worker.execute.ear import Ear
from worker.execute.execution import Execution, Told
from worker.execute.heartbeat import Beaten, Heartbeat
from worker.execute.leases import Key, Lease
from worker.execute.lookout import Lookout
from worker.execute.orphans import Orphans
from worker.execute.preparing import prepare
from worker.execute.told import drive
from worker.load import Where
from worker.runners.drive import GRACE
from worker.runners.openers import Openers
from worker.tracing import Tracing
from worker.transaction import BOUNDED
from worker.write import Disturbed

log = structlog.get_logger()
warn = Seldom(log)
AGAIN = 0.003  # seconds until a thread that somebody had locked is tried again
PAUSE = 0.5  # seconds after an error of Redis or Postgres
LOOK = 0.02  # seconds between looks whether a drain has leased something
STOPPING = 2.0  # seconds of the drain that are left for runs to be handed over


@dataclass(slots=True)
class Executor:
    settings: Settings
    owner: Ulid
    queue: Queue
    aftermath: Aftermath
    storage: Storage  # of files; whoever opened it closes it
    tracing: Tracing | None = None
    executes: bool = True  # False: this worker only rings for others, and sweeps
    desk: Desk = field(init=False)
    writer: Writer = field(init=False)
    heartbeat: Heartbeat = field(init=False)
    _openers: Openers = field(init=False)
    _take_line: Line = field(init=False)
    _lookout: Lookout = field(init=False)
    _ear: Ear = field(init=False)
    _archive: Archive | None = None
    _runs: dict[ThreadId, Execution] = field(default_factory=dict)
    _tasks: dict[ThreadId, asyncio.Task[None]] = field(default_factory=dict)
    _orphans: Orphans = field(default_factory=Orphans)
    _beginning: Beginning = field(init=False)
    _handing_over: bool = False  # the worker stops: what begins now is given back at once

    def __post_init__(self) -> None:
        url = self.settings.database_url
        self.writer = Writer(url, self._announce)
        self.heartbeat = Heartbeat(url, self._leases, self._hear)
        self._openers = Openers(self.settings)
        self._take_line = Line(url, **BY_INDEX, **BOUNDED, application_name="threadmill take")
        capacity = self.settings.concurrency if self.executes else 0
        caps = Caps(self.settings.account_concurrency, self._accounts)
        self.desk = Desk(self.owner, capacity, self._runs.keys(), self.aftermath.call, caps)
        self._beginning = Beginning(self._driven)
        self._lookout = Lookout(
            url, self.desk, self.settings.run_attempts, self._beginning.known.keys(), self.aftermath.announce
        )
        self._ear = Ear(self.settings, self.queue, lambda: self.desk.room, self._called, self._hear_of)

    def _accounts(self) -> list[AccountId]:
        """Whose runs are driven, one for each."""
        return [AccountId(Ulid(execution.context.account)) for execution in self._runs.values()]

    @property
    def executing(self) -> int:
        return len(self._runs)

    async def start(self) -> list[asyncio.Task[None]]:
        """The loops, for the crew to own."""
        self._archive = await Archive.open(self.settings, self.storage)
        loops = [self._lookout.run] if self.settings.sweep else []
        if self.executes:
            self.heartbeat.start()
            loops += [self.take, self.writer.run, self._ear.answer, self._ear.listen]
        return [asyncio.create_task(loop(), name=loop.__qualname__) for loop in loops]

    def _called(self, threads: Collection[ThreadId]) -> None:
        self.desk.hear([(ids.partition_of(thread, self.aftermath.partitions), thread) for thread in threads])

    def _hear_of(self, threads: Collection[str]) -> None:
        if not self._runs.keys().isdisjoint(threads):
            self.heartbeat.nudge()

    def nudge(self, threads: Collection[ThreadId]) -> None:
        """Runs of these threads were interrupted or steered: ours are looked at, others' workers are told."""
        self._hear_of(threads)
        if others := [thread for thread in threads if thread not in self._runs]:
            self.aftermath.nudge(others)

    def _announce(self, changed: Sequence[ThreadId], ready: Sequence[Where]) -> None:
        self.aftermath.announce(changed)
        if ready:
            self.desk.offer(ready)

    async def take(self) -> None:
        """Takes what is offered until it is cancelled."""
        while True:
            await self.desk.filled.wait()
            try:
                locked = await self.take_once()
            except (*AWAY, asyncpg.PostgresError, Disturbed) as error:
                POSTGRES_ERRORS.labels("take").inc()
                warn("runs not taken; the sweep finds them", error=repr(error))
                await self._take_line.drop()
                await asyncio.sleep(about(PAUSE))
            else:
                if locked:
                    await asyncio.sleep(AGAIN)

    async def take_once(self) -> bool:
        """Takes as many of the offered threads as there is room for; True where one was locked by somebody else."""
        connection = await self._take_line.get()
        with self.desk.leased() as leased:
            await self._begin(connection, leased)
        while crowd := self.desk.crowd:  # a few times at most: what is remembered is bounded
            self.desk.sort(crowd, await leases.still_waiting(connection, crowd))
        with self.desk.wanted() as (offered, room):
            waiting = offered
            if len(offered) > room:
                still = await leases.still_waiting(connection, offered)
                waiting = [where for where in offered if where[1] in still]
            chosen = waiting[:room]
            self.desk.find(waiting[room:])
            if not chosen:
                return False
            taken, locked = await self._take(connection, chosen)
            self.aftermath.announce([lease.where[1] for lease in taken])
            await self._begin(connection, taken)
        self.desk.hear([(partition, thread) for partition, thread in chosen if thread in locked])
        return bool(locked)

    async def _take(
        self, connection: asyncpg.Connection, wanted: Sequence[Where]
    ) -> tuple[list[Lease], list[ThreadId]]:
        act = partial(leases.take, connection, owner=self.owner, run_timeout=self.settings.run_timeout)
        found = await apart(act, wanted)
        return [lease for taken, _ in found for lease in taken], [thread for _, locked in found for thread in locked]

    async def _begin(self, connection: asyncpg.Connection, taken: Sequence[Lease]) -> None:
        if not taken:
            return
        crash("worker.after_lease")
        try:
            briefings = await self._beginning.brief(connection, taken)
        except Exception as error:
            self.desk.begin(self._beginning.later(taken, error))
            raise
        for one in briefings:
            self._drive(prepare(one, self._reads(), self._openers, self.writer, self._let_go, self.desk.closed))
        crash("worker.after_start")
        EXECUTING_RUNS.set(len(self._runs))
        if any(one.place is not None for one in briefings):
            await self._offer_steers(taken)

    def _drive(self, execution: Execution) -> None:
        """The thread's last run may be here still, over or without its lease: it is told, and goes by itself."""
        thread = execution.lease.where[1]
        if (last := self._runs.get(thread)) is not None:
            if last.lease.epoch == execution.lease.epoch:
                return
            last.tell(Told.LOST)
            self._orphans.take(self._tasks[thread])
        self._beginning.remember(execution.lease)
        self._runs[thread] = execution
        self._tasks[thread] = asyncio.create_task(self._run(execution), name=f"run {execution.lease.run}")
        if self._handing_over:
            execution.tell(Told.RELEASED)

    def _driven(self) -> set[Key]:
        return {execution.lease.key for execution in self._runs.values()}

    async def _run(self, execution: Execution) -> None:
        thread = execution.lease.where[1]
        try:
            await drive(execution, self.tracing)
        finally:
            if self._runs.get(thread) is execution:  # a drain may have leased the next one already
                del self._runs[thread], self._tasks[thread]
            EXECUTING_RUNS.set(len(self._runs))
            if execution.orphan is not None:
                self._orphans.take(execution.orphan)
            self.desk.free(thread)

    @property
    def stubborn(self) -> bool:
        """Whether a runner goes on that was told to stop: the process can't wait for it."""
        return self._orphans.linger

    async def _let_go(self, lease: Lease) -> None:
        """Ends the lease of a run that is over already; the thread's next run may begin."""
        ready = await self._reads().let_go(lease)
        asyncio.get_running_loop().call_soon(self.desk.offer, ready)  # behind the end of this run's task

    def _leases(self) -> list[Lease]:
        """For the heartbeat, in its thread."""
        return [
            *self.desk.waiting,
            *self._beginning.leases,
            *(execution.lease for execution in list(self._runs.values())),
        ]

    def _hear(self, beaten: list[Beaten]) -> None:
        """What a heartbeat found out."""
        steered = []
        for one in beaten:
            execution = self._runs.get(one.thread)
            if execution is None or execution.lease.epoch != one.epoch:
                continue
            if not one.held:
                execution.tell(Told.LOST)
            elif one.over:
                execution.tell(Told.CANCELLED)
            elif one.steered:
                steered.append(execution.lease)
        if steered:
            self._orphans.take(asyncio.create_task(self._offer_steers(steered)))

    async def _offer_steers(self, of: Sequence[Lease]) -> None:
        for offer in await self._reads().offers(of):
            if (execution := self._runs.get(offer.thread)) is not None:
                execution.steers[offer.message.id] = offer.run
                execution.context.steer.offer(offer.message)

    async def stop(self, timeout: float) -> None:
        """Lets runs end, or come to a checkpoint; hands over what still runs shortly before the time is up.

        What drains are leasing is begun first.
        """
        self.desk.closed.set()
        patience = max(timeout - GRACE - STOPPING, timeout / 3)
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while self._tasks or self.desk.pending:
                    await (asyncio.wait(list(self._tasks.values())) if self._tasks else asyncio.sleep(LOOK))
        self._handing_over = True
        for execution in self._runs.values():
            execution.tell(Told.RELEASED)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout - patience):
                while self._tasks:
                    await asyncio.wait(list(self._tasks.values()))

    async def close(self) -> None:
        """Behind the loops' end."""
        await end(list(self._tasks.values()))
        self._orphans.cancel()
        if self.executes and self._archive is not None:
            await self.heartbeat.stop()
        await self._openers.close()
        if self._archive is not None:
            self._archive.close()
        await self._take_line.close()
        await self._lookout.close()
        await self.writer.close()
        await self._ear.close()

    def _reads(self) -> Archive:
        if self._archive is None:
            raise RuntimeError("the executor has not started")
        return self._archive
