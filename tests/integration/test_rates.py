"""Samples and rates: what all processes counted, added up by ten seconds, and read again as rates."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import asyncpg
import pytest

from shared.db.connect import Line, connect
from shared.inspect import rates as module
from shared.inspect.rates import POINTS, rates, series
from shared.metrics import ACCEPTED, APPLIED, ENDED_RUNS, LATENCY, LATENCY_BOUNDS
from shared.queue import open_redis
from shared.samples import COLUMNS, LOCK_TIMEOUT_MS, SQL, Samples, Side
from shared.settings import Settings
from tests.watch import until
from worker.upkeep import Upkeep


@pytest.fixture(autouse=True)
async def early(pool: asyncpg.Pool) -> None:
    """No ten seconds end while a test looks at them."""

    async def there_is_time() -> bool:
        found: bool = await pool.fetchval("select extract(epoch from clock_timestamp())::numeric % 10 < 9")
        return found

    await until(there_is_time)


@pytest.fixture
async def connection(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(settings.database_url, lock_timeout=str(LOCK_TIMEOUT_MS))
    yield connection
    await connection.close()


async def whole(db: asyncpg.Pool, ago: int) -> datetime:
    """The beginning of a whole bucket: the latest one is 1 `ago`."""
    found: datetime = await db.fetchval(SQL["until"])
    return found - timedelta(seconds=10 * ago)


async def sample(db: asyncpg.Pool, ago: int, accepted: int, *waits: float) -> None:
    """One bucket, with an applied batch for each of `waits`."""
    counts = [0] * (len(LATENCY_BOUNDS) + 1)
    for wait in waits:
        counts[sum(bound < wait for bound in LATENCY_BOUNDS)] += 1
    await db.execute(
        "insert into samples (at, accepted, applied, failed, latency) values ($1, $2, $3, 3, $4)",
        *(await whole(db, ago), accepted, len(waits), counts if waits else []),
    )


async def test_what_several_processes_counted_is_added_up(connection: asyncpg.Connection, pool: asyncpg.Pool) -> None:
    api, first, second = Samples(Side.API), Samples(Side.WORKER), Samples(Side.WORKER)
    ACCEPTED.inc(5)
    APPLIED.labels("arq").inc(2)
    APPLIED.labels("sweep").inc(1)
    ENDED_RUNS.labels("failed").inc()
    LATENCY.observe([0.003, 0.003, 10_000.0])
    for samples in (api, first, second, first):  # a second time there is nothing new
        await samples.add(connection)
    row = await pool.fetchrow("select * from samples")
    assert [row[column] for column in COLUMNS] == [5, 6, 0, 0, 2, 0, 0]
    expected = [0] * (len(LATENCY_BOUNDS) + 1)
    expected[LATENCY_BOUNDS.index(0.00315)], expected[-1] = 4, 2
    assert row["latency"] == expected


@pytest.mark.straight
async def test_what_could_not_be_added_is_added_the_next_time(settings: Settings, pool: asyncpg.Pool) -> None:
    samples, line = Samples(Side.API), Line(settings.database_url, lock_timeout="20")
    async with pool.acquire() as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("lock table samples")
        ACCEPTED.inc(7)
        await samples.add_if_due(line)
        await transaction.rollback()
    await samples.add(await line.get())
    assert await pool.fetchval("select sum(accepted) from samples") == 7
    await line.close()


async def test_rates_are_of_the_last_whole_minute(pool: asyncpg.Pool) -> None:
    assert await rates(pool) is None
    for ago in range(8):
        await sample(pool, ago, 100 if 1 <= ago <= 6 else 9_999, *[0.003] * 95, *[0.3] * 5)
    found = await rates(pool)
    assert found is not None
    assert (found.over, found.accepted, found.applied, found.failed) == (60, 10.0, 10.0, 0.3)
    assert found.p50 == pytest.approx(0.003, rel=0.28)
    assert found.p95 == pytest.approx(0.003, rel=0.28)
    assert found.p99 == pytest.approx(0.3, rel=0.28)


async def test_a_service_that_began_just_now_is_not_measured_over_a_minute(pool: asyncpg.Pool) -> None:
    await sample(pool, 1, 50)
    found = await rates(pool)
    assert found is not None
    assert (found.over, found.accepted, found.p50) == (10, 5.0, None)


async def test_a_series_has_its_points_and_its_gaps(pool: asyncpg.Pool) -> None:
    await sample(pool, 1, 60)
    await sample(pool, 2, 60)
    await sample(pool, 360, 30)
    await sample(pool, 361, 30)
    found = await series(pool, 60)
    assert (found.step, len(found.points)) == (60, POINTS)
    assert found.points[-1].rates is not None
    assert found.points[-1].rates.accepted == 6.0
    assert found.points[0].rates is not None
    assert found.points[0].rates.accepted == 3.0
    assert all(point.rates is None for point in found.points[1:-1])
    assert {b.at - a.at for a, b in zip(found.points, found.points[1:], strict=False)} == {timedelta(minutes=1)}
    with pytest.raises(ValueError, match="multiple of 10"):
        await series(pool, 61)


async def test_samples_and_apis_that_are_old_are_forgotten_by_upkeep(settings: Settings, pool: asyncpg.Pool) -> None:
    await sample(pool, 1, 1)
    await sample(pool, 6 * 360 + 1, 1)
    await pool.execute(
        "insert into apis (id, host, pid, port, version, seen_at)"
        " values (gen_random_uuid(), 'old', 1, 1, '0', now() - interval '61 minutes'),"
        " (gen_random_uuid(), 'young', 1, 1, '0', now() - interval '59 minutes')"
    )
    upkeep = Upkeep(settings, open_redis(settings.redis_url, 1), 64)
    await upkeep.forget_once()
    await upkeep.close()
    assert await pool.fetchval("select count(*) from samples") == 1
    assert await pool.fetchval("select array_agg(host) from apis") == ["young"]


@pytest.mark.parametrize("true", [0.0007, 0.0021, 0.0123, 0.45, 7.9, 640.0])
def test_a_quantile_is_less_than_28_percent_off(true: float) -> None:
    counts = [0] * (len(LATENCY_BOUNDS) + 1)
    counts[sum(bound < true for bound in LATENCY_BOUNDS)] = 100
    for q in (0.01, 0.5, 0.99):
        assert module.quantile(counts, q) == pytest.approx(true, rel=0.28)


def test_a_quantile_beyond_all_bounds_is_the_last_bound() -> None:
    assert module.quantile([0] * len(LATENCY_BOUNDS) + [3], 0.5) == 1_000.0
    assert module.quantile([0] * (len(LATENCY_BOUNDS) + 1), 0.5) is None
