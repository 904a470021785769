"""The console's own way to Postgres and Redis: few connections, every wait bounded, and what is away is said.

They are not the api's: however much an operator reads, no client waits for a connection because of it. They are not
strangers' either: who is not known yet waits in a line of its own, for one of them. What was confirmed has its own,
whose statements may take longer. That ours are all taken, or wait for what others hold, is never told as a Postgres
that is away.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import asyncpg
import structlog
from redis.asyncio import Redis

from shared import inspect
from shared.db.connect import AWAY, open_pool
from shared.errors import ServiceInactive
from shared.logs import Seldom
from shared.queue import AWAY as REDIS_AWAY
from shared.queue import open_redis
from shared.settings import Settings

LOOKS = 1  # connections that read for those who watch
DEEDS = 2  # that do what was confirmed, which may take long
CONNECTIONS = LOOKS + 2  # that read: one is always left for those who ask, and one for strangers
PATIENCE = 2.0  # seconds for a connection, and again for all that a page reads
DEED_PATIENCE = 30.0  # seconds for what an operator confirmed: it may reach many rows
DEED_LIMIT_MS = 30_000  # of one statement of it, which Postgres ends where nobody is left to do so
STRANGERS_PATIENCE = 0.5  # seconds in the line of those who are not known yet: some hundred looks
_REDIS_PATIENCE = 0.5  # seconds of one command
_CANCEL_TIMEOUT = 0.5  # seconds for Postgres to end a statement that was given up; then its connection goes too
_PROBE_TIMEOUT = 0.5  # seconds to tell a server that is slow from one that is away
_REMEMBERED = 1.0  # seconds for which nobody asks again whether a server is away

# Postgres ended a statement, or a wait of it, by a bound of ours: it is not away, it has other things to do.
STOPPED = (asyncpg.QueryCanceledError, asyncpg.LockNotAvailableError)

log = structlog.get_logger()


class PostgresAway(ServiceInactive):
    """Postgres does not answer. Nothing was changed."""


class Busy(ServiceInactive):
    """Too many ask at once, or others are doing things that take long. Nothing was done: try again in a moment."""


class Slow(Busy):
    """Postgres answers, but this took longer than 2 s: it is busy, or others hold what is read. Try again soon."""


class TookLong(ServiceInactive):
    """It was stopped, after 30 s at most. What it reached is done, and in the audit log: do it again for the rest."""


class Servers:
    def __init__(self, pool: asyncpg.Pool, deeds: asyncpg.Pool, redis: Redis) -> None:
        self._pool = pool
        self._deeds = deeds
        self.redis = redis
        self._postgres_away_until = 0.0
        self._postgres_seen_at = float("-inf")
        self._redis_seen_at = float("-inf")
        self._redis_away = False
        self._free = asyncio.Semaphore(CONNECTIONS)
        self._strangers = asyncio.Semaphore(1)
        self._doing = asyncio.Semaphore(DEEDS)
        self._say = Seldom(log)

    async def close(self) -> None:
        await self.redis.aclose()
        self._pool.terminate()
        self._deeds.terminate()

    @property
    def postgres_away(self) -> bool:
        """As far as was seen in the last second."""
        return time.monotonic() < self._postgres_away_until

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection for what is read, for at most `PATIENCE`. Raises PostgresAway, Slow, Busy."""
        async with self._lent(self._free, self._pool, PATIENCE) as db:
            yield db

    @asynccontextmanager
    async def for_stranger(self) -> AsyncIterator[asyncpg.Connection]:
        """The one connection that those share who are not known yet. Raises PostgresAway, Busy."""
        if self.postgres_away:
            raise PostgresAway
        async with _turn(self._strangers, STRANGERS_PATIENCE), self.connection() as db:
            yield db

    @asynccontextmanager
    async def deed(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection for what was confirmed, for at most `DEED_PATIENCE`. Raises PostgresAway, Busy, TookLong."""
        async with self._lent(self._doing, self._deeds, DEED_PATIENCE) as db:
            yield db

    @asynccontextmanager
    async def _lent(
        self, gate: asyncio.Semaphore, pool: asyncpg.Pool, patience: float
    ) -> AsyncIterator[asyncpg.Connection]:
        if self.postgres_away:
            raise PostgresAway
        async with _turn(gate, PATIENCE), self._opened(pool, patience) as db:
            yield db

    @asynccontextmanager
    async def _opened(self, pool: asyncpg.Pool, patience: float) -> AsyncIterator[asyncpg.Connection]:
        """One of the pool's, of which one is free now: what takes long here is Postgres."""
        limit: asyncio.Timeout | None = None
        late = TookLong if pool is self._deeds else Slow
        try:
            connection = await pool.acquire(timeout=PATIENCE)
            try:
                async with asyncio.timeout(patience) as limit:
                    yield connection
            finally:
                await pool.release(connection, timeout=_CANCEL_TIMEOUT)
        except STOPPED as error:
            raise late from error
        except AWAY as error:
            if limit is not None and limit.expired() and (late is TookLong or await self._answers()):
                raise late from error
            self._postgres_away_until = time.monotonic() + _REMEMBERED
            self._say("the console has no answer from Postgres", error=repr(error))
            raise PostgresAway from error

    async def _answers(self) -> bool:
        """Whether Postgres answers somebody who asks for nothing."""
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT), self._pool.acquire() as connection:
                await connection.execute("select")
        except AWAY:
            return False
        return True

    async def look(self) -> None:
        """Whether Postgres answers, for anybody who asks; seen at most once a second. Raises PostgresAway, Busy."""
        if time.monotonic() - self._postgres_seen_at < _REMEMBERED:
            return
        async with self.for_stranger() as db:
            await db.execute("select")
            self._postgres_seen_at = time.monotonic()

    async def redis_away(self) -> bool:
        """Asked at most once a second."""
        now = time.monotonic()
        if now - self._redis_seen_at >= _REMEMBERED:
            self._redis_seen_at = now  # whoever comes meanwhile is told what was seen last
            self._redis_away = not await self._ping()
        return self._redis_away

    async def _ping(self) -> bool:
        try:
            await self.redis.ping()
        except REDIS_AWAY:
            return False
        return True


@asynccontextmanager
async def _turn(gate: asyncio.Semaphore, patience: float) -> AsyncIterator[None]:
    """Raises Busy."""
    try:
        async with asyncio.timeout(patience):
            await gate.acquire()
    except TimeoutError:
        raise Busy from None
    try:
        yield
    finally:
        gate.release()


async def open_servers(settings: Settings) -> Servers:
    """Connects when it is first used."""
    pool = await open_pool(settings.database_url, CONNECTIONS, inspect.bound)
    deeds = await open_pool(settings.database_url, DEEDS, partial(inspect.bound, milliseconds=DEED_LIMIT_MS))
    return Servers(pool, deeds, open_redis(settings.redis_url, _REDIS_PATIENCE))
