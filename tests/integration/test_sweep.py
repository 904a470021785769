"""The sweep: what happens in time although nobody rang."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from shared import ids
from shared.db.connect import connect
from shared.events import PermissionDecision
from shared.ids import BatchRef, RequestId, ThreadId
from shared.keys import Keys
from shared.queue import Queue, open_redis
from shared.reports import Ask
from shared.settings import Settings
from tests.driver import Driver, codes
from tests.lanes import add_batches, is_applied, leave_alone
from tests.locks import waiters
from tests.pipeline import PARTITIONS, message
from tests.rows import add_owner, add_thread
from tests.watch import until
from worker.aftermath import Aftermath
from worker.lanes import Lanes
from worker.sweep import INTERVAL, Sweep


@pytest.fixture
async def sweep(settings: Settings) -> AsyncIterator[Sweep]:
    queue = Queue(open_redis(settings.redis_url, 1), Keys(settings.redis_prefix))
    sweep = Sweep(settings.database_url, Lanes(settings, Aftermath(queue), PARTITIONS, via="sweep", wait=False))
    yield sweep
    await sweep.close()
    await queue.close()


async def age(driver: Driver, ref: BatchRef, seconds: float = 1) -> BatchRef:
    """As if the batch had been accepted so long ago."""
    await driver.pool.execute(
        "update batches set accepted_at = accepted_at - $2::interval where ref = $1", ref, timedelta(seconds=seconds)
    )
    return ref


async def test_a_batch_that_nobody_rang_for_is_applied_once_it_is_late(driver: Driver, sweep: Sweep) -> None:
    young = await driver.accept(await driver.create(), message())
    assert await sweep.run_once() == 0
    late = await age(driver, await driver.accept(await driver.create(), message()))
    assert await sweep.run_once() >= 1
    assert await is_applied(driver, late)
    await age(driver, young)
    await sweep.run_once()
    assert await is_applied(driver, young)


async def test_what_the_lanes_of_the_bell_have_in_turn_is_left_to_them(
    driver: Driver, sweep: Sweep, settings: Settings
) -> None:
    thread = await driver.create()
    await driver.drain()
    refs = [await age(driver, await driver.accept(thread, message())) for _ in range(3)]
    one = settings.model_copy(update={"drain_limit": 1})
    sweep.rung = Lanes(one, sweep.lanes.aftermath, PARTITIONS, via="arq", wait=True)
    await sweep.rung.drain([ids.partition_of(thread, PARTITIONS)])
    assert await sweep.run_once() == 0
    while sweep.rung.busy:
        await sweep.rung.drain(())
    await sweep.rung.close()
    assert all([await is_applied(driver, ref) for ref in refs])


async def test_beside_a_backlog_it_looks_for_what_is_late_once_in_a_while(driver: Driver, sweep: Sweep) -> None:
    threads = [await driver.create() for _ in range(4)]
    refs = [await age(driver, await driver.accept(thread, message())) for thread in threads for _ in range(30)]
    sweep.lanes.pace.limit = 1
    time = asyncio.get_running_loop().time
    spared = 0
    while not all([await is_applied(driver, ref) for ref in refs]):
        looked, busy = sweep._looked_at, sweep.lanes.busy
        await sweep.run_once()
        if busy and time() < looked + INTERVAL:
            assert sweep._looked_at == looked
            spared += 1
        elif not busy:
            assert sweep._looked_at > looked
    assert spared
    await asyncio.sleep(INTERVAL)
    looked = sweep._looked_at
    sweep.lanes._left[PARTITIONS - 1] = None
    await sweep.run_once()
    assert sweep._looked_at > looked


async def test_beside_a_lone_accounts_backlog_it_finds_what_others_have_though_nobody_rang(
    driver: Driver, sweep: Sweep
) -> None:
    """A round of the backlog, a partition at a time, would take seconds."""
    lone, other = await add_owner(driver.pool, "lone"), await add_owner(driver.pool, "other")
    for partition in range(24):
        await add_batches(driver.pool, await add_thread(driver.pool, lone, partition=partition), lone, 20)
    await driver.pool.execute("update batches set accepted_at = accepted_at - interval '1 second'")
    sweep.lanes.pace.limit, sweep.lanes._breadth = 4, 1
    leave_alone(sweep.lanes.pace, lone.account)
    await sweep.run_once()
    late = await add_thread(driver.pool, other, partition=[*sweep.lanes._left][-1])
    await add_batches(driver.pool, late, other, 1)
    await driver.pool.execute("update batches set accepted_at = now() - interval '1 second' where thread = $1", late.id)
    assert await sweep._look((), lone.account) == {late.partition}
    sweep._looked_at = float("-inf")
    drains = 0
    while await driver.pool.fetchval("select applied_at is null from batches where thread = $1", late.id):
        await sweep.run_once()
        drains += 1
    assert drains <= 4
    assert sweep.lanes.pace.lone is None


async def test_a_batch_is_not_tried_again_before_its_time(driver: Driver, sweep: Sweep) -> None:
    ref = await age(driver, await driver.accept(await driver.create(), message()))
    await driver.pool.execute("update batches set next_try_at = clock_timestamp() + interval '1 minute'")
    assert await sweep.run_once() == 0
    await driver.pool.execute("update batches set next_try_at = clock_timestamp()")
    assert await sweep.run_once() == 1
    assert await is_applied(driver, ref)


async def test_a_partition_in_other_hands_is_passed_over(driver: Driver, sweep: Sweep, settings: Settings) -> None:
    one, other = await driver.create(), await driver.create()
    while ids.partition_of(one, PARTITIONS) == ids.partition_of(other, PARTITIONS):
        other = await driver.create()
    held, free = [await age(driver, await driver.accept(thread, message())) for thread in (one, other)]
    owner = await connect(settings.database_url)
    async with owner.transaction():
        await owner.execute("select pg_advisory_xact_lock(1, $1)", ids.partition_of(one, PARTITIONS))
        assert await sweep.run_once() == 1
        assert [await is_applied(driver, ref) for ref in (held, free)] == [False, True]
    await owner.close()
    assert await sweep.run_once() == 1


async def test_paused_partitions_are_not_swept(driver: Driver, sweep: Sweep) -> None:
    ref = await age(driver, await driver.accept(await driver.create(), message()))
    await driver.pool.execute("update partitions set paused = true")
    assert await sweep.run_once() == 0
    await driver.pool.execute("update partitions set paused = false")
    assert await sweep.run_once() == 1
    assert await is_applied(driver, ref)


async def test_a_drain_that_is_rung_for_waits_for_whoever_has_the_partition(driver: Driver, settings: Settings) -> None:
    thread = await driver.create()
    ref = await driver.accept(thread, message())
    owner = await connect(settings.database_url)
    async with owner.transaction():
        await owner.execute("select pg_advisory_xact_lock(1, $1)", ids.partition_of(thread, PARTITIONS))
        drain = asyncio.create_task(driver.drain())
        assert await until(lambda: waiters(driver.pool))
        assert not await is_applied(driver, ref)
    await drain
    await owner.close()
    assert await is_applied(driver, ref)


async def asked(driver: Driver, seconds_ago: float) -> tuple[ThreadId, RequestId]:
    """A thread whose permission request ran out so long ago."""
    thread, _, (request,) = await driver.asking(Ask(RequestId(ids.mint()), "May I?"))
    await driver.pool.execute(
        "update permission_requests set expires_at = clock_timestamp() - $2::interval where id = $1",
        request,
        timedelta(seconds=seconds_ago),
    )
    return thread, request


async def state(driver: Driver, thread: ThreadId) -> str:
    (row,) = (await driver.requests(thread)).values()
    return str(row["state"])


async def test_a_request_past_its_time_expires_and_its_run_waits_no_longer_for_it(driver: Driver, sweep: Sweep) -> None:
    thread, request = await asked(driver, 2)
    assert await sweep.expire_once() == 1
    assert await state(driver, thread) == "expired"
    assert codes(await driver.send(thread, PermissionDecision(request, allow=True))) == ["permission_expired"]
    assert await sweep.expire_once() == 0


async def test_a_request_is_given_a_second_more_for_decisions_on_their_way(driver: Driver, sweep: Sweep) -> None:
    thread, _ = await asked(driver, 0.2)
    assert await sweep.expire_once() == 0
    assert await state(driver, thread) == "pending"


async def test_a_decision_accepted_just_before_the_requests_time_wins(driver: Driver, sweep: Sweep) -> None:
    thread, request = await asked(driver, 2)
    decision = await age(driver, await driver.accept(thread, PermissionDecision(request, allow=True)), 3)
    assert await sweep.expire_once() == 0
    await driver.drain()
    assert codes(await driver.outcome(decision)) == []
    assert await state(driver, thread) == "allowed"


@pytest.mark.parametrize("blocked", [True, False])
async def test_a_request_waits_for_every_batch_from_before_its_time(
    driver: Driver, sweep: Sweep, blocked: bool
) -> None:
    thread, _ = await asked(driver, 2)
    earlier = await age(driver, await driver.accept(thread, message()), 3)
    await driver.pool.execute("update batches set blocked = $2 where ref = $1", earlier, blocked)
    assert await sweep.expire_once() == 0
    await driver.pool.execute("update batches set accepted_at = clock_timestamp() where ref = $1", earlier)
    assert await sweep.expire_once() == 1


async def test_requests_of_many_threads_expire_together(driver: Driver, sweep: Sweep) -> None:
    threads = [(await asked(driver, 2))[0] for _ in range(5)]
    assert await sweep.expire_once() == 5
    assert [await state(driver, thread) for thread in threads] == ["expired"] * 5
