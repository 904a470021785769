"""One frame of `threadmill top`: all that it shows, read at once and within a bound, whoever is away.

Refused here: drawing it (`deploy.screen`), and keeping anything between two frames but what the doctor suspects.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

import asyncpg
from redis.asyncio import Redis

from deploy.commands.doctor import document_of
from deploy.session import document
from shared import inspect
from shared.db.connect import AWAY, open_pool
from shared.db.migrate import check
from shared.db.way import Misconfigured
from shared.inspect import fleet, partitions
from shared.inspect.doctor import Doctor
from shared.inspect.fleet import WorkerView
from shared.inspect.overview import Overview, overview
from shared.inspect.partitions import Named, Partition
from shared.inspect.problems import Problem
from shared.inspect.queue import PARTITIONS
from shared.keys import Keys
from shared.queue import open_redis
from shared.settings import Settings

T = TypeVar("T")

PATIENCE = 2.0  # seconds for a connection; and again for each part that is read from Postgres
WORKERS = 100  # listed at most


@dataclass(frozen=True, slots=True)
class Frame:
    at: datetime  # of this machine's clock
    took: float  # seconds
    seen: Overview
    workers: Sequence[WorkerView]  # the latest started first
    partitions: Sequence[Partition]  # with work, or paused
    problems: Sequence[Problem]

    @property
    def errors(self) -> Mapping[str, str]:
        return self.seen.errors


@dataclass(slots=True)
class Watch:
    """Reads frame after frame over connections of its own."""

    pool: asyncpg.Pool
    redis: Redis
    settings: Settings
    keys: Keys
    doctor: Doctor
    _checked: bool = field(default=False)

    async def look(self) -> Frame:
        """Raises SchemaTooOld, SchemaTooNew: a database of another version can't be read. Misconfigured at first."""
        began = time.monotonic()
        async with self._connection() as db:
            seen = await overview(db, self.redis, self.keys, self.doctor.partitions)
            there = None if "postgres" in seen.errors else db
            workers, busy = await self._lists(there, seen.rung.oldest if seen.rung else ())
            self.doctor.db = there
            problems = await self.doctor.diagnose()
        taken = time.monotonic() - began
        return Frame(datetime.now(UTC), taken, seen, workers, [one for one in busy if one.busy], problems)

    async def _lists(
        self, db: asyncpg.Connection | None, named: Named
    ) -> tuple[Sequence[WorkerView], Sequence[Partition]]:
        if db is None:
            return (), ()
        workers = await self._within(fleet.workers(db, WORKERS))
        return workers.items if workers else (), await self._within(partitions.read_partitions(db, named)) or ()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection | None]:
        """None: Postgres gives none."""
        try:
            connection = await self.pool.acquire(timeout=PATIENCE)
        except (*AWAY, asyncpg.PostgresError) as error:
            if isinstance(error, Misconfigured) and not self._checked:  # a start
                raise
            yield None
            return
        try:
            yield connection if await self._prepared(connection) else None
        finally:
            with suppress(*AWAY):
                await self.pool.release(connection, timeout=PATIENCE)

    async def _prepared(self, connection: asyncpg.Connection) -> bool:
        """False where it does not answer; the next frame tries another one then."""
        try:
            await self._prepare(connection)
        except AWAY:
            connection.terminate()
            return False
        return True

    async def _prepare(self, connection: asyncpg.Connection) -> None:
        async with asyncio.timeout(PATIENCE):
            if not self._checked:
                await check(connection)
                self._checked = True
            await inspect.bound(connection)

    async def _within(self, read: Awaitable[T]) -> T | None:
        """What it reads, or None: the overview says who is away."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await read
        except (*AWAY, asyncpg.PostgresError):
            return None


@asynccontextmanager
async def watching(settings: Settings) -> AsyncIterator[Watch]:
    """Neither server need be there."""
    pool = await open_pool(settings.database_url, size=1)
    redis, keys = open_redis(settings.redis_url, PATIENCE), Keys(settings.redis_prefix)
    doctor = Doctor(None, redis, keys, settings, PARTITIONS)
    try:
        yield Watch(pool, redis, settings, keys, doctor)
    finally:
        await redis.aclose()
        pool.terminate()


def document_of_frame(frame: Frame) -> dict[str, Any]:
    """The one JSON document of `threadmill top --json`. A half that is away is null, `errors` says why."""
    stored, rung = document(frame.seen.stored), document(frame.seen.rung)
    if rung is not None:
        del rung["oldest"]  # what the partitions' ages were found by
    return {
        "at": document(frame.at),
        "postgres": stored,
        "redis": rung,
        "workers": document(list(frame.workers)),
        "partitions": document(list(frame.partitions)),
        "problems": [document_of(problem) for problem in frame.problems],
        "errors": dict(frame.errors),
    }
