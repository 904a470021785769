"""Group commit: many together, each judged by itself, none lost, none twice."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import asyncpg
import pytest

from api import flush
from api.submission import Idempotency, NewThread, Pending, Submission
from shared import ids
from shared.db.connect import connect
from shared.errors import InternalError, ServiceInactive
from shared.ids import AccountId, ThreadId, Ulid
from shared.metrics import FLUSH_SIZE
from shared.models import TokenKind
from shared.settings import Settings
from tests.driver import Driver
from tests.pipeline import PARTITIONS, message, running_inbox
from tests.proxy import wire_to
from tests.servers import Addresses, execute
from tests.watch import until


def submissions(driver: Driver, threads: Sequence[ThreadId]) -> list[Submission]:
    return [driver.caller.submission(thread, [message()], reply=False) for thread in threads]


async def submit_all(driver: Driver, items: Sequence[Submission]) -> list[object]:
    """All at once; what each came to, refusals among them."""
    return await asyncio.gather(*(driver.caller.inbox.submit(item, 0) for item in items), return_exceptions=True)


async def stored(driver: Driver) -> dict[str, int]:
    """Each ref that is stored and how often."""
    rows = await driver.pool.fetch("select ref, count(*) as times from batches group by ref")
    return {row["ref"]: row["times"] for row in rows}


def flushes() -> float:
    """How many flushes there were in this process."""
    (metric,) = FLUSH_SIZE.collect()
    return next(sample.value for sample in metric.samples if sample.name.endswith("_count"))


async def test_batches_that_arrive_during_a_flush_are_written_by_the_next_one(driver: Driver) -> None:
    threads = [await driver.create() for _ in range(4)]
    before = flushes()
    items = submissions(driver, threads * 10)
    assert {type(answer) for answer in await submit_all(driver, items)} == {Pending}
    found = await stored(driver)
    assert all(found[item.ref] == 1 for item in items)
    assert flushes() - before <= 2


async def test_a_flush_takes_no_more_than_a_few_large_batches(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sends little is not held up by megabytes of others; what is larger than a flush goes alone."""
    monkeypatch.setattr(flush, "SIZE", 10_000)
    thread, before = await driver.create(), flushes()
    texts = ["x" * size for size in (4_000, 4_000, 4_000, 20_000, 1, 1)]
    items = [driver.caller.submission(thread, [message(text)], reply=False) for text in texts]
    assert {type(answer) for answer in await submit_all(driver, items)} == {Pending}
    assert flushes() - before >= 4


async def test_batches_of_one_caller_get_their_numbers_in_the_order_they_were_sent(driver: Driver) -> None:
    thread = await driver.create()
    refs = [await driver.accept(thread, message()) for _ in range(5)]
    rows = await driver.pool.fetch(
        "select ref from batches where thread = $1 and applied_at is null order by id", thread
    )
    assert [row["ref"] for row in rows] == refs


BAD: dict[str, Callable[[Submission], Submission]] = {
    "json that is none": lambda item: item._replace(events="not json"),
    "a byte that Postgres refuses": lambda item: item._replace(events='["a\x00b"]'),
    "a number that no encoder takes": lambda item: item._replace(partition=1 << 20),
    "an id that is none": lambda item: item._replace(account=AccountId(Ulid("!"))),
}


async def test_one_bad_row_never_fails_its_neighbours(driver: Driver) -> None:
    threads = [await driver.create() for _ in range(6)]
    for fault, spoil in BAD.items():
        items = submissions(driver, threads)
        items[2] = spoil(items[2])
        answers = await submit_all(driver, items)
        kinds = [type(answer) for answer in answers]
        assert kinds == [Pending, Pending, InternalError, Pending, Pending, Pending], fault
        found = await stored(driver)
        assert [found.get(item.ref) for item in items] == [1, 1, None, 1, 1, 1], fault


async def test_a_bad_create_never_fails_its_neighbours(driver: Driver) -> None:
    new = NewThread(agent=driver.caller.agent, created_by_kind=TokenKind.HUMAN_PAT)
    items = [item._replace(new=new) for item in submissions(driver, [ThreadId(ids.mint()) for _ in range(3)])]
    items[1] = items[1]._replace(new=replace(new, kind="dragon"))
    answers = await submit_all(driver, items)
    assert [type(answer) for answer in answers] == [Pending, InternalError, Pending]
    assert await driver.pool.fetchval("select count(*) from threads") == 2
    assert await driver.pool.fetchval("select count(*) from batches") == 2


async def test_creates_and_sends_of_one_flush_do_not_mix_up(driver: Driver) -> None:
    known = [await driver.create() for _ in range(3)]
    new = NewThread(agent=driver.caller.agent, created_by_kind=TokenKind.HUMAN_PAT)
    sends = submissions(driver, known)
    creates = [item._replace(new=new) for item in submissions(driver, [ThreadId(ids.mint()) for _ in range(3)])]
    items = [item for pair in zip(sends, creates, strict=True) for item in pair]
    answers = await submit_all(driver, items)
    assert [answer.thread.id for answer in answers if isinstance(answer, Pending)] == [item.thread for item in items]


async def test_each_row_of_a_flush_gets_its_own_verdict(driver: Driver) -> None:
    open_ = await driver.create()
    archived, held, missing = await driver.create(), await driver.create(), ThreadId(ids.mint())
    await driver.pool.execute("update threads set archived_at = now() where id = $1", archived)
    await driver.pool.execute("update threads set held = true where id = $1", held)
    answers = await submit_all(driver, submissions(driver, [held, open_, missing, archived, open_]))
    assert [type(answer).__name__ for answer in answers] == ["Held", "Pending", "Missing", "Archived", "Pending"]


async def test_a_connection_lost_before_the_commit_stores_each_batch_once(
    driver: Driver, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flush, "LOCK_TIMEOUT_MS", 10_000)
    threads = [await driver.create() for _ in range(5)]
    async with running_inbox(settings) as inbox:
        locker = await connect(settings.database_url)
        items = submissions(driver, threads)
        async with locker.transaction():
            await locker.execute("lock table batches in exclusive mode")
            asked = [asyncio.create_task(inbox.submit(item, 0)) for item in items]
            await until(lambda: _ended_while_it_waited(driver.pool))
        answers = await asyncio.gather(*asked)
        await locker.close()
    assert {type(answer) for answer in answers} == {Pending}
    found = await stored(driver)
    assert [found.get(item.ref) for item in items] == [1] * 5


async def _ended_while_it_waited(pool: asyncpg.Pool) -> bool:
    """Ends the flush that waits for a lock, once there is one."""
    ended: int = await pool.fetchval(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity"
        " where datname = current_database() and wait_event_type = 'Lock'"
    )
    return ended > 0


async def test_an_answer_lost_after_the_commit_is_found_by_its_ref(driver: Driver, settings: Settings) -> None:
    threads = [await driver.create() for _ in range(5)]
    items = submissions(driver, threads)
    items[3] = items[3]._replace(idempotency=Idempotency("key", "route", b"digest"))
    async with (
        wire_to(settings.database_url) as wire,
        running_inbox(settings.model_copy(update={"database_url": wire.url})) as inbox,
    ):
        wire.lose_answer_to(ids.to_bytes(items[0].ref))
        answers = await asyncio.gather(*(inbox.submit(item, 0) for item in items))
    assert wire.lost == 1
    assert [type(answer) for answer in answers] == [Pending] * 5
    found = await stored(driver)
    assert [found[item.ref] for item in items] == [1] * 5


async def test_a_batch_that_turns_up_after_it_was_given_up_for_lost_is_taken_for_what_it_is(driver: Driver) -> None:
    """The first try hangs in Postgres, unseen by the look-up, and is committed while the second one is written."""
    plain, keyed = submissions(driver, [await driver.create(), await driver.create()])
    keyed = keyed._replace(idempotency=Idempotency("key", "route", b"digest"))
    for item in (plain, keyed):
        first, second = await asyncio.gather(driver.caller.inbox.submit(item, 0), driver.caller.inbox.submit(item, 0))
        assert [type(first), type(second)] == [Pending, Pending]
    found = await stored(driver)
    assert [found[item.ref] for item in (plain, keyed)] == [1, 1]


async def test_without_postgres_everyone_is_told_to_come_again(driver: Driver, settings: Settings) -> None:
    away = settings.model_copy(update={"database_url": "postgresql://nobody@127.0.0.1:1/none"})
    async with running_inbox(away) as inbox:
        items = submissions(driver, [ThreadId(ids.mint()) for _ in range(3)])
        answers = await asyncio.gather(*(inbox.submit(item, 0) for item in items), return_exceptions=True)
    assert {type(answer) for answer in answers} == {ServiceInactive}
    assert [answer.retry_after for answer in answers if isinstance(answer, ServiceInactive)] == [1, 1, 1]


async def test_who_meets_a_postgres_that_hangs_is_told_so_together_and_once_it_is_known(
    driver: Driver, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Creates and others of one flush, and who came behind it: one statement and one new connection's time for all."""
    monkeypatch.setattr(flush, "STATEMENT_TIMEOUT", 1.5)
    monkeypatch.setattr("shared.db.connect.CONNECT_TIMEOUT", 0.5)
    thread, new = await driver.create(), NewThread(agent=driver.caller.agent, created_by_kind=TokenKind.HUMAN_PAT)
    first, known, behind = submissions(driver, [thread] * 3)
    (create,) = submissions(driver, [ThreadId(ids.mint())])
    async with (
        wire_to(settings.database_url) as wire,
        running_inbox(settings.model_copy(update={"database_url": wire.url})) as inbox,
    ):
        assert isinstance(await inbox.submit(first, 0), Pending)
        wire.fall_silent(for_good=True)
        began = time.monotonic()
        together = [asyncio.create_task(inbox.submit(item, 0)) for item in (create._replace(new=new), known)]
        await asyncio.sleep(0)  # they are in the flush that begins with this
        answers = await asyncio.gather(*together, inbox.submit(behind, 0), return_exceptions=True)
        assert time.monotonic() - began < 2.8
    assert [type(answer) for answer in answers] == [ServiceInactive] * 3


@pytest.mark.straight
async def test_an_inbox_recovers_by_itself_once_postgres_is_back(
    driver: Driver, settings: Settings, addresses: Addresses
) -> None:
    thread = await driver.create()
    name = settings.database_url.rsplit("/", 1)[1]
    await execute(addresses.database_url, f'alter database "{name}" with allow_connections false')
    admin = await connect(addresses.database_url)
    await admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", name)
    await admin.close()
    (item,) = submissions(driver, [thread])
    with pytest.raises(ServiceInactive):
        await driver.caller.inbox.submit(item, 0)
    await execute(addresses.database_url, f'alter database "{name}" with allow_connections true')
    assert isinstance(await driver.caller.inbox.submit(item, 0), Pending)
    assert (await stored(driver))[item.ref] == 1


@pytest.mark.straight
async def test_a_lock_that_is_long_in_other_hands_is_not_waited_for(driver: Driver, settings: Settings) -> None:
    thread = await driver.create()
    locker = await connect(settings.database_url)
    (item,) = submissions(driver, [thread])
    async with locker.transaction():
        await locker.execute("lock table batches in exclusive mode")
        with pytest.raises(ServiceInactive):
            await driver.caller.inbox.submit(item, 0)
    await locker.close()
    assert item.ref not in await stored(driver)
    assert isinstance(await driver.caller.inbox.submit(item, 0), Pending)


async def test_a_create_and_its_thread_appear_together(driver: Driver) -> None:
    thread, answer = await driver.caller.create(message(), wait=0)
    assert isinstance(answer, Pending)
    row = await driver.thread(thread)
    assert (row["partition"], row["agent"]) == (ids.partition_of(thread, PARTITIONS), driver.caller.agent)
    assert (row["status"], row["title"], row["held"]) == ("IDLE", None, False)
    assert answer.thread.id == thread
