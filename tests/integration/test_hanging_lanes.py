"""Lanes that wait for somebody, or lose their connection: who waits with them, who does not, and what becomes of it."""

import asyncio
from functools import partial

import asyncpg
import pytest
from prometheus_client import Counter

from shared.metrics import POSTGRES_ERRORS
from shared.settings import Settings
from shared.tasks import end
from tests.driver import Driver
from tests.lanes import SMALL, add_batches, finished, is_applied, place, two_places, waits
from tests.locks import waiters
from tests.pipeline import PARTITIONS, message
from tests.rows import add_owner, add_thread
from tests.watch import until
from worker import standby
from worker.apply import TRIES
from worker.lanes import FEW, Lanes
from worker.pace import LONG
from worker.sweep import INTERVAL, Sweep


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
    found = {lock["pid"] for lock in await waiters(other)} - gone
    gone |= found
    for pid in found:
        await other.execute("select pg_terminate_backend($1)", pid)
    return bool(found)
