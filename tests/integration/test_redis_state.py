"""How Redis is, as a process that is asked for it finds it: one that is slow, and one that answers to nobody."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from shared.keys import Keys
from shared.redis_state import RedisState
from shared.settings import Settings
from tests.faults.links import Links
from tests.watch import until

DELAY = 0.3  # seconds each way: an answer takes 0.6, and a new connection two at least


@pytest.fixture
async def links(tmp_path: Path) -> AsyncIterator[Links]:
    async with Links(tmp_path / "proxy.log") as links:
        yield links


async def state(settings: Settings, links: Links) -> RedisState:
    url = await links.add("redis", settings.redis_url)
    return RedisState(settings.model_copy(update={"redis_url": url}))


async def test_a_redis_that_was_slow_from_the_start_is_connected_to_all_the_same(
    settings: Settings, links: Links
) -> None:
    redis = await state(settings, links)
    await links.change("redis", delay=DELAY)
    assert await redis.get() == "away"
    await until(lambda: is_ok(redis), 5)
    await links.change("redis", silent="down")
    assert await redis.get() == "away"
    await redis.close()


async def is_ok(redis: RedisState) -> bool:
    return await redis.get() == "ok"


async def test_asking_leaves_nothing_behind(settings: Settings, redis: Redis) -> None:
    asked = RedisState(settings)
    assert await asked.get() == "ok"
    assert await redis.exists(Keys(settings.redis_prefix).rung(0)) == 0
    await asked.close()
