"""What an operator sees of the queue: Postgres' half, Redis' half, and neither by scanning."""

import time

import asyncpg
import pytest
from redis.asyncio import Redis

from shared import ids, inspect
from shared.inspect import batches
from shared.inspect.batches import BatchState
from shared.inspect.counts import COUNTED, Count
from shared.inspect.queue import Depth, queue_status, read_stored
from shared.keys import Keys
from shared.queue import Queue, Waiting, open_redis
from shared.settings import Settings
from tests.plans import plan_of, rows_read
from tests.rows import PARTITIONS, Owner, Row, add_batch, add_owner, add_thread, fill


@pytest.fixture
async def owner(pool: asyncpg.Pool) -> Owner:
    return await add_owner(pool)


@pytest.fixture
async def thread(pool: asyncpg.Pool, owner: Owner) -> Row:
    return await add_thread(pool, owner)


@pytest.fixture
def keys(redis_prefix: str) -> Keys:
    return Keys(redis_prefix)


async def depth_of(pool: asyncpg.Pool, partition: int) -> Depth:
    return (await read_stored(pool)).depths[partition]


async def test_an_empty_queue_shows_zeros_and_all_partitions(
    pool: asyncpg.Pool, redis: Redis, keys: Keys, settings: Settings
) -> None:
    found = await queue_status(pool, redis, keys, settings)
    assert found.stored is not None
    assert found.rung is not None
    assert (found.stored.waiting, found.stored.blocked, found.stored.dead) == (Count(0), Count(0), Count(0))
    assert (found.stored.oldest_age, found.stored.dead_age) == (None, None)
    assert len(found.stored.depths) == PARTITIONS
    assert (found.rung.waiting, found.rung.rung, found.errors) == ({}, (), {})


async def test_waiting_blocked_and_dead_batches_are_counted_apart(
    pool: asyncpg.Pool, owner: Owner, thread: Row
) -> None:
    await add_batch(pool, owner, thread)
    await add_batch(pool, owner, thread)
    await add_batch(pool, owner, thread, blocked=True)
    await add_batch(pool, owner, thread, parked=True)
    stored = await read_stored(pool)
    assert (stored.waiting, stored.blocked, stored.dead) == (Count(2), Count(2), Count(1))
    assert (await depth_of(pool, thread.partition)).waiting == Count(2)


async def test_the_oldest_age_is_of_the_oldest_batch_of_any_account(
    pool: asyncpg.Pool, owner: Owner, thread: Row
) -> None:
    other = await add_owner(pool, "other")
    await add_batch(pool, owner, thread, age=60)
    await add_batch(pool, other, thread, age=600)
    await add_batch(pool, owner, thread, age=6_000, blocked=True)
    found = (await read_stored(pool)).oldest_age
    assert found is not None
    assert 600 <= found < 660


async def test_a_paused_partition_is_shown_as_such(pool: asyncpg.Pool, owner: Owner, thread: Row) -> None:
    await add_batch(pool, owner, thread)
    await pool.execute("update partitions set paused = true where id = $1", thread.partition)
    assert (await depth_of(pool, thread.partition)).paused
    (batch,) = (await batches.waiting_batches(pool, 10)).items
    assert batch.state is BatchState.PAUSED


async def test_a_large_backlog_is_counted_up_to_a_bound_and_not_scanned(
    pool: asyncpg.Pool, owner: Owner, thread: Row
) -> None:
    await fill(pool, owner, thread, 60_000)
    assert str((await depth_of(pool, thread.partition)).waiting) == f"{COUNTED:,}+"
    plan = await plan_of(pool, "depths", COUNTED + 1)
    assert max(rows_read(plan)) <= COUNTED + 1
    assert max(rows_read(await plan_of(pool, "oldest", 200))) <= 200


async def test_reads_of_a_backlog_take_no_longer_than_a_person_waits(
    pool: asyncpg.Pool, owner: Owner, thread: Row
) -> None:
    await fill(pool, owner, thread, 60_000)
    start = time.monotonic()
    await read_stored(pool)
    assert len((await batches.waiting_batches(pool, 50)).items) == 50
    assert time.monotonic() - start < 2


async def test_wake_ups_are_told_apart_by_whether_a_worker_has_them(
    pool: asyncpg.Pool, redis: Redis, keys: Keys, settings: Settings
) -> None:
    queue = Queue(redis, keys)
    await queue.ring([Waiting(partition, ids.BatchId(partition), 1_000) for partition in (1, 2, 3)])
    await queue.claim(2)
    found = await queue_status(pool, redis, keys, settings)
    assert (found.backlog.most, found.backlog.used) == (settings.backlog_limit, Count(3))
    rung = found.rung
    assert rung is not None
    assert (rung.wake_ups["apply"].queued, rung.wake_ups["apply"].in_progress) == (1, 2)
    assert rung.waiting == {1: 1, 2: 1, 3: 1}
    assert len(rung.rung) == 1


async def test_workers_are_listed_with_the_age_of_their_heartbeat(
    pool: asyncpg.Pool, redis: Redis, keys: Keys, settings: Settings
) -> None:
    fresh, silent, gone = ids.mint(), ids.mint(), ids.mint()
    await pool.executemany(
        "insert into workers (id, host, pid, roles, version, seen_at)"
        " values ($1, 'a', 1, 'all', '0.1.0', clock_timestamp() - make_interval(secs => $2))",
        [(fresh, 1.0), (silent, 90.0), (gone, 86_400.0)],
    )
    await redis.set(keys.worker(fresh), b"{}")
    found = await queue_status(pool, redis, keys, settings)
    assert found.stored is not None
    assert found.rung is not None
    assert [worker.id for worker in found.stored.workers] == [silent, fresh]  # the latest started first
    assert 90 <= found.stored.workers[0].silent < 120
    assert found.rung.workers == (fresh,)


async def test_without_redis_the_half_of_postgres_is_shown(
    pool: asyncpg.Pool, owner: Owner, thread: Row, keys: Keys, settings: Settings
) -> None:
    await add_batch(pool, owner, thread)
    nowhere = open_redis("redis://127.0.0.1:1/0", 0.5)
    found = await queue_status(pool, nowhere, keys, settings)
    assert (found.rung, found.backlog.used) == (None, None)
    assert found.stored is not None
    assert found.stored.waiting == Count(1)
    assert list(found.errors) == ["redis"]
    await nowhere.aclose()


async def test_without_postgres_the_half_of_redis_is_shown(
    redis: Redis, keys: Keys, settings: Settings, pool: asyncpg.Pool
) -> None:
    await Queue(redis, keys).ring([Waiting(1, ids.BatchId(1), 1_000)])
    pool.terminate()
    found = await queue_status(pool, redis, keys, settings)
    assert found.stored is None
    assert found.rung is not None
    assert found.rung.waiting == {1: 1}
    assert list(found.errors) == ["postgres"]


async def test_an_operators_read_ends_by_itself(pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        await inspect.bound(connection)
        assert await connection.fetchval("show statement_timeout") == "10s"
