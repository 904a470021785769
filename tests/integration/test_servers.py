"""The health of Redis and Postgres as an operator reads it, also where one of them is away."""

import asyncio
import secrets
from urllib.parse import urlsplit

import asyncpg
import pytest
from redis.asyncio import Redis

from shared.db.connect import connect, open_pool
from shared.inspect.doctor import diagnose
from shared.inspect.servers import postgres_health, redis_health, servers
from shared.keys import Keys
from shared.queue import open_redis
from shared.settings import Settings
from tests.watch import until

AWAY = "postgresql://127.0.0.1:1/nowhere", "redis://127.0.0.1:1/0"


async def test_both_servers_say_how_they_are(pool: asyncpg.Pool, redis: Redis) -> None:
    found = await servers(pool, redis)
    assert not found.errors
    assert found.postgres is not None
    assert found.postgres.fsync == "off"  # of the tests' server
    assert found.postgres.synchronous_commit == "on"
    assert 0 < found.postgres.connections < found.postgres.connections_limit
    assert found.postgres.size > 1 << 20
    assert (found.postgres.in_recovery, found.postgres.replicas) == (False, ())
    assert found.redis is not None
    assert found.redis.version.startswith(("6.", "7.", "8."))
    assert (found.redis.role, found.redis.policy, found.redis.snapshot_failed) == ("master", "noeviction", False)
    assert found.redis.memory > 0
    assert 0 < found.redis.ping < 1


async def test_a_server_that_is_away_hides_nothing_of_the_other_one(pool: asyncpg.Pool, redis: Redis) -> None:
    elsewhere, gone = await open_pool(AWAY[0]), open_redis(AWAY[1], 1)
    half = await servers(elsewhere, redis)
    assert (half.postgres, set(half.errors)) == (None, {"postgres"})
    assert half.redis is not None
    other = await servers(pool, gone)
    assert (other.redis, set(other.errors)) == (None, {"redis"})
    assert other.postgres is not None
    elsewhere.terminate()
    await gone.aclose()


async def test_what_new_sessions_commit_with_is_found_from_an_old_one(pool: asyncpg.Pool) -> None:
    name = await pool.fetchval("select current_database()")

    async def found() -> str:
        return (await postgres_health(pool)).synchronous_commit

    assert await found() == "on"
    await pool.execute(f"alter database {name} set synchronous_commit = off")
    assert await found() == "off"
    await pool.execute(f"alter role current_user in database {name} set synchronous_commit = remote_apply")
    assert await found() == "remote_apply"
    await pool.execute(f"alter database {name} reset synchronous_commit")
    await pool.execute(f"alter role current_user in database {name} reset synchronous_commit")
    assert await found() == "on"


async def test_who_waits_for_a_lock_and_who_holds_one_for_long_is_seen(pool: asyncpg.Pool, settings: Settings) -> None:
    holder, waiter = (
        await connect(settings.database_url, application_name="holder"),
        await connect(settings.database_url),
    )
    await holder.execute("begin; lock table accounts")
    waiting = asyncio.create_task(waiter.execute("begin; lock table accounts"))

    async def waited() -> bool:
        health = await postgres_health(pool)
        return health.lock_wait is not None and health.transaction_age is not None and health.transaction_age > 0

    await until(waited)
    assert "holder" in ((await postgres_health(pool)).transaction or "")
    await holder.execute("rollback")
    await asyncio.gather(waiting, return_exceptions=True)
    await holder.close()
    await waiter.close()


@pytest.mark.straight
async def test_a_role_without_rights_sees_what_it_may(pool: asyncpg.Pool, redis: Redis, settings: Settings) -> None:
    name, address = f"plain_{secrets.token_hex(4)}", urlsplit(settings.database_url)
    await pool.execute(f"create role {name} login password 'plain'; grant pg_read_all_data to {name}")
    plain = await connect(address._replace(netloc=f"{name}:plain@{address.netloc.rpartition('@')[2]}").geturl())
    try:
        found = await postgres_health(plain)
        assert found.connections_limit > found.connections > 0
        assert (found.fsync, found.synchronous_commit) == ("off", "on")
        keys = Keys(settings.redis_prefix)
        assert {"no_api", "no_worker"} <= {one.code for one in await diagnose(plain, redis, keys, settings)}
    finally:
        await plain.close()
        await pool.execute(f"drop owned by {name}; drop role {name}")


async def test_where_redis_refuses_its_configuration_snapshots_are_not_known(redis: Redis, settings: Settings) -> None:
    assert (await redis_health(redis)).snapshots is not None
    await redis.acl_setuser("guest", enabled=True, nopass=True, commands=["+@all", "-config"], keys=["*"])
    guest = Redis.from_url(settings.redis_url, username="guest", password="x", decode_responses=True)
    try:
        assert (await redis_health(guest)).snapshots is None
    finally:
        await guest.aclose()
        await redis.acl_deluser("guest")
