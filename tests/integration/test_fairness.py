"""Who gets a turn: hot threads, noisy accounts, many accounts, and a backlog beside what comes in."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from api.submission import Applied
from shared import ids
from shared.db.connect import connect
from shared.events import UserInterrupt, dump
from shared.settings import Settings
from tests.driver import Driver
from tests.lanes import leave_alone
from tests.pipeline import PARTITIONS, message, new_caller, running_crew, running_inbox
from tests.rows import Owner, Row, a_message, add_owner, add_thread
from worker import poison
from worker.apply import Drainer
from worker.batch import ACCOUNTS, PER_ACCOUNT, PER_THREAD
from worker.pace import Pace

HERE = 7  # the partition that all of it happens in


@pytest.fixture
def pace(settings: Settings) -> Pace:
    return Pace(settings.drain_limit)


@pytest.fixture
async def alone(settings: Settings, pace: Pace) -> AsyncIterator[Drainer]:
    drainer = Drainer(settings, pace)
    yield drainer
    await drainer.close()


async def thread_of(driver: Driver, owner: Owner) -> Row:
    """A thread in the partition HERE."""
    return await add_thread(driver.pool, owner, partition=HERE)


async def owners(driver: Driver, count: int) -> list[tuple[Owner, Row]]:
    made = [await add_owner(driver.pool, f"account {n}") for n in range(count)]
    return [(owner, await thread_of(driver, owner)) for owner in made]


async def wait_in_line(driver: Driver, owner: Owner, thread: Row, count: int) -> None:
    """So many batches of one message each."""
    await driver.pool.executemany(
        "insert into batches (partition, id, ref, thread, account, token, events)"
        " values ($1, nextval('batch_ids'), $2, $3, $4, $5, $6)",
        [(HERE, ids.mint(), thread.id, owner.account, owner.token, a_message()) for _ in range(count)],
    )


async def left(driver: Driver) -> int:
    waiting: int = await driver.pool.fetchval("select count(*) from batches where applied_at is null")
    return waiting


async def test_a_hot_thread_leaves_room_for_its_neighbours(driver: Driver) -> None:
    owner = await add_owner(driver.pool, "hot")
    hot, quiet = await thread_of(driver, owner), await thread_of(driver, owner)
    await wait_in_line(driver, owner, hot, 70)
    await wait_in_line(driver, owner, quiet, 1)
    first = await driver.drainer.drain([HERE])
    assert len(first.outcomes) == PER_THREAD + 1
    assert first.more
    await driver.drain([HERE])
    assert await left(driver) == 0


@pytest.mark.parametrize("backlog", [150, 2_000])
async def test_a_thread_with_a_backlog_keeps_its_neighbours_waiting_for_one_drain(driver: Driver, backlog: int) -> None:
    owner = await add_owner(driver.pool, "hot")
    hot, quiet = await thread_of(driver, owner), await thread_of(driver, owner)
    await wait_in_line(driver, owner, hot, backlog)
    await wait_in_line(driver, owner, quiet, 1)
    first = await driver.drainer.drain([HERE])
    applied = await driver.pool.fetchval("select applied_at from batches where thread = $1", quiet.id)
    assert applied is not None
    assert len(first.outcomes) == PER_THREAD + 1


async def test_the_batches_of_a_thread_are_applied_in_order_over_many_drains(driver: Driver) -> None:
    thread = await driver.create()
    refs = [await driver.accept(thread, message(str(n))) for n in range(3 * PER_THREAD + 7)]
    drains = await driver.drain([ids.partition_of(thread, PARTITIONS)])
    assert len(drains) > 3
    applied = [outcome.ref for drained in drains for outcome in drained.outcomes]
    assert applied == refs
    texts = await driver.pool.fetch(
        "select content from thread_events where thread = $1 and type = 'user.message' order by id", thread
    )
    assert [row["content"] for row in texts] == [str(n) for n in range(100)]  # the rest found the queue full


async def test_a_noisy_account_does_not_make_a_quiet_one_wait(driver: Driver) -> None:
    (noisy, _), (quiet, thread) = await owners(driver, 2)
    for _ in range(10):
        await wait_in_line(driver, noisy, await thread_of(driver, noisy), 40)
    await wait_in_line(driver, quiet, thread, 1)
    first = await driver.drainer.drain([HERE])
    by_thread = Counter(outcome.batch for outcome in first.outcomes)
    assert len(by_thread) == PER_ACCOUNT + 1
    assert await driver.pool.fetchval("select applied_at is not null from batches where account = $1", quiet.account)
    await driver.drain([HERE])
    assert await left(driver) == 0


async def test_a_lone_accounts_drains_grow_beyond_the_share_of_one_among_others(
    driver: Driver, alone: Drainer, pace: Pace
) -> None:
    """By a quarter at a time, as long as what was read is applied."""
    (lone, _), (other, thread) = await owners(driver, 2)
    for _ in range(20):
        await wait_in_line(driver, lone, await thread_of(driver, lone), 40)
    leave_alone(pace, lone.account)
    grown = [len((await alone.drain([HERE])).outcomes) for _ in range(3)]
    assert grown == [PER_ACCOUNT, 5 * PER_ACCOUNT // 4, 25 * PER_ACCOUNT // 16]
    await wait_in_line(driver, other, thread, 1)
    await alone.drain([HERE])  # it finds out
    assert await driver.pool.fetchval("select applied_at is not null from batches where account = $1", other.account)
    assert len((await alone.drain([HERE])).outcomes) == PER_ACCOUNT


@pytest.mark.parametrize("hot", [1, 2])
async def test_what_is_read_of_hot_threads_alone_is_hardly_more_than_of_others(
    driver: Driver, alone: Drainer, pace: Pace, hot: int
) -> None:
    """A drain takes so many of each: what else is read is read again by the next one."""
    ((lone, _),) = await owners(driver, 1)
    threads = [await thread_of(driver, lone) for _ in range(hot)]
    for thread in 6 * PER_THREAD * threads:
        await wait_in_line(driver, lone, thread, 1)
    leave_alone(pace, lone.account)
    for _ in range(4):
        assert len((await alone.drain([HERE])).outcomes) == hot * PER_THREAD
        assert pace.depth <= 5 * PER_ACCOUNT // 4


@pytest.mark.parametrize("each", [1, 3])
async def test_two_hundred_accounts_in_one_partition_are_visited_in_turn(driver: Driver, each: int) -> None:
    everyone = await owners(driver, 200)
    for owner, thread in everyone:
        await wait_in_line(driver, owner, thread, each)
    drains = await driver.drain([HERE])
    assert await left(driver) == 0
    assert sum(len(drained.outcomes) for drained in drains) == 200 * each
    rows = await driver.pool.fetch("select account, applied_at from batches order by applied_at, id")
    turns = [row["account"] for row in rows]
    assert len(set(turns[: ACCOUNTS * each])) == ACCOUNTS


async def test_a_round_of_accounts_that_ends_behind_its_work_begins_again(driver: Driver, settings: Settings) -> None:
    """The last account of a full round has nothing left, the first ones do."""
    everyone = sorted(await owners(driver, ACCOUNTS), key=lambda made: made[0].account)
    for owner, thread in everyone[:-1]:
        await wait_in_line(driver, owner, thread, 6)
    await wait_in_line(driver, *everyone[-1], 1)
    drainer = Drainer(settings.model_copy(update={"drain_limit": 100}))
    while (await drainer.drain([HERE])).more:
        pass
    await drainer.close()
    assert await left(driver) == 0


@pytest.mark.parametrize("failing", [1, 3])
async def test_threads_whose_first_batch_fails_keep_no_neighbour_waiting(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """They fill their account's share of a drain: one alone, which is hot, or several, of which none is."""
    monkeypatch.setattr(poison, "FIRST_PAUSE", 60.0)
    owner = await add_owner(driver.pool, "failing")
    threads, quiet = [await thread_of(driver, owner) for _ in range(failing)], await thread_of(driver, owner)
    await driver.pool.execute(  # each has its part of every share, and its first batch says nothing
        "insert into batches (partition, id, ref, thread, account, token, events)"
        " select $1, nextval('batch_ids'), gen_random_uuid(), thread, $2, $3, case n when 1 then 'null' else $4::json"
        " end from generate_series(1, 2000) as n, unnest($5::uuid[]) as thread order by n",
        *(HERE, owner.account, owner.token, a_message(), [thread.id for thread in threads]),
    )
    await driver.drain([HERE])
    assert await driver.pool.fetchval("select count(*) from batches where next_try_at > now()") == failing
    for _ in range(10):  # one after the other: a look past hot threads comes only now and then
        await wait_in_line(driver, owner, quiet, 1)
        assert len((await driver.drainer.drain([HERE])).outcomes) == 1
    assert await left(driver) == 2000 * failing


async def test_a_partition_where_all_have_to_wait_is_not_asked_for_ever(driver: Driver) -> None:
    for owner, thread in await owners(driver, ACCOUNTS + 3):
        await wait_in_line(driver, owner, thread, 1)
    await driver.pool.execute("update batches set next_try_at = now() + interval '1 minute'")
    drains = await driver.drain([HERE])
    assert len(drains) <= 3
    assert [drained.outcomes for drained in drains] == [()] * len(drains)


async def test_a_drain_takes_no_more_than_its_limit_and_says_that_there_is_more(driver: Driver) -> None:
    for owner, thread in await owners(driver, 11):
        await wait_in_line(driver, owner, thread, PER_THREAD)
    first = await driver.drainer.drain([HERE])
    assert len(first.outcomes) == 500
    assert first.more


async def test_a_backlog_in_one_thread_does_not_keep_the_others_waiting(settings: Settings) -> None:
    settings = settings.model_copy(update={"sweep": False})
    async with running_inbox(settings) as inbox, running_crew(settings):
        caller = await new_caller(inbox)
        hot, answer = await caller.create()
        quiet, _ = await caller.create()
        assert isinstance(answer, Applied)
        await inbox.pool.execute(
            "insert into batches (partition, id, ref, thread, account, token, events)"
            " select $1, nextval('batch_ids'), gen_random_uuid(), $2, $3, $4, $5 from generate_series(1, 12000)",
            *(ids.partition_of(hot, PARTITIONS), hot, caller.account, caller.token, dump([UserInterrupt()])),
        )
        last = asyncio.create_task(caller.send(hot, message("the last of them"), wait=50))
        for n in range(3):
            assert isinstance(await caller.send(quiet, message(str(n)), wait=10), Applied)
        assert not last.done()
        assert isinstance(await last, Applied)


async def test_threads_that_somebody_holds_keep_no_other_thread_waiting(driver: Driver, settings: Settings) -> None:
    held, other = await driver.create(), await driver.create()
    held_ref, other_ref = await driver.accept(held, message()), await driver.accept(other, message())
    connection = await connect(settings.database_url)
    async with connection.transaction():
        await connection.execute("select from threads where id = $1 for update", held)
        async with asyncio.timeout(2):
            await driver.drain()
        assert (await driver.batch(other_ref))["applied_at"] is not None
        assert (await driver.batch(held_ref))["applied_at"] is None
    await connection.close()
    await driver.drain()
    assert (await driver.batch(held_ref))["applied_at"] is not None
