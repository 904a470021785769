"""A worker's loops, put together: doorbell, sweep, aftermath, upkeep, webhooks, files, heartbeat. One object a process.

It starts while Postgres or Redis is away, and ends what it has in hand when it is told to stop.
"""

import asyncio
import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import structlog

from shared import __version__, ids
from shared.db import durability
from shared.db.connect import AWAY, BY_INDEX, DURABLE, Line
from shared.db.durability import NotDurable
from shared.db.migrate import SchemaTooNew, SchemaTooOld, check
from shared.db.statements import statements
from shared.db.way import Misconfigured
from shared.files.opening import open_storage
from shared.keys import Keys
from shared.metrics import (
    OF_POSTGRES,
    POSTGRES_ERRORS,
    READY_AGE,
    READY_RUNS,
    REDIS_ERRORS,
    WORKERS,
    forget,
)
from shared.queue import AWAY as REDIS_AWAY
from shared.queue import Queue, open_redis
from shared.redis_state import RedisState
from shared.samples import LOCK_TIMEOUT_MS, Samples, Side
from shared.settings import Settings
from shared.tasks import about, end
from shared.vitals import LIVES, Clock, OldestAge, memory
from worker.aftermath import Aftermath
from worker.doorbell import NAP, Doorbell
from worker.duty import Duty
from worker.execute.executor import Executor
from worker.filekeeping import Filekeeping
from worker.lanes import Lanes
from worker.sweep import Sweep
from worker.tracing import Tracing
from worker.upkeep import Upkeep
from worker.watchdog import Watchdog
from worker.webhooks import Webhooks

log = structlog.get_logger()
SQL = statements("sweep")
INBOX = statements("inbox")
HEARTBEATS = statements("heartbeats")

BEAT = 2.0  # seconds between heartbeats
BEAT_LIFE_MS = 10_000  # of the heartbeat in Redis
REDIS_TIMEOUT = 1.0  # seconds; claims and finishes are small
COUNTED = 1_000  # runs that wait, counted in a heartbeat; a backlog of them is never read to its end
LEAVE = 1.0  # seconds for the last word
RETRY = 0.5  # seconds between tries to reach Postgres at the start


@dataclass(slots=True)
class Crew:
    settings: Settings
    roles: str = "apply"
    tracing: Tracing | None = None
    partitions: int = 0  # of the database; known once it has started
    id: ids.Ulid = field(default_factory=ids.mint)
    aftermath: Aftermath = field(init=False)
    doorbell: Doorbell | None = None
    sweep: Sweep | None = None
    upkeep: Upkeep | None = None
    executor: Executor | None = None
    duty: Duty = field(default_factory=Duty)
    watchdog: Watchdog = field(default_factory=Watchdog)
    webhooks: Webhooks | None = None
    files: Filekeeping | None = None
    _beaten: float = -1e9  # when Postgres last took a heartbeat
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _queue: Queue = field(init=False)
    _redis: RedisState = field(init=False)
    _line: Line = field(init=False)
    _clock: Clock = field(default_factory=Clock)
    _samples: Samples = field(default_factory=lambda: Samples(Side.WORKER))
    _oldest: OldestAge = field(default_factory=OldestAge)
    _workers: list[asyncio.Task[Any]] = field(default_factory=list)
    _others: list[asyncio.Task[Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        settings = self.settings
        self._queue = Queue(open_redis(settings.redis_url, REDIS_TIMEOUT), Keys(settings.redis_prefix))
        self._redis = RedisState(settings)
        self.aftermath = Aftermath(self._queue)
        options = {**BY_INDEX, **DURABLE, "lock_timeout": str(LOCK_TIMEOUT_MS)}
        self._line = Line(settings.database_url, **options, application_name="threadmill heartbeat")

    async def start(self, *, bell: bool = True) -> None:
        """Starts the loops, as soon as Postgres is there. `bell` false: a stock arq worker rings for us.

        Raises SchemaTooNew, NotDurable, Misconfigured, StorageUnusable; waits for a database that is away or older.
        """
        storage = open_storage(self.settings.files)
        self.files = Filekeeping(self.settings, storage)
        self.partitions = partitions = await self._partitions()
        settings, keys = self.settings, Keys(self.settings.redis_prefix)
        self.aftermath.partitions = partitions
        hands = (self._queue, self.aftermath, storage)
        self.executor = Executor(settings, self.id, *hands, self.tracing, self.roles != "apply")
        self.aftermath.on_ready, self.aftermath.on_news = self.executor.desk.offer, self.executor.nudge
        blocking = Queue(open_redis(settings.redis_url, 5 * NAP), keys)
        rung = Lanes(settings, self.aftermath, partitions, "arq", True, self.tracing, self.executor.desk)
        swept = Lanes(settings, self.aftermath, partitions, "sweep", False, self.tracing, self.executor.desk, rung)
        self.doorbell = Doorbell(self._queue, blocking, rung, partitions, self.duty)
        self.sweep = Sweep(settings.database_url, swept, rung, self.duty)
        rung.duty = swept.duty = self.duty
        self.upkeep = Upkeep(settings, open_redis(settings.redis_url, REDIS_TIMEOUT), partitions)
        if bell and self.roles != "execute":
            self._workers.append(asyncio.create_task(self.doorbell.run(), name="doorbell"))
        self._others += await self.executor.start()
        if settings.sweep:
            self._workers.append(asyncio.create_task(self.sweep.run(), name="sweep"))
            self._others.append(asyncio.create_task(self.sweep.expire(), name="expiry"))
        self.webhooks = Webhooks(settings, self.duty, self.tracing)
        loops = (
            *(self.files.run(), self.files.tidy()),
            *(self.aftermath.run(), self.upkeep.reconcile(), self.upkeep.forget()),
            *(self.webhooks.run(), self.beat(), self.duty.listen(settings, self.id)),
        )
        self._others += [asyncio.create_task(loop) for loop in loops]
        self.watchdog.start()

    async def stop(self, timeout: float) -> None:
        """Ends what is in hand, at most `timeout` seconds in all; then everything."""
        until = asyncio.get_running_loop().time() + timeout
        self.duty.leave()
        if self.doorbell is not None and self.sweep is not None:
            self.doorbell.stop()
            self.sweep.stop()
        if self.executor is not None:
            self.executor.desk.closed.set()
        ending = [*self._workers, *([asyncio.create_task(self.executor.stop(timeout))] if self.executor else [])]
        if ending:
            await asyncio.wait(ending, timeout=timeout)
        if self.doorbell is not None:  # a stock arq worker has no loop of the bell that would wait for it
            with suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self.doorbell.lanes.finish()
        if self.upkeep is not None:
            await self.aftermath.tell_once()
        await end((*ending, *self._others))
        if self.executor is not None:
            await self.executor.close()
        self.watchdog.stop()
        await self._leave()
        await self._close()

    async def drain(self, partition: int) -> int:
        """Applies what waits in one partition, for a stock arq worker; returns how many batches."""
        self.check()
        if self.doorbell is None:
            raise RuntimeError("drain before start")
        if self.duty.quiet:  # the job is lost with that: others' sweep finds what it was for
            return 0
        async with self._turn:
            applied = await self.doorbell.lanes.drain([partition])
        while partition in self.doorbell.lanes.known:
            async with self._turn:  # anew each time: the jobs of other partitions get theirs in between
                applied += await self.doorbell.lanes.drain(())
        return applied

    async def report(self) -> dict[str, str]:
        """Whether this worker can do its work: Postgres must answer, Redis may be away or full."""
        redis = await self._redis.get()
        report = {"status": "ready" if redis == "ok" else "degraded", "postgres": "ok", "redis": redis}
        if self.doorbell is None or time.monotonic() - self._beaten > 3 * BEAT:
            report |= {"status": "unavailable", "postgres": "away"}
        return report

    async def beat(self) -> None:
        """Says that this worker lives, and learns how many do, until it is cancelled."""
        while True:
            try:
                await self.beat_once()
            except (*AWAY, asyncpg.PostgresError) as error:
                POSTGRES_ERRORS.labels("heartbeat").inc()
                log.debug("no heartbeat", error=repr(error))
                forget(OF_POSTGRES)
                self._oldest.sparing.forget()
                await self._line.drop()
            except REDIS_AWAY as error:
                REDIS_ERRORS.labels("heartbeat").inc()
                log.debug("no heartbeat in Redis", error=repr(error))
            await self.duty.rest(BEAT)

    async def beat_once(self) -> None:
        connection = await self._line.get()
        host, pid, applied = socket.gethostname(), os.getpid(), self.aftermath.applied
        executing = self.executor.executing if self.executor is not None else 0
        told = (self.id, host, pid, self.roles, __version__, applied, executing)
        if self._clock.skew is None:
            self._clock.ask()
            self._clock.learn(await connection.fetchval(HEARTBEATS["clock"]))
        self._clock.ask()
        now = (memory(), self._clock.skew, self.duty.doing)
        row = await connection.fetchrow(SQL["beat"], *told, COUNTED, *now, LIVES)
        self._clock.learn(row["now"])
        self._beaten = time.monotonic()
        READY_RUNS.set(row["ready"])
        READY_AGE.set(row["ready_age"] or 0.0)
        if self.doorbell is not None:
            self.doorbell.workers, self.doorbell.place = row["at_work"], row["place"]
        self._obey(row["asked"])
        WORKERS.set(row["alive"])
        await self._oldest.ask(connection)
        await self._samples.add_if_due(self._line)
        record = {"host": host, "pid": pid, "roles": self.roles, "applied": applied, "executing": executing}
        record["doing"] = self.duty.doing
        await self._queue.beat(self.id, record, BEAT_LIFE_MS)

    def _obey(self, asked: str | None) -> None:
        self.duty.hear(asked)
        if self.executor is not None:
            self.executor.desk.rest(self.duty.quiet)

    async def _partitions(self) -> int:
        while True:
            try:
                connection = await self._line.get()
                await check(connection)
                await durability.check(connection)
                return int(await connection.fetchval(INBOX["partitions"]))
            except (SchemaTooNew, NotDurable, Misconfigured):
                raise
            except (*AWAY, asyncpg.PostgresError, SchemaTooOld) as error:
                log.warning("waiting for the database", error=str(error) or repr(error))
                await self._line.drop()
                await asyncio.sleep(about(RETRY))

    async def _leave(self) -> None:
        try:
            connection = await self._line.get()
            async with asyncio.timeout(LEAVE):
                await self._samples.add(connection)
                await connection.execute(SQL["leave"], self.id)
        except (*AWAY, asyncpg.PostgresError) as error:
            log.debug("left without a word", error=repr(error))

    async def _close(self) -> None:
        if self.sweep is not None and self.doorbell is not None and self.upkeep is not None:
            await self.sweep.close()
            await self.doorbell.close()
            await self.upkeep.close()
        if self.webhooks is not None:
            await self.webhooks.close()
        if self.files is not None:
            await self.files.close()
        await self._queue.close()
        await self._redis.close()
        await self._line.close()

    def check(self) -> None:
        """Raises what a loop ended with: the process is of no use then, its supervisor starts a whole one."""
        for task in (*self._workers, *self._others):
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error
        if self.executor is not None:
            self.executor.heartbeat.check()
