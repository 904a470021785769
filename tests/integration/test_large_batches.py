"""A drain reads a few mebibytes at most, however large batches are; nothing is passed over or overtaken for that."""

from secrets import token_urlsafe

import pytest

from shared.settings import Settings
from tests.driver import Driver
from tests.rows import Owner, Row, a_message, add_batch, add_owner, add_thread
from worker.apply import Drainer
from worker.batch import MOST_BYTES

LARGE = token_urlsafe(750_000)  # a million characters that do not compress
FIT = MOST_BYTES // len(LARGE)  # in one drain


@pytest.fixture
async def owner(driver: Driver) -> Owner:
    return await add_owner(driver.pool, "large")


async def in_line(driver: Driver, owner: Owner, count: int, text: str = LARGE) -> Row:
    """A thread with so many batches waiting."""
    thread = await add_thread(driver.pool, owner)
    for _ in range(count):
        await add_batch(driver.pool, owner, thread, a_message(text))
    return thread


async def applied(driver: Driver, *threads: Row) -> list[int]:
    count = "select count(*) from batches where thread = $1 and applied_at is not null"
    return [await driver.pool.fetchval(count, thread.id) for thread in threads]


async def test_a_drain_takes_what_fits_and_says_that_there_is_more(driver: Driver, owner: Owner) -> None:
    thread = await in_line(driver, owner, FIT + 2)
    first = await driver.drainer.drain([thread.partition])
    assert (len(first.outcomes), first.more) == (FIT, True)
    second = await driver.drainer.drain([thread.partition])
    assert (len(second.outcomes), second.more) == (2, False)
    numbers = await driver.pool.fetch("select id from batches where thread = $1 order by applied_at, id", thread.id)
    assert [row["id"] for row in numbers] == sorted(row["id"] for row in numbers)


async def test_threads_and_accounts_go_in_turns(driver: Driver, owner: Owner) -> None:
    loud = [await in_line(driver, owner, FIT) for _ in range(2)]
    quiet = await add_owner(driver.pool, "quiet")
    few = await in_line(driver, quiet, 1)
    await driver.drainer.drain(sorted({thread.partition for thread in (*loud, few)}))
    counts = await applied(driver, few, *loud)
    assert (counts[0], sum(counts)) == (1, FIT)
    assert min(counts[1:]) >= (FIT - 1) // 2


async def test_a_batch_larger_than_a_drain_goes_alone(driver: Driver, owner: Owner) -> None:
    thread = await in_line(driver, owner, 1, token_urlsafe(MOST_BYTES))
    await add_batch(driver.pool, owner, thread)
    assert [len((await driver.drainer.drain([thread.partition])).outcomes) for _ in range(2)] == [1, 1]


async def test_a_thread_in_other_hands_leaves_room_for_the_rest(driver: Driver, owner: Owner) -> None:
    taken, free = await in_line(driver, owner, 2 * FIT), await in_line(driver, owner, 1)
    async with driver.pool.acquire() as connection, connection.transaction():
        await connection.execute("select from threads where id = $1 for update", taken.id)
        await driver.drainer.drain(sorted({taken.partition, free.partition}))
        assert await applied(driver, taken, free) == [0, 1]


async def test_who_has_little_goes_first_and_within_the_bytes(settings: Settings, driver: Driver, owner: Owner) -> None:
    loud = [await in_line(driver, owner, 1) for _ in range(40)]
    quiet = await add_owner(driver.pool, "quiet")
    few = await in_line(driver, quiet, FIT + 2)
    drainer = Drainer(settings)
    try:
        partitions = sorted({thread.partition for thread in (*loud, few)})
        while (await applied(driver, few))[0] < FIT + 2:
            drained = await drainer.drain(partitions, light=True)
            assert drained.outcomes or drained.more or drained.left
            if not drained.outcomes:
                await drainer.drain(partitions)
    finally:
        await drainer.close()
    order = await driver.pool.fetch("select id from batches where thread = $1 order by applied_at, id", few.id)
    assert [row["id"] for row in order] == sorted(row["id"] for row in order)


async def test_what_is_stored_compressed_is_bounded_as_well(driver: Driver, owner: Owner) -> None:
    threads = [await in_line(driver, owner, 25, "x" * (1 << 20)) for _ in range(8)]
    drained = await driver.drainer.drain(sorted({thread.partition for thread in threads}))
    assert 4 <= len(drained.outcomes) <= 64
    assert drained.more
