"""Upkeep: Redis agrees with Postgres again, and what has had its time is forgotten."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from shared import ids
from shared.events import ThreadDeleted
from shared.ids import BatchId, ThreadId
from shared.keys import Keys
from shared.queue import open_redis
from shared.settings import Settings
from tests.driver import Driver
from tests.pipeline import PARTITIONS, message
from tests.prepared import execute, prepare
from tests.rows import add_batch, add_owner, add_thread
from worker import upkeep as module
from worker.upkeep import Upkeep


@pytest.fixture
async def upkeep(settings: Settings) -> AsyncIterator[Upkeep]:
    upkeep = Upkeep(settings, open_redis(settings.redis_url, 1), PARTITIONS)
    yield upkeep
    await upkeep.close()


@pytest.fixture
def keys(settings: Settings) -> Keys:
    return Keys(settings.redis_prefix)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 3)
    monkeypatch.setattr(module, "SHARE", 3)


async def members(redis: Redis, keys: Keys) -> dict[int, list[int]]:
    """What each waiting set holds, without the empty ones."""
    sets = {p: await redis.zrange(keys.waiting(p), 0, -1) for p in range(PARTITIONS)}
    return {partition: sorted(map(int, found)) for partition, found in sets.items() if found}


async def late(driver: Driver, count: int) -> dict[int, list[int]]:
    """Batches of one thread that have waited for 10 s, as the sets should hold them."""
    owner = await add_owner(driver.pool, "late")
    thread = await add_thread(driver.pool, owner)
    return {thread.partition: [await add_batch(driver.pool, owner, thread, age=10) for _ in range(count)]}


async def rows_of(driver: Driver, table: str, thread: ThreadId) -> int:
    found: int = await driver.pool.fetchval(f"select count(*) from {table} where thread = $1", thread)  # noqa: S608 - names of ours
    return found


async def test_after_redis_was_emptied_what_waits_is_in_its_sets_again(
    driver: Driver, upkeep: Upkeep, redis: Redis, keys: Keys, small_pages: None
) -> None:
    waiting = await late(driver, 8)
    for _ in range(4):
        await upkeep.reconcile_once()
    assert await members(redis, keys) == waiting


async def test_what_was_accepted_just_now_is_left_to_its_bell(
    driver: Driver, upkeep: Upkeep, redis: Redis, keys: Keys
) -> None:
    await driver.accept(await driver.create(), message())
    await upkeep.reconcile_once()
    assert await members(redis, keys) == {}


async def test_members_that_no_longer_wait_go_and_those_that_do_stay(
    driver: Driver, upkeep: Upkeep, redis: Redis, keys: Keys, small_pages: None
) -> None:
    waiting = await late(driver, 4)
    ((partition, batches),) = waiting.items()
    applied = [batch + 10_000 for batch in range(20)]
    for batch in (*batches, *applied):
        await redis.zadd(keys.waiting(partition), {str(batch): 1_000 + batch})
    for _ in range(8):
        await upkeep.reconcile_once()
    assert await members(redis, keys) == waiting


async def test_what_no_longer_waits_in_one_set_goes_in_one_go_however_much_waits_in_others(
    driver: Driver, upkeep: Upkeep, redis: Redis, keys: Keys, small_pages: None
) -> None:
    owner = await add_owner(driver.pool, "right")
    for _ in range(6):
        thread = await add_thread(driver.pool, owner)
        right = {str(await add_batch(driver.pool, owner, thread, age=10)): 1_000 for _ in range(3)}
        await redis.zadd(keys.waiting(thread.partition), right)
    stale = min({*range(PARTITIONS)} - (await members(redis, keys)).keys())
    await redis.zadd(keys.waiting(stale), {str(10_000 + n): 1_000 + n for n in range(30)})
    await upkeep.reconcile_once()
    assert await redis.zcard(keys.waiting(stale)) == 0


@pytest.mark.parametrize("change", ["blocked = true", "applied_at = now(), outcome = '{}'"])
async def test_a_batch_that_stopped_waiting_leaves_its_set(
    driver: Driver, upkeep: Upkeep, redis: Redis, keys: Keys, change: str
) -> None:
    await late(driver, 2)
    await upkeep.reconcile_once()
    await driver.pool.execute(f"update batches set {change}")  # noqa: S608 - a literal of this test
    await upkeep.reconcile_once()
    assert await members(redis, keys) == {}


async def test_members_younger_than_two_seconds_are_left_alone(
    driver: Driver, upkeep: Upkeep, redis: Redis, keys: Keys
) -> None:
    now = await driver.pool.fetchval("select clock_timestamp()")
    await redis.zadd(keys.waiting(7), {"99": now.timestamp() * 1000, "98": (now.timestamp() - 5) * 1000})
    await upkeep.reconcile_once()
    assert await members(redis, keys) == {7: [99]}


async def keyed_batches(driver: Driver, ages: list[float]) -> list[BatchId]:
    """Batches with a key each, accepted long ago and applied so many hours ago."""
    owner = await add_owner(driver.pool, "old")
    thread = await add_thread(driver.pool, owner)
    made = []
    for hours in ages:
        batch = await add_batch(driver.pool, owner, thread)
        await driver.pool.execute(
            "update batches set accepted_at = clock_timestamp() - interval '200 hours',"
            " applied_at = clock_timestamp() - $2::interval, outcome = '{}' where id = $1",
            batch,
            timedelta(hours=hours),
        )
        await driver.pool.execute(
            "insert into idempotency_keys (token, key, route, hash, partition, batch) values ($1, $2, '', '', $3, $4)",
            *(owner.token, f"key-{batch}", thread.partition, batch),
        )
        made.append(batch)
    return made


async def ids_in(driver: Driver, column: str, table: str) -> list[Any]:
    return [row[0] for row in await driver.pool.fetch(f"select {column} from {table} order by 1")]  # noqa: S608 - names of ours


async def test_applied_batches_go_with_their_keys_after_their_time_and_no_others(
    driver: Driver, upkeep: Upkeep
) -> None:
    old, young, oldest = await keyed_batches(driver, [25, 23, 100])
    waiting = await late(driver, 1)
    assert await upkeep.forget_once() == 2
    assert old != oldest
    assert await ids_in(driver, "batch", "idempotency_keys") == [young]
    assert await ids_in(driver, "id", "batches") == [young, *next(iter(waiting.values()))]


async def test_old_batches_are_found_behind_those_that_must_stay(
    driver: Driver, upkeep: Upkeep, small_pages: None
) -> None:
    made = await keyed_batches(driver, [1, 1, 1, 1, 25, 25, 1, 25])
    for _ in range(4):
        await upkeep.forget_once()
    assert await ids_in(driver, "id", "batches") == [*made[:4], made[6]]


async def test_where_the_oldest_came_today_no_other_is_looked_at(
    driver: Driver, upkeep: Upkeep, by_index: asyncpg.Connection
) -> None:
    await keyed_batches(driver, [25, 25, 25])
    await driver.pool.execute("update batches set accepted_at = clock_timestamp() - interval '23 hours'")
    await prepare(by_index, "sweep")
    partition = await driver.pool.fetchval("select distinct partition from batches")
    plan = await execute(by_index, "sweep", "forget_batches", partition, 24.0, 100, 0)
    assert sum(scan.read + scan.removed for scan in plan.scans if scan.table == "batches") == 1
    assert await upkeep.forget_once() == 0


async def test_a_batch_that_a_clock_ahead_accepted_keeps_those_behind_it_no_longer(
    driver: Driver, upkeep: Upkeep
) -> None:
    made = await keyed_batches(driver, [25, 25])
    await driver.pool.execute("update batches set accepted_at = now() + interval '1 day' where id = $1", made[0])
    assert await upkeep.forget_once() == 2


async def test_a_deleted_thread_is_purged_page_by_page_and_leaves_its_batches_and_keys(
    driver: Driver, upkeep: Upkeep, small_pages: None
) -> None:
    thread, _, _ = await driver.asking()
    await driver.send(thread, *[message(str(n), client_request_id=str(n)) for n in range(10)])
    kept = await driver.create(message())
    await driver.send(thread, ThreadDeleted())
    await upkeep.purge_once()
    assert await rows_of(driver, "runs", thread) == 11  # a tombstone younger than five seconds
    await driver.pool.execute("update threads set deleted_at = deleted_at - interval '6 seconds' where id = $1", thread)
    await upkeep.purge_once()
    for table in ("runs", "messages", "thread_events", "permission_requests", "client_requests", "steers"):
        assert await rows_of(driver, table, thread) == 0, table
    assert await rows_of(driver, "batches", thread) == 3
    assert await rows_of(driver, "runs", kept) == 1
    row = await driver.thread(thread)
    assert (row["purged_at"] is not None, row["title"], row["user_id"]) == (True, None, None)


async def test_a_tombstone_goes_once_nobody_can_ask_for_it(driver: Driver, upkeep: Upkeep) -> None:
    old, young = await driver.create(ThreadDeleted()), await driver.create(ThreadDeleted())
    await driver.pool.execute(
        "update threads set purged_at = now() - case when id = $1 then interval '25 hours' else interval '1 hour' end",
        old,
    )
    await driver.pool.execute("insert into thread_numbers (partition, thread) select partition, id from threads")
    await upkeep.forget_once()
    for column, table in (("id", "threads"), ("thread", "thread_numbers")):
        assert await ids_in(driver, column, table) == [young]


async def test_notes_of_those_who_left_long_ago_are_forgotten(driver: Driver, upkeep: Upkeep) -> None:
    ref = await driver.accept(await driver.create(), message())
    row = await driver.batch(ref)
    owners = [ids.mint() for _ in range(3)]
    for owner, batches, hours in zip(owners, ([], [row["id"]], []), (2, 2, 0), strict=True):
        await driver.pool.execute(
            "insert into drains (owner, partitions, batches, started_at) values ($1, $2, $3, now() - $4::interval)",
            *(owner, [row["partition"]], batches, timedelta(hours=hours)),
        )
    await upkeep.forget_once()
    left = await ids_in(driver, "owner", "drains")
    assert owners[0] not in left
    assert {owners[1], owners[2]} <= set(left)
