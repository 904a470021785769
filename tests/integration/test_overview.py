"""The overview says what is so, costs the same whatever waits, and shows one half where the other one is away."""

import time
from collections.abc import AsyncIterator

import asyncpg
import pytest
from redis.asyncio import Redis

from bench.big import Size, fill, ring
from shared import ids, inspect
from shared.db.connect import connect
from shared.inspect.counts import COUNTED, Count
from shared.inspect.overview import ACTIVE, Alive, overview
from shared.inspect.page import FIRST, LAST
from shared.inspect.partitions import ACCOUNTS
from shared.inspect.servers import PATIENCE
from shared.keys import Keys
from shared.queue import open_redis
from shared.settings import Settings
from tests.prepared import execute, prepare
from tests.rows import PARTITIONS, add_batch, add_owner, add_thread

MANY, THREADS = 10_000, 2_000  # batches that wait, threads
PROCESSES = """
insert into workers (id, host, pid, roles, version)
select gen_random_uuid(), 'a', n, 'all', '0' from generate_series(1, 2000) n;
insert into apis (id, host, pid, port, version)
select gen_random_uuid(), 'a', n, 80, '0' from generate_series(1, 2000) n;
"""
AWAY = "redis://127.0.0.1:1/0"


@pytest.fixture
async def db(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(settings.database_url)
    await inspect.bound(connection)
    yield connection
    await connection.close()


@pytest.fixture
def keys(redis_prefix: str) -> Keys:
    return Keys(redis_prefix)


async def test_the_overview_reads_as_little_of_a_big_database_as_of_a_small_one(
    db: asyncpg.Connection, settings: Settings, redis: Redis, keys: Keys
) -> None:
    for noun in ("overview", "partitions", "fleet"):
        await prepare(db, noun)  # as a session that was there from the first day
    filler = await connect(settings.database_url, synchronous_commit="off")
    await fill(filler, Size(threads=THREADS, batches=MANY, events=THREADS, applied=THREADS, accounts=100))
    await filler.execute(PROCESSES)
    await ring(filler, redis, keys)
    await filler.close()
    probes: tuple[object, ...] = (ACCOUNTS, [], [])
    cases = {
        ("overview", "backlog"): ((COUNTED + 1,), 2 * (COUNTED + 1) + MANY // 5_000),
        ("overview", "active_runs"): ((COUNTED + 1, 3), COUNTED + 1 + 3),
        ("partitions", "oldest"): (probes, PARTITIONS * ACCOUNTS),
        ("partitions", "accounts"): ((FIRST, 3, 11), 2 * 3 * PARTITIONS + 3 * 11),
        ("partitions", "paused_accounts"): ((FIRST, 3, 11), 0),
        ("partitions", "account"): ((FIRST, 11), 0),
        ("fleet", "workers"): ((3_600.0, LAST, 3, None), 3),
        ("fleet", "apis"): ((3_600.0, LAST, 3), 3),
    }
    for name, (arguments, most) in cases.items():
        plan = await execute(db, *name, *arguments)
        scans = [scan for scan in plan.scans if scan.table in {"batches", "runs", "workers", "apis"}]
        assert sum(scan.read + scan.removed for scan in scans) <= most, (name, plan)
        assert all(scan.index for scan in scans), (name, plan)
    begun = time.monotonic()
    found = await overview(db, redis, keys, PARTITIONS)
    assert time.monotonic() - begun < 1.0  # some 40 ms, on a machine that does nothing else
    assert found.stored is not None
    assert found.rung is not None
    assert (found.errors, found.rung.waiting) == ({}, MANY - MANY // 100)
    backlog = found.stored.backlog
    assert (backlog.waiting, backlog.blocked) == (Count(COUNTED, at_least=True), Count(MANY // 100))
    assert backlog.dead == Count(MANY // 5_000)
    assert backlog.oldest_age == pytest.approx(3_600, abs=120)
    assert [str(found.stored.active[status]) for status in ACTIVE] == [f"{THREADS // 20}", "0", "2", "2"]


async def test_the_oldest_batch_is_known_though_many_accounts_have_work(
    db: asyncpg.Connection, pool: asyncpg.Pool, redis: Redis, keys: Keys
) -> None:
    """Redis names it; Postgres says whether it still waits, and since when."""
    owners = sorted([await add_owner(pool, f"account {n}") for n in range(ACCOUNTS + 2)], key=lambda one: one.account)
    threads = [await add_thread(pool, owners[0])]
    partition = threads[0].partition
    for owner in owners:
        batch = await add_batch(pool, owner, threads[0], age=7_200 if owner is owners[-1] else 60)
    probed = await overview(db, open_redis(AWAY, 0.5), keys, PARTITIONS)
    assert probed.stored is not None
    assert (round(probed.stored.backlog.oldest_age or 0, -1), probed.stored.backlog.at_least) == (60, True)
    await redis.zadd(keys.waiting(partition), {str(batch): 1})
    named = await overview(db, redis, keys, PARTITIONS)
    assert named.stored is not None
    assert (round(named.stored.backlog.oldest_age or 0, -1), named.stored.backlog.at_least) == (7_200, False)
    await pool.execute("update accounts set held = true where id = $1", owners[-1].account)
    paused = await overview(db, redis, keys, PARTITIONS)
    assert paused.stored is not None
    backlog = paused.stored.backlog
    assert (round(backlog.oldest_age or 0, -1), backlog.waiting, backlog.held) == (60, Count(ACCOUNTS + 2), Count(1))


async def test_a_process_that_fell_silent_is_told_apart_from_one_that_lives(
    db: asyncpg.Connection, pool: asyncpg.Pool, redis: Redis, keys: Keys
) -> None:
    await pool.executemany(
        "insert into workers (id, host, pid, roles, version, seen_at)"
        " values ($1, 'a', 1, 'all', '0.1.0', clock_timestamp() - make_interval(secs => $2))",
        [(ids.mint(), 1.0), (ids.mint(), 90.0), (ids.mint(), 86_400.0)],
    )
    await pool.execute("insert into apis (id, host, pid, port, version) values ($1, 'a', 2, 80, '0.1.0')", ids.mint())
    found = await overview(db, redis, keys, PARTITIONS)
    assert found.stored is not None
    assert (found.stored.workers, found.stored.apis) == (Alive(1, 1), Alive(1, 0))


async def test_each_half_is_shown_without_the_other_one_and_soon(
    db: asyncpg.Connection, redis: Redis, keys: Keys
) -> None:
    begun = time.monotonic()
    without_redis = await overview(db, open_redis(AWAY, 0.5), keys, PARTITIONS)
    assert (without_redis.stored is not None, without_redis.rung, list(without_redis.errors)) == (True, None, ["redis"])
    without_postgres = await overview(None, redis, keys, PARTITIONS)
    assert (without_postgres.stored, without_postgres.rung is not None) == (None, True)
    db.terminate()
    gone = await overview(db, redis, keys, PARTITIONS)
    assert (gone.stored, gone.rung is not None, list(gone.errors)) == (None, True, ["postgres"])
    assert time.monotonic() - begun < 3 * PATIENCE
