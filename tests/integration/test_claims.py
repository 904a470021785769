"""Files that batches attach: with the batch or not at all, and what is told of those that can't be."""

import asyncio

import pytest

from api.submission import Archived, Held, InFlight, Mismatch, Missing, Passes, Pending, Unattachable
from shared import accounts, agents, ids
from shared.files import rows
from shared.ids import FileId, ThreadId
from shared.models import TokenKind
from shared.settings import Settings
from tests.claiming import DRAFT, attaching, draft, of, submit, swept, where
from tests.driver import Driver
from tests.pipeline import message, running_inbox
from tests.proxy import wire_to


async def counts(driver: Driver) -> tuple[int, ...]:
    """All that a batch leaves when it is accepted."""
    return tuple(
        await driver.pool.fetchrow(
            "select (select count(*) from batches), (select count(*) from threads),"
            " (select count(*) from idempotency_keys), (select count(*) from thread_events)"
        )
    )


@pytest.mark.parametrize("new", [True, False], ids=["create", "send"])
async def test_files_are_the_threads_with_the_batch_that_names_them(driver: Driver, new: bool) -> None:
    thread = None if new else await driver.create()
    files = [await draft(driver) for _ in range(3)]
    item = attaching(driver, thread, *reversed(files))
    assert isinstance(await submit(driver, item), Pending)
    assert [await where(driver, file) for file in files] == [of(item)] * 3
    listed = await rows.of_thread(driver.pool, item.partition, item.thread, 10)
    assert [(file.id, file.committed) for file in listed] == [(file, False) for file in files]
    await driver.drain()
    assert {file.committed for file in await rows.of_thread(driver.pool, item.partition, item.thread, 10)} == {True}


@pytest.mark.parametrize("new", [True, False], ids=["create", "send"])
@pytest.mark.parametrize("key", [None, "key"])
async def test_with_one_file_that_cant_be_attached_nothing_of_the_batch_happens(
    driver: Driver, new: bool, key: str | None
) -> None:
    thread, other = None if new else await driver.create(), await driver.create()
    caller, pool = driver.caller, driver.pool
    async with pool.acquire() as db:
        stranger = await accounts.create_account(db, "globex")
        theirs = await agents.create_agent(db, stranger.id, "echo", "python", published=True)
        token = (await accounts.create_token(db, caller.account, TokenKind.HUMAN_PAT)).token.id
        sibling = (await agents.create_agent(db, caller.account, "other", "python", published=True)).id
        foreign = (await accounts.create_token(db, stranger.id, TokenKind.HUMAN_PAT)).token.id
    taken = await draft(driver)
    await submit(driver, attaching(driver, other, taken))
    refused = {
        await draft(driver, account=stranger.id, agent=theirs.id, token=foreign): "was not found",
        FileId(ids.mint()): "was not found",
        taken: "is attached already",
        await draft(driver, token=token): "was uploaded with another token",
        await draft(driver, agent=sibling): "was uploaded to another agent",
        await draft(driver, ready=False): "is not ready: its upload is not over",
    }
    good, before = await draft(driver), await counts(driver)
    item = attaching(driver, thread, None, good, *refused, key=key)
    assert await submit(driver, item) == Unattachable(
        ("Attachment None was not found.", *(f"Attachment {file} {why}." for file, why in refused.items()))
    )
    assert (await counts(driver), await where(driver, good)) == (before, DRAFT)
    again = attaching(driver, thread, good, key=key)
    assert isinstance(await submit(driver, again), Pending), "a refused request reserves nothing"


async def test_a_thread_that_takes_no_batch_takes_no_file(driver: Driver) -> None:
    file = await draft(driver)
    archived, held, missing = await driver.create(), await driver.create(), ThreadId(ids.mint())
    await driver.pool.execute("update threads set archived_at = now() where id = $1", archived)
    await driver.pool.execute("update threads set held = true where id = $1", held)
    for thread, answer in ((archived, Archived()), (held, Held()), (missing, Missing())):
        assert await submit(driver, attaching(driver, thread, file)) == answer
        assert await where(driver, file) == DRAFT


@pytest.mark.parametrize("new", [True, False], ids=["create", "send"])
async def test_all_that_comes_with_a_batch_is_stored_beside_its_files(driver: Driver, new: bool) -> None:
    thread = None if new else await driver.create()
    item = attaching(driver, thread, await draft(driver), key="key")
    assert item.idempotency is not None
    item = item._replace(
        traceparent="00-1-2-01", idempotency=item.idempotency._replace(basis='{"a":1}'), passes=Passes.ARCHIVED
    )
    await driver.pool.execute("update threads set archived_at = now()")
    answer = await submit(driver, item)
    assert isinstance(answer, Pending)
    assert answer.thread.id == item.thread
    row = await driver.batch(item.ref)
    assert tuple(row[name] for name in ("partition", "thread", "account", "token", "events", "traceparent")) == (
        *(item.partition, item.thread, item.account, item.token, item.events, item.traceparent),
    )
    (key,) = await driver.pool.fetch("select token, key, hash, basis, partition, batch from idempotency_keys")
    assert tuple(key) == (item.token, "key", item.ref.encode(), '{"a":1}', item.partition, row["id"])


async def test_a_thread_without_an_agent_takes_files_of_the_one_that_will_answer(driver: Driver) -> None:
    caller = driver.caller
    async with driver.pool.acquire() as db:
        sibling = (await agents.create_agent(db, caller.account, "other", "python", published=True)).id
    thread = await driver.create()
    await driver.pool.execute("update threads set agent = null where id = $1", thread)
    await driver.pool.execute("update accounts set default_agent = $1", sibling)
    assert isinstance(await submit(driver, attaching(driver, thread, await draft(driver))), Unattachable)
    assert isinstance(await submit(driver, attaching(driver, thread, await draft(driver, agent=sibling))), Pending)


async def test_a_repeated_key_is_answered_as_before_and_claims_nothing(driver: Driver) -> None:
    thread, file, other = await driver.create(), await draft(driver), await draft(driver)
    first = attaching(driver, thread, file, key="key")
    assert isinstance(await submit(driver, first), Pending)
    again = attaching(driver, thread, file)._replace(idempotency=first.idempotency)
    assert await submit(driver, again) == InFlight()
    assert await submit(driver, attaching(driver, thread, other, key="key")) == Mismatch()
    await driver.drain()
    replay = await submit(driver, again)
    assert (getattr(replay, "replayed", None), await where(driver, file)) == (True, of(first))
    assert await where(driver, other) == DRAFT


async def test_one_that_is_refused_or_spoilt_never_fails_its_neighbours(driver: Driver) -> None:
    thread = await driver.create()
    good = [attaching(driver, thread, await draft(driver)) for _ in range(3)]
    plain = driver.caller.submission(thread, [message()], reply=False)
    spoilt = attaching(driver, thread, await draft(driver))._replace(events="not json")
    unknown = attaching(driver, thread, FileId(ids.mint()))
    answers = await asyncio.gather(
        *(submit(driver, item) for item in (good[0], spoilt, good[1], unknown, good[2], plain)), return_exceptions=True
    )
    kinds = [type(answer).__name__ for answer in answers]
    assert kinds == ["Pending", "InternalError", "Pending", "Unattachable", "Pending", "Pending"]


async def test_an_answer_lost_after_the_commit_is_found_with_its_files(driver: Driver, settings: Settings) -> None:
    items = [
        attaching(driver, thread, await draft(driver), key=key)
        for thread in (None, await driver.create())
        for key in (None, "key")
    ][:3]
    for item in items:
        async with (
            wire_to(settings.database_url) as wire,
            running_inbox(settings.model_copy(update={"database_url": wire.url})) as inbox,
        ):
            wire.lose_answer_to(ids.to_bytes(item.ref))
            assert isinstance(await submit(driver, item, inbox), Pending)
            assert wire.lost == 1
        (file,) = item.files
        assert file.id is not None
        assert await where(driver, file.id) == of(item)


async def test_a_claimed_file_outlives_its_day_as_a_draft_however_long_its_batch_waits(
    driver: Driver, settings: Settings
) -> None:
    thread, file, left = await driver.create(), await draft(driver), await draft(driver)
    await submit(driver, attaching(driver, thread, file))
    await driver.pool.execute("update files set expires_at = now() - interval '1 second' where expires_at is not null")
    await swept(settings)
    assert [row["id"] for row in await driver.pool.fetch("select id from files")] == [file]
    assert left != file
