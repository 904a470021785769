"""The overview is read once for all who look at the same time, however long that takes."""

import asyncio
from functools import partial

import asyncpg
import pytest
from multidict import MultiDict
from redis.asyncio import Redis

from api.console import overview
from api.console.overview import Glance
from api.console.pages import Look
from shared.settings import Settings
from tests.locks import waiters
from tests.watch import until

GOOD = 0.3  # seconds that a reading is good for here; one in the console


async def test_who_waits_for_a_slow_reading_does_not_read_again(
    pool: asyncpg.Pool, redis: Redis, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overview, "EVERY", GOOD)
    glance = Glance()
    async with pool.acquire() as db, pool.acquire() as other:
        look = Look(db, redis, settings, MultiDict(), True)
        async with other.transaction():
            await other.execute("lock table runs in access exclusive mode")
            looking = asyncio.gather(*(glance.load(look) for _ in range(3)))
            await until(partial(waiters, other, "runs"))
            await asyncio.sleep(1.5 * GOOD)  # so long the reading takes at least
        first, *others = await looking
        assert all(one is first for one in others)
        monkeypatch.setattr(overview, "EVERY", 0.0)
        assert await glance.load(look) is not first
