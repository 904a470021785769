"""`threadmill top` over servers that go away and come back: each frame says what there is, and the next one goes on."""

import asyncio
from typing import Any

import asyncpg
import pytest

from deploy.frames import Watch, document_of_frame, watching
from shared.inspect.counts import Count
from shared.settings import Settings
from tests.proxy import wire_to
from tests.rows import add_batch, add_owner, add_thread


@pytest.mark.timeout(60)
async def test_a_frame_says_who_is_away_and_the_next_one_goes_on_when_they_are_back(
    pool: asyncpg.Pool, settings: Settings
) -> None:
    owner = await add_owner(pool)
    thread = await add_thread(pool, owner)
    await add_batch(pool, owner, thread, age=60)
    async with wire_to(settings.database_url) as postgres, wire_to(settings.redis_url) as redis:
        near = settings.model_copy(update={"database_url": postgres.url, "redis_url": redis.url})
        async with watching(near) as watch:
            frame = await watch.look()
            assert frame.errors == {}
            assert [(one.id, one.waiting) for one in frame.partitions] == [(thread.partition, Count(1))]
            postgres.fall_silent()
            redis.fall_silent()
            frame = await asyncio.wait_for(watch.look(), 10)
            assert set(frame.errors) == {"postgres", "redis"}
            assert "postgres_away" in {problem.code for problem in frame.problems}
            document = document_of_frame(frame)
            assert (document["postgres"], document["redis"]) == (None, None)
            back = await _back(watch)
            assert back["postgres"]["backlog"]["waiting"]["value"] == 1
            assert back["redis"]["waiting"] == 0


async def _back(watch: Watch) -> dict[str, Any]:
    """The first frame with nobody away."""
    async with asyncio.timeout(30):
        while True:
            document = document_of_frame(await watch.look())
            if not document["errors"]:
                return document
