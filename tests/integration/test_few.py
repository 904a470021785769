"""Who has little waiting beside somebody who has much goes first, and nobody else, in a drain for what rings."""

from collections.abc import AsyncIterator, Sequence

import pytest

from shared import ids
from shared.db.connect import connect
from shared.settings import Settings
from tests.driver import Driver
from tests.rows import Owner, Row, a_message, add_batch, add_owner, add_thread
from worker.apply import Drained, Drainer
from worker.batch import LITTLE, MUCH
from worker.pace import SHORT, Pace

SHARE = 25  # batches of an account in one partition that a drain of two partitions reads


@pytest.fixture
def pace() -> Pace:
    return Pace(500, clock=lambda: 0.0)  # no second passes while it counts


@pytest.fixture
async def drainer(settings: Settings, pace: Pace) -> AsyncIterator[Drainer]:
    drainer = Drainer(settings, pace)
    yield drainer
    await drainer.close()


@pytest.fixture
async def noisy(driver: Driver) -> Owner:
    return await add_owner(driver.pool, "noisy")


@pytest.fixture
async def quiet(driver: Driver) -> Owner:
    return await add_owner(driver.pool, "quiet")


async def in_line(driver: Driver, owner: Owner, count: int, apart: Sequence[Row] = ()) -> Row:
    """A thread with so many batches waiting, in a partition of none of `apart`."""
    thread = await add_thread(driver.pool, owner)
    while thread.partition in {other.partition for other in apart}:
        thread = await add_thread(driver.pool, owner)
    for _ in range(count):
        await add_batch(driver.pool, owner, thread)
    return thread


async def drained(drainer: Drainer, *threads: Row) -> Drained:
    return await drainer.drain(sorted({thread.partition for thread in threads}), light=True)


async def applied(driver: Driver, *threads: Row) -> list[int]:
    """How many batches of each were applied."""
    count = "select count(*) from batches where thread = $1 and applied_at is not null"
    return [await driver.pool.fetchval(count, thread.id) for thread in threads]


async def test_an_account_with_little_goes_before_one_with_much(
    driver: Driver, drainer: Drainer, pace: Pace, noisy: Owner, quiet: Owner
) -> None:
    loud = [await in_line(driver, noisy, 1) for _ in range(MUCH + 1)]
    few = await in_line(driver, quiet, LITTLE)
    taken = await drained(drainer, few, *loud)
    assert await applied(driver, few, *loud) == [LITTLE, *([0] * len(loud))]
    assert (taken.more, set(taken.left or ())) == (False, {thread.partition for thread in loud})
    assert pace.most() == SHORT


async def test_a_quarter_of_what_another_account_has_is_little(
    driver: Driver, drainer: Drainer, noisy: Owner, quiet: Owner
) -> None:
    loud, few = await in_line(driver, noisy, 40), await in_line(driver, quiet, 10)
    await drained(drainer, loud, few)
    assert await applied(driver, few, loud) == [10, 0]


async def test_of_one_account_threads_with_little_go_before_one_with_much(
    driver: Driver, drainer: Drainer, quiet: Owner
) -> None:
    hot, warm = await in_line(driver, quiet, MUCH + 1), await in_line(driver, quiet, LITTLE + 1)
    few = await in_line(driver, quiet, LITTLE)
    await drained(drainer, hot, warm, few)
    assert await applied(driver, few, warm, hot) == [LITTLE, 0, 0]


async def test_where_nobody_has_much_all_go(driver: Driver, drainer: Drainer, pace: Pace) -> None:
    owners = [await add_owner(driver.pool, f"account {n}") for n in range(6)]
    threads = [await in_line(driver, owner, LITTLE) for owner in owners]
    taken = await drained(drainer, *threads)
    assert await applied(driver, *threads) == [LITTLE] * len(threads)
    assert taken.left is None
    assert not pace.short


async def test_where_others_with_little_were_about_one_with_much_is_left(
    driver: Driver, drainer: Drainer, pace: Pace, noisy: Owner
) -> None:
    loud: list[Row] = []
    for _ in range(MUCH + 1):  # of a partition a short drain reads two: more in one of them would not all be seen
        loud.append(await in_line(driver, noisy, 1, apart=loud))
    pace.hurry()
    taken = await drained(drainer, *loud)
    assert (taken.outcomes, set(taken.left or ())) == ((), {thread.partition for thread in loud})
    assert await applied(driver, *loud) == [0] * len(loud)


async def test_where_others_with_little_were_about_many_with_little_go(
    driver: Driver, drainer: Drainer, pace: Pace
) -> None:
    owners = [await add_owner(driver.pool, f"account {n}") for n in range(MUCH + 1)]
    threads = [await in_line(driver, owner, 1) for owner in owners]
    pace.hurry()
    await drained(drainer, *threads)
    assert await applied(driver, *threads) == [1] * len(threads)


async def test_a_thread_that_somebody_has_locked_does_not_go_first(
    driver: Driver, drainer: Drainer, settings: Settings, noisy: Owner, quiet: Owner
) -> None:
    loud, few = await in_line(driver, noisy, MUCH + 1), await in_line(driver, quiet, 2)
    other = await connect(settings.database_url)
    async with other.transaction():
        await other.execute("select from threads where id = $1 for no key update", few.id)
        taken = await drained(drainer, loud, few)
    await other.close()
    assert await applied(driver, few, loud) == [0, 0]
    assert {few.partition, loud.partition} <= set(taken.left or ())


async def test_a_partition_of_which_not_all_was_read_is_left(driver: Driver, settings: Settings, quiet: Owner) -> None:
    drainer = Drainer(settings, Pace(2 * SHARE))
    hot = await in_line(driver, quiet, SHARE)
    few = await in_line(driver, quiet, 0, apart=[hot])
    for _ in range(SHARE + 1):
        await driver.pool.execute(
            "with made as (insert into threads (partition, id, account, created_by, created_by_kind)"
            " values ($1, $2, $3, $4, 'human_pat') returning id)"
            " insert into batches (partition, id, ref, thread, account, token, events)"
            " select $1, nextval('batch_ids'), gen_random_uuid(), id, $3, $4, $5 from made",
            *(few.partition, ids.mint(), quiet.account, quiet.token, a_message()),
        )
    taken = await drainer.drain(sorted({hot.partition, few.partition}), light=True)
    await drainer.close()
    assert {outcome.partition for outcome in taken.outcomes} == {few.partition}
    assert set(taken.left or ()) == {
        hot.partition,
        few.partition,
    }  # what a full share kept from being read is not known
