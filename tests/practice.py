"""A practice for the doctor: a service that is well, and a doctor who looks at it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
from redis.asyncio import Redis

from shared import __version__, ids, inspect
from shared.db.connect import open_pool
from shared.inspect.doctor import Doctor
from shared.inspect.problems import Problem
from shared.keys import Keys
from shared.samples import Samples, Side
from shared.settings import Settings
from tests.rows import Owner, Row, add_owner, add_thread

ALWAYS = {"postgres_unsafe"}  # the tests' server loses what it was told when its machine fails


@dataclass(slots=True)
class Practice:
    """A service that is well, but for its server: an api, a worker, samples, a thread."""

    pool: asyncpg.Pool
    doctor: Doctor
    owner: Owner
    thread: Row

    async def problems(self) -> dict[str, Problem]:
        found = {one.code: one for one in await self.doctor.diagnose()}
        assert set(found) >= ALWAYS
        return {code: one for code, one in found.items() if code not in ALWAYS}


@asynccontextmanager
async def practising(settings: Settings, redis: Redis) -> AsyncIterator[Practice]:
    pool = await open_pool(settings.database_url, size=1)
    async with pool.acquire() as connection:
        await inspect.bound(connection)
        await Samples(Side.API).add(connection)
    me = (ids.mint(), "here", 1, __version__)
    await pool.execute("insert into apis (id, host, pid, version, port) values ($1, $2, $3, $4, 1)", *me)
    await pool.execute("insert into workers (id, host, pid, version, roles) values ($1, $2, $3, $4, 'all')", *me)
    owner = await add_owner(pool)
    thread = await add_thread(pool, owner)
    try:
        yield Practice(pool, Doctor(pool, redis, Keys(settings.redis_prefix), settings), owner, thread)
    finally:
        pool.terminate()
