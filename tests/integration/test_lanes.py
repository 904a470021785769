"""Two lanes: what rings is drained beside a backlog, and nothing that rang or was left is forgotten."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import asyncpg
import pytest
from prometheus_client import Counter

from shared import ids
from shared.db.connect import connect
from shared.ids import BatchRef, ThreadId
from shared.keys import Keys
from shared.metrics import POSTGRES_ERRORS
from shared.queue import Queue, open_redis
from shared.settings import Settings
from shared.tasks import end
from tests.driver import Driver
from tests.pipeline import PARTITIONS, message
from tests.rows import Owner, Row, a_message, add_owner, add_thread
from tests.watch import until
from worker import standby
from worker.aftermath import Aftermath
from worker.apply import TRIES
from worker.doorbell import Doorbell
from worker.lanes import FEW, Lanes
from worker.pace import LONG
from worker.sweep import INTERVAL, Sweep

SMALL = 4  # batches of a drain: a backlog of few


@pytest.fixture
async def lanes(settings: Settings) -> AsyncIterator[Lanes]:
    queue = Queue(open_redis(settings.redis_url, 1), Keys(settings.redis_prefix))
    small = settings.model_copy(update={"drain_limit": SMALL})
    lanes = Lanes(small, Aftermath(queue), PARTITIONS, via="arq", wait=True)
    yield lanes
    await lanes.close()
    await queue.close()


@pytest.fixture
async def other(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """Another worker's connection."""
    connection = await connect(settings.database_url)
    yield connection
    await connection.close()


async def add_batches(pool: asyncpg.Pool, thread: Row, owner: Owner, count: int) -> None:
    """So many batches of one message each wait in the thread."""
    await pool.executemany(
        "insert into batches (partition, id, ref, thread, account, token, events)"
        " values ($1, nextval('batch_ids'), gen_random_uuid(), $2, $3, $4, $5)",
        [(thread.partition, thread.id, owner.account, owner.token, a_message()) for _ in range(count)],
    )


def place(thread: ThreadId) -> int:
    return ids.partition_of(thread, PARTITIONS)


async def two_places(driver: Driver) -> tuple[ThreadId, ThreadId]:
    """Two threads that share no partition."""
    one, two = await driver.create(), await driver.create()
    while place(one) == place(two):
        two = await driver.create()
    await driver.drain()
    return one, two


async def is_applied(driver: Driver, ref: BatchRef) -> bool:
    return (await driver.batch(ref))["applied_at"] is not None


async def test_what_is_left_of_a_backlog_is_gone_on_with_until_nothing_is(driver: Driver, lanes: Lanes) -> None:
    threads = [await driver.create() for _ in range(6)]
    await driver.drain()
    refs = [await driver.accept(thread, message()) for thread in threads for _ in range(5)]
    applied = await lanes.drain({place(thread) for thread in threads})
    assert lanes.busy
    while lanes.busy:
        applied += await lanes.drain(())
    assert applied == len(refs)
    assert lanes.known == set()
    assert all([await is_applied(driver, ref) for ref in refs])


async def test_a_backlog_that_fills_its_drains_is_taken_from_fewer_partitions(driver: Driver, lanes: Lanes) -> None:
    owner = await add_owner(driver.pool, "many")
    rows = {row.partition: row for row in [await add_thread(driver.pool, owner) for _ in range(60)]}
    for row in rows.values():
        await add_batches(driver.pool, row, owner, 6)
    broadest = lanes._breadth
    applied, widths = await lanes.drain(rows), []
    while lanes.busy:
        applied += await lanes.drain(())
        widths.append(len(lanes._in_hand))
    assert broadest == PARTITIONS
    assert widths[0] > PARTITIONS // FEW
    assert PARTITIONS // FEW in widths[: len(widths) // 2]
    assert applied == 6 * len(rows)
    for _ in range(12):  # nothing is left: the next backlog begins with all of them
        lanes._left.update(dict.fromkeys(rows))
        await lanes.drain(())
    assert lanes._breadth == broadest


async def test_while_somebody_with_little_is_about_a_drain_of_the_backlog_waits_for_the_one_before(
    driver: Driver, lanes: Lanes
) -> None:
    long, short = await two_places(driver)
    first, second = await driver.accept(long, message()), await driver.accept(short, message())
    lanes.pace.hurry()
    async with lanes.pace.turn():
        waiting = asyncio.create_task(lanes._once(lanes.second, [place(long)]))
        await lanes._once(lanes.first, [place(short)], light=True)
        assert [await is_applied(driver, ref) for ref in (first, second)] == [False, True]
    await waiting
    assert await is_applied(driver, first)


async def test_what_rings_does_not_wait_for_the_backlog_in_hand(
    driver: Driver, lanes: Lanes, other: asyncpg.Connection
) -> None:
    long, short = await two_places(driver)
    backlog = [await driver.accept(long, message()) for _ in range(3 * SMALL)]
    await lanes.drain([place(long)])
    async with other.transaction():  # the second lane waits for its partition
        await other.execute("select pg_advisory_xact_lock(1, $1)", place(long))
        first, second = await driver.accept(short, message()), await driver.accept(long, message())
        await lanes.drain([place(short), place(long)])
        assert await is_applied(driver, first)
        assert place(long) in lanes.known
    while lanes.busy:
        await lanes.drain(())
    assert all([await is_applied(driver, ref) for ref in (*backlog, second)])


async def test_a_drain_for_those_with_little_waiting_takes_no_partition_its_turn(
    driver: Driver, settings: Settings
) -> None:
    """Everything rings again and again, and each time somebody with little waiting is there: all partitions move."""
    queue = Queue(open_redis(settings.redis_url, 1), Keys(settings.redis_prefix))
    lanes = Lanes(settings, Aftermath(queue), PARTITIONS, via="arq", wait=True)
    noisy, quiet = await add_owner(driver.pool, "noisy"), await add_owner(driver.pool, "quiet")
    rows = [await add_thread(driver.pool, noisy) for _ in range(200)]
    places = {row.partition for row in rows}
    for row in rows:
        await add_batches(driver.pool, row, noisy, 4)
    one = await add_thread(driver.pool, quiet)
    for _ in range(3 * len(places)):
        await add_batches(driver.pool, one, quiet, 1)
        await lanes.drain(places | {one.partition})
    moved = await driver.pool.fetch(
        "select distinct partition from batches where account = $1 and applied_at is not null", noisy.account
    )
    await lanes.finish()
    await lanes.close()
    await queue.close()
    assert {row["partition"] for row in moved} == places


async def test_a_second_lane_that_has_just_begun_does_not_count_as_one_that_hangs(
    driver: Driver, lanes: Lanes, other: asyncpg.Connection
) -> None:
    noisy = await add_owner(driver.pool, "noisy")
    rows = {row.partition: row for row in [await add_thread(driver.pool, noisy) for _ in range(40)]}
    for row in rows.values():
        await add_batches(driver.pool, row, noisy, 2)
    await lanes.drain(rows)
    async with other.transaction():
        await other.execute("select pg_advisory_xact_lock(1, $1)", next(iter(lanes._left)))
        lanes.pace.hurry()
        assert await lanes.drain(()) == 0


@pytest.mark.slow  # it hangs for a second
async def test_a_second_lane_that_hangs_keeps_no_backlog_waiting_while_those_with_little_are_about(
    driver: Driver, lanes: Lanes, other: asyncpg.Connection
) -> None:
    noisy, quiet = await add_owner(driver.pool, "noisy"), await add_owner(driver.pool, "quiet")
    rows = {row.partition: row for row in [await add_thread(driver.pool, noisy) for _ in range(40)]}
    for row in rows.values():
        await add_batches(driver.pool, row, noisy, 2 * SMALL)
    await lanes.drain(rows)
    first = next(iter(lanes._left))  # the second lane's turn begins with it
    waiting = "select count(distinct partition) from batches where applied_at is null"
    async with other.transaction(), asyncio.timeout(4 * LONG):
        await other.execute("select pg_advisory_xact_lock(1, $1)", first)
        while await other.fetchval(waiting) > PARTITIONS // FEW:
            lanes.pace.hurry()
            ringing = await add_thread(driver.pool, quiet)  # something rings all the time
            if ringing.partition != first:
                await add_batches(driver.pool, ringing, quiet, 1)
                await lanes.drain([ringing.partition])
    await finished(lanes)


async def test_redis_goes_while_there_is_a_backlog_and_the_sweep_takes_it(driver: Driver, settings: Settings) -> None:
    gone = settings.model_copy(update={"drain_limit": SMALL, "redis_url": "redis://127.0.0.1:1/0"})
    queue = Queue(open_redis(gone.redis_url, 1), Keys(gone.redis_prefix))
    rung, swept = (Lanes(gone, Aftermath(queue), PARTITIONS, via=via, wait=via == "arq") for via in ("arq", "sweep"))
    bell, sweep = Doorbell(queue, queue, rung, PARTITIONS), Sweep(settings.database_url, swept, rung)
    long, _ = await two_places(driver)
    refs = [await driver.accept(long, message()) for _ in range(3 * SMALL)]
    await rung.drain([place(long)])
    assert place(long) in rung.known
    loops = [asyncio.create_task(bell.run()), asyncio.create_task(sweep.run())]
    for ref in (*refs, await driver.accept(long, message())):
        await until(partial(is_applied, driver, ref), 3)
    bell.stop()
    sweep.stop()
    await end(loops)
    await sweep.close()
    await bell.close()
    await queue.close()


async def test_a_drain_that_hangs_hides_its_partitions_from_the_sweep_for_a_second(
    driver: Driver, lanes: Lanes, other: asyncpg.Connection
) -> None:
    thread = await driver.create()
    async with other.transaction():
        await other.execute("select pg_advisory_xact_lock(1, $1)", place(thread))
        draining = asyncio.create_task(lanes.drain([place(thread)]))
        await until(lambda: waits(other))
        assert place(thread) in lanes.known
        started = asyncio.get_running_loop().time()
        await until(partial(unknown, lanes, place(thread)))
        assert asyncio.get_running_loop().time() - started < 2 * LONG
    await draining


async def test_lanes_do_not_spin_around_a_thread_that_somebody_holds_for_long(
    driver: Driver, lanes: Lanes, other: asyncpg.Connection
) -> None:
    thread = await driver.create()
    await driver.drain()
    refs = [await driver.accept(thread, message()) for _ in range(3 * SMALL)]
    async with other.transaction():
        await other.execute("select from threads where id = $1 for update", thread)
        drains = 1
        await lanes.drain([place(thread)])
        while lanes.busy:
            await lanes.drain(())
            drains += 1
            assert drains < 5 * standby.MOST
    await lanes.drain([place(thread)])
    await finished(lanes)
    assert all([await is_applied(driver, ref) for ref in refs])


async def waits(other: asyncpg.Connection) -> bool:
    return bool(await other.fetchval("select count(*) from pg_locks where locktype = 'advisory' and not granted"))


async def unknown(lanes: Lanes, partition: int) -> bool:
    return partition not in lanes.known


async def test_a_sweep_that_meets_no_postgres_pauses_although_there_is_a_backlog(
    driver: Driver, lanes: Lanes, settings: Settings
) -> None:
    long, _ = await two_places(driver)
    for _ in range(2 * SMALL):
        await driver.accept(long, message())
    await lanes.drain([place(long)])
    errors = POSTGRES_ERRORS.labels("sweep")
    sweep, before = Sweep("postgresql://127.0.0.1:1/nothing", lanes), errors._value.get()
    loop = asyncio.create_task(sweep.run())
    await until(partial(counted, errors, before + 2))
    started = asyncio.get_running_loop().time()
    await until(partial(counted, errors, before + 4))
    assert asyncio.get_running_loop().time() - started > INTERVAL
    await end([loop])


async def counted(counter: Counter, most: float) -> bool:
    return bool(counter._value.get() >= most)


async def test_an_error_of_the_second_lane_is_told_by_the_next_drain_and_its_partitions_are_the_sweeps(
    driver: Driver, lanes: Lanes, other: asyncpg.Connection
) -> None:
    long, short = await two_places(driver)
    for _ in range(3 * SMALL):
        await driver.accept(long, message())
    await lanes.drain([place(long)])
    async with other.transaction():
        await other.execute("select pg_advisory_xact_lock(1, $1)", place(long))
        await lanes.drain([place(short)])  # begins the second lane, which waits
        gone: set[int] = set()
        while len(gone) < TRIES:
            await until(lambda: ended(other, gone))
        with pytest.raises(asyncpg.PostgresConnectionError):
            await finished(lanes)
    assert place(long) not in lanes.known


async def ended(other: asyncpg.Connection, gone: set[int]) -> bool:
    """Ends who waits for a partition and was not ended before; whether there was one."""
    rows = await other.fetch(
        "select pid from pg_locks join pg_database d on d.oid = database"
        " where locktype = 'advisory' and not granted and datname = current_database()"
    )
    found = {row["pid"] for row in rows} - gone
    gone |= found
    for pid in found:
        await other.execute("select pg_terminate_backend($1)", pid)
    return bool(found)


async def finished(lanes: Lanes) -> None:
    while lanes.busy:
        await lanes.drain(())


async def test_a_worker_that_stops_ends_what_the_second_lane_has_in_hand(
    driver: Driver, lanes: Lanes, other: asyncpg.Connection
) -> None:
    long, short = await two_places(driver)
    refs = [await driver.accept(long, message()) for _ in range(2 * SMALL)]
    await lanes.drain([place(long)])
    async with other.transaction():
        await other.execute("select pg_advisory_xact_lock(1, $1)", place(long))
        await lanes.drain([place(short)])
        finishing = asyncio.create_task(lanes.finish())
    await finishing
    assert all([await is_applied(driver, ref) for ref in refs])
