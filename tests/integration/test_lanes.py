"""Two lanes: what rings is drained beside a backlog, and nothing that rang or was left is forgotten."""

import asyncio
from functools import partial

import asyncpg

from shared.keys import Keys
from shared.queue import Queue, open_redis
from shared.settings import Settings
from shared.tasks import end
from tests.driver import Driver
from tests.lanes import SMALL, add_batches, finished, is_applied, leave_alone, place, two_places
from tests.pipeline import PARTITIONS, message
from tests.rows import add_owner, add_thread
from tests.watch import until
from worker.aftermath import Aftermath
from worker.batch import PER_ACCOUNT
from worker.doorbell import Doorbell
from worker.lanes import FEW, Lanes
from worker.pace import SHORT_FOR
from worker.sweep import Sweep


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


async def test_a_drain_tells_that_somebody_waits_for_an_outcome_of_it(driver: Driver, lanes: Lanes) -> None:
    thread = await driver.create()
    for waits_for_it in (False, True):
        submission = driver.caller.submission(thread, [message()], reply=waits_for_it)
        await driver.caller.inbox.submit(submission, 0)
        await driver.accept(thread, message())
        await lanes.drain([place(thread)])
        assert lanes.pace.awaited == waits_for_it


async def test_a_backlog_that_fills_its_drains_is_taken_from_fewer_partitions(driver: Driver, lanes: Lanes) -> None:
    owner = await add_owner(driver.pool, "many")
    rows = {row.partition: row for row in [await add_thread(driver.pool, owner) for _ in range(60)]}
    for row in rows.values():
        await add_batches(driver.pool, row, owner, 6)
    broadest = lanes._breadth
    applied, breadths = await lanes.drain(rows), []
    while lanes.busy:
        applied += await lanes.drain(())
        breadths.append(lanes._breadth)
    assert broadest == PARTITIONS
    assert PARTITIONS // FEW in breadths[: len(breadths) // 2]
    assert applied == 6 * len(rows)
    lanes._left.update(dict.fromkeys(rows))
    lanes._breadth = PARTITIONS // FEW
    assert len(lanes._turn()) == PARTITIONS // FEW
    for _ in range(12):  # nothing is left: the next backlog begins with all of them
        lanes._left.update(dict.fromkeys(rows))
        await lanes.drain(())
    assert lanes._breadth == broadest


async def test_the_backlog_of_a_lone_account_is_taken_from_one_partition_at_a_time(
    driver: Driver, lanes: Lanes
) -> None:
    """As long as nobody else has anything waiting."""
    lone, other = await add_owner(driver.pool, "lone"), await add_owner(driver.pool, "other")
    rows = {row.partition: row for row in [await add_thread(driver.pool, lone) for _ in range(60)]}
    for row in rows.values():
        await add_batches(driver.pool, row, lone, 6)
    late = await add_thread(driver.pool, other, partition=next(n for n in range(PARTITIONS) if n not in rows))
    applied = await lanes.drain(rows)
    leave_alone(lanes.pace, lone.account)
    while lanes._breadth > 1:
        assert lanes.busy
        applied += await lanes.drain(())
    await add_batches(driver.pool, late, other, 6)
    applied += await lanes.drain([late.partition])
    assert lanes.pace.lone is None
    while lanes.busy:
        applied += await lanes.drain(())
    assert applied == 6 * len(rows) + 6
    lanes._breadth = 1
    lanes._left.update(dict.fromkeys(rows))
    lanes.pace.clock = partial(float, lanes.pace.clock() + SHORT_FOR)
    assert not lanes.pace.short
    assert len(lanes._turn()) == PARTITIONS // FEW


async def test_drains_of_a_lone_accounts_backlog_come_to_one_full_partition_and_stay_there(
    driver: Driver, settings: Settings
) -> None:
    """Both lanes learn together how deep a drain may go."""
    limit = 3 * PER_ACCOUNT
    queue = Queue(open_redis(settings.redis_url, 1), Keys(settings.redis_prefix))
    deep = settings.model_copy(update={"drain_limit": limit})
    lanes = Lanes(deep, Aftermath(queue), PARTITIONS, via="arq", wait=True)
    lone = await add_owner(driver.pool, "lone")
    rows = [await add_thread(driver.pool, lone, partition=partition) for partition in 8 * [*range(8)]]
    for row in 15 * rows:  # those of a thread stand between those of others
        await add_batches(driver.pool, row, lone, 10)
    leave_alone(lanes.pace, lone.account)
    await lanes.drain(range(8))
    breadths = []
    while await driver.pool.fetchval("select count(*) from batches where applied_at is null") > 3_000:
        await lanes.drain(())
        breadths.append(lanes._breadth)
    assert lanes.pace.depth == limit
    assert set(breadths[len(breadths) // 2 :]) == {1}, breadths
    await finished(lanes)
    await lanes.close()
    await queue.close()


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
