"""A drain reads a few mebibytes at most, however large batches are; nothing is passed over or overtaken for that."""

from secrets import token_urlsafe

import pytest

from shared.settings import Settings
from tests.driver import Driver
from tests.rows import Owner, Row, a_message, add_batch, add_owner, add_thread
from worker.apply import Drainer
from worker.batch import ACCOUNTS, MOST_BYTES, PER_ACCOUNT

LARGE = token_urlsafe(750_000)  # a million characters that do not compress
HALF = "".join(
    token_urlsafe(45) + "word " * 8 for _ in range(10_400)
)  # which is stored as 0.7 of it, and taken for 5.8 MB
MEDIUM = token_urlsafe(60_000)
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
    taken = [await in_line(driver, owner, 1) for _ in range(FIT + 1)]
    free = await in_line(driver, owner, 1)
    async with driver.pool.acquire() as connection, connection.transaction():
        await connection.execute("select from threads where id = any($1::uuid[]) for update", [one.id for one in taken])
        await driver.drainer.drain(sorted({thread.partition for thread in (*taken, free)}))
        assert await applied(driver, free) == [1]


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


@pytest.mark.parametrize(("text", "accounts"), [(HALF, 1), (LARGE, 5)], ids=["compressed", "of many accounts"])
async def test_a_small_batch_waits_for_no_large_ones(driver: Driver, text: str, accounts: int) -> None:
    loud = [await in_line(driver, await add_owner(driver.pool, f"loud {n}"), 8, text) for n in range(accounts)]
    quiet = await add_owner(driver.pool, "quiet")
    small = await in_line(driver, quiet, 1, "small")
    drained = await driver.drainer.drain(sorted({thread.partition for thread in (*loud, small)}))
    assert await applied(driver, small) == [1]
    assert len(drained.outcomes) > 1, "and a large one has its turn as well"
    assert drained.more


async def test_a_hot_thread_of_large_batches_leaves_room_for_its_neighbours(driver: Driver, owner: Owner) -> None:
    hot = await in_line(driver, owner, 2 * PER_ACCOUNT, MEDIUM)
    quiet = await add_thread(driver.pool, owner, partition=hot.partition)
    await add_batch(driver.pool, owner, quiet)
    await driver.drainer.drain([hot.partition])
    assert await applied(driver, quiet) == [1]


async def test_accounts_behind_those_that_are_cut_are_visited(driver: Driver) -> None:
    owners = [await add_owner(driver.pool, f"account {n}") for n in range(ACCOUNTS + 2)]
    *loud, last = sorted(owners, key=lambda owner: owner.account)
    quiet = await add_thread(driver.pool, last, partition=7)
    await add_batch(driver.pool, last, quiet)
    for owner in loud:
        thread = await add_thread(driver.pool, owner, partition=7)
        for _ in range(4):
            await add_batch(driver.pool, owner, thread, a_message(MEDIUM))
    for _ in range(2):
        await driver.drainer.drain([7])
    assert await applied(driver, quiet) == [1]


async def test_what_is_stored_compressed_is_bounded_as_well(driver: Driver, owner: Owner) -> None:
    threads = [await in_line(driver, owner, 25, "x" * (1 << 20)) for _ in range(8)]
    drained = await driver.drainer.drain(sorted({thread.partition for thread in threads}))
    assert 4 <= len(drained.outcomes) <= 64
    assert drained.more
