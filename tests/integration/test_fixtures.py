"""The ground that the other tests stand on."""

import asyncpg
from redis.asyncio import Redis

from shared.db import migrate
from shared.settings import Settings


async def test_each_test_has_a_migrated_database_of_its_own(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        await migrate.check(connection)
        assert await connection.fetchval("select count(*) from accounts") == 0


async def test_a_commit_is_a_commit(pool: asyncpg.Pool) -> None:
    assert await pool.fetchval("show synchronous_commit") == "on"


async def test_redis_answers_and_keys_have_a_prefix(redis: Redis, settings: Settings) -> None:
    await redis.set(f"{settings.redis_prefix}key", b"value")
    assert await redis.get(f"{settings.redis_prefix}key") == b"value"
    assert settings.env == "test"
