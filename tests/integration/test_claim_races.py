"""Claims at the same time as others, as deletes and as the sweep: a file has one owner, and nobody waits for long."""

import asyncio

import pytest
from redis.asyncio import Redis

from api import flush
from api.submission import Idempotency, InFlight, Missing, Pending, Unattachable
from shared import ids
from shared.db.connect import connect
from shared.errors import NotFound, ServiceInactive
from shared.events import ThreadDeleted
from shared.files import rows
from shared.settings import Settings
from tests.claiming import DRAFT, attaching, draft, of, submit, swept, waits_for_a_lock, where
from tests.driver import Driver
from tests.pipeline import PARTITIONS, message, running_inbox
from tests.watch import until
from worker.upkeep import Upkeep


async def test_of_twenty_batches_on_several_apis_exactly_one_has_the_file(driver: Driver, settings: Settings) -> None:
    threads = [None if n % 2 else await driver.create() for n in range(20)]
    made = 10
    for keyed in (False, True):
        pair = [await draft(driver), await draft(driver)]
        items = [
            attaching(driver, thread, *(pair if n % 3 else reversed(pair)), key=f"key {n}" if keyed else None)
            for n, thread in enumerate(threads)
        ]
        async with running_inbox(settings) as second, running_inbox(settings) as third:
            inboxes = (driver.caller.inbox, second, third)
            answers = await asyncio.gather(*(submit(driver, item, inboxes[n % 3]) for n, item in enumerate(items)))
        (winner,) = [item for item, answer in zip(items, answers, strict=True) if isinstance(answer, Pending)]
        assert sum(isinstance(answer, Unattachable) for answer in answers) == 19
        assert [await where(driver, file) for file in pair] == [of(winner)] * 2
        refs = await driver.pool.fetch("select ref from batches where ref = any($1)", [item.ref for item in items])
        assert [row["ref"] for row in refs] == [winner.ref]
        made += winner.new is not None
        assert await driver.pool.fetchval("select count(*) from threads") == made


async def test_one_request_sent_ten_times_at_once_with_its_key_claims_once(driver: Driver, settings: Settings) -> None:
    file = await draft(driver)
    items = [attaching(driver, None, file)._replace(idempotency=Idempotency("k", "r", b"d")) for _ in range(10)]
    async with running_inbox(settings) as second:
        inboxes = (driver.caller.inbox, second)
        answers = await asyncio.gather(*(submit(driver, item, inboxes[n % 2]) for n, item in enumerate(items)))
    (winner,) = [item for item, answer in zip(items, answers, strict=True) if isinstance(answer, Pending)]
    assert sum(answer == InFlight() for answer in answers) == 9
    assert await where(driver, file) == of(winner)


async def test_a_connection_lost_before_the_commit_claims_once(
    driver: Driver, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flush, "LOCK_TIMEOUT_MS", 10_000)
    item, locker = attaching(driver, None, await draft(driver)), await connect(settings.database_url)
    (file,) = item.files
    assert file.id is not None
    async with running_inbox(settings) as inbox:
        async with locker.transaction():
            await locker.execute("select from files where id = $1 for update", file.id)
            asked = asyncio.create_task(submit(driver, item, inbox))
            await until(lambda: waits_for_a_lock(driver.pool))
            await driver.pool.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and wait_event_type = 'Lock'"
            )
        assert isinstance(await asked, Pending)
    await locker.close()
    assert await where(driver, file.id) == of(item)
    assert await driver.pool.fetchval("select count(*) from batches") == 1


@pytest.mark.parametrize("new", [True, False], ids=["create", "send"])
async def test_a_batch_that_turns_up_after_it_was_given_up_for_lost_keeps_its_files(driver: Driver, new: bool) -> None:
    """The first try hangs in Postgres, unseen by the look-up, and is committed while the second one is written."""
    for key in (None, "key"):
        item = attaching(driver, None if new else await driver.create(), await draft(driver), key=key)
        first, second = await asyncio.gather(submit(driver, item), submit(driver, item))
        assert [type(first), type(second)] == [Pending, Pending]


async def test_who_brings_no_files_does_not_wait_with_those_who_wait_for_a_thread(
    driver: Driver, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flush, "LOCK_TIMEOUT_MS", 100)  # four times
    thread, file, locker = await driver.create(), await draft(driver), await connect(settings.database_url)
    async with running_inbox(settings) as inbox:
        async with locker.transaction():
            await locker.execute("select from threads where id = $1 for no key update", thread)
            waiting = asyncio.create_task(submit(driver, attaching(driver, thread, file), inbox))
            await until(lambda: waits_for_a_lock(driver.pool))
            plain = driver.caller.submission(thread, [message()], reply=False)
            assert isinstance(await submit(driver, plain, inbox), Pending)
            assert not waiting.done()
            with pytest.raises(ServiceInactive):
                await waiting
        assert await where(driver, file) == DRAFT
        assert isinstance(await submit(driver, attaching(driver, thread, file), inbox), Pending)
    await locker.close()


async def test_a_thread_that_is_deleted_meanwhile_gets_no_file(driver: Driver, settings: Settings) -> None:
    """The claim waits for the delete's lock, and then sees what it did."""
    thread, file = await driver.create(), await draft(driver)
    db = await connect(settings.database_url)
    async with db.transaction():
        await db.execute("update threads set deleted_at = clock_timestamp() where id = $1", thread)
        claim = asyncio.create_task(submit(driver, attaching(driver, thread, file)))
        await until(lambda: waits_for_a_lock(driver.pool))
    await db.close()
    assert await claim == Missing()
    assert await where(driver, file) == DRAFT


async def test_a_file_is_never_left_with_a_thread_that_is_gone(
    driver: Driver, settings: Settings, redis: Redis
) -> None:
    threads = [await driver.create() for _ in range(20)]
    files = [await draft(driver) for _ in threads]

    async def delete(n: int) -> None:
        await asyncio.sleep(n % 4 / 100)
        await driver.accept(threads[n], ThreadDeleted())
        await driver.drain([ids.partition_of(threads[n], PARTITIONS)])

    claims = [submit(driver, attaching(driver, thread, file)) for thread, file in zip(threads, files, strict=True)]
    answers, _ = await asyncio.gather(asyncio.gather(*claims), asyncio.gather(*(delete(n) for n in range(20))))
    await driver.drain()
    await driver.pool.execute("update threads set deleted_at = deleted_at - interval '1 minute'")
    upkeep = Upkeep(settings, redis, PARTITIONS)
    await upkeep.purge_once()
    await upkeep.close()
    assert await driver.pool.fetchval("select count(*) from threads where purged_at is null") == 0
    left = {row["id"]: row["thread"] for row in await driver.pool.fetch("select id, thread from files")}
    assert left == {file: None for file, answer in zip(files, answers, strict=True) if answer == Missing()}


async def test_a_file_that_is_deleted_meanwhile_is_unknown(driver: Driver, settings: Settings) -> None:
    file = await draft(driver)
    db = await connect(settings.database_url)
    async with db.transaction():
        await rows.remove(db, file, driver.caller.account)
        claim = asyncio.create_task(submit(driver, attaching(driver, None, file)))
        await until(lambda: waits_for_a_lock(driver.pool))
    await db.close()
    assert await claim == Unattachable((f"Attachment {file} was not found.",))


async def test_a_file_that_is_attached_meanwhile_is_deleted_all_the_same(driver: Driver) -> None:
    """Whichever is first: it is gone when the delete is answered, and nothing is counted twice."""
    for _ in range(20):
        file = await draft(driver)
        claim = asyncio.create_task(submit(driver, attaching(driver, None, file)))
        await asyncio.gather(claim, rows.remove(driver.pool, file, driver.caller.account))
        with pytest.raises(NotFound):
            await rows.find(driver.pool, file, driver.caller.account)
    assert await driver.pool.fetchval("select count(*) from files") == 0
    assert tuple(await driver.pool.fetchrow("select files, bytes from file_usage")) == (0, 0)


async def test_drafts_whose_time_is_over_are_claimed_or_swept_and_never_both(
    driver: Driver, settings: Settings
) -> None:
    files = [await draft(driver) for _ in range(20)]
    await driver.pool.execute("update files set expires_at = now() - interval '1 second'")
    items = [attaching(driver, None, file) for file in files]
    answers, _ = await asyncio.gather(asyncio.gather(*(submit(driver, item) for item in items)), swept(settings))
    kept = {file for file, answer in zip(files, answers, strict=True) if isinstance(answer, Pending)}
    assert {row["id"] for row in await driver.pool.fetch("select id from files where thread is not null")} == kept
    await swept(settings)
    assert {row["id"] for row in await driver.pool.fetch("select id from files")} == kept
    assert await driver.pool.fetchval("select count(*) from threads") == len(kept)
