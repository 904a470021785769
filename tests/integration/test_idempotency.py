"""Same key, same request, same answer: in one flush, over several apis, after a restart, after an archive."""

import asyncio
import json

import pytest

from api.inbox import Inbox
from api.submission import (
    Answer,
    Applied,
    Archived,
    Held,
    Idempotency,
    InFlight,
    Mismatch,
    Missing,
    NewThread,
    Parked,
    Pending,
    Submission,
)
from shared import ids
from shared.events import ThreadArchived, ThreadDeleted
from shared.ids import BatchRef, ThreadId, TokenId
from shared.models import TokenKind
from shared.settings import Settings
from tests.driver import Driver
from tests.pipeline import message, running_inbox

KEY = Idempotency("key-1", "POST /x", b"digest")


def keyed(driver: Driver, thread: ThreadId, idempotency: Idempotency = KEY) -> Submission:
    return driver.caller.submission(thread, [message()], reply=False)._replace(idempotency=idempotency)


def again(submission: Submission) -> Submission:
    """The same request, sent once more: everything that is minted is minted anew."""
    return submission._replace(ref=BatchRef(ids.mint()))


async def submit(driver: Driver, submission: Submission) -> Answer:
    return await driver.caller.inbox.submit(submission, 0)


async def counts(driver: Driver) -> tuple[int, int, int]:
    """Threads, batches, keys."""
    row = await driver.pool.fetchrow(
        "select (select count(*) from threads), (select count(*) from batches), (select count(*) from idempotency_keys)"
    )
    return tuple(row)


async def test_a_repeat_is_in_flight_until_the_first_one_is_applied_then_it_is_replayed(driver: Driver) -> None:
    thread = await driver.create()
    first = keyed(driver, thread)
    assert isinstance(await submit(driver, first), Pending)
    assert await submit(driver, again(first)) == InFlight()
    await driver.drain()
    replayed = await submit(driver, again(first))
    row = await driver.batch(first.ref)
    assert replayed == Applied(row["accepted_at"], row["outcome"], replayed=True)
    assert len(await driver.runs(thread)) == 1


async def test_a_replay_is_the_original_text_whatever_happened_since(driver: Driver) -> None:
    thread = await driver.create()
    first = keyed(driver, thread)
    await submit(driver, first)
    await driver.drain()
    original = (await driver.batch(first.ref))["outcome"]
    await driver.send(thread, message("more"))
    await driver.pool.execute("update threads set title = 'renamed' where id = $1", thread)
    replayed = await submit(driver, again(first))
    assert isinstance(replayed, Applied)
    assert replayed.outcome == original
    assert json.loads(original)["thread"]["title"] == "hello"


@pytest.mark.parametrize("closing", [ThreadArchived(), ThreadDeleted()])
async def test_a_replay_wins_after_an_archive_and_after_a_delete(
    driver: Driver, closing: ThreadArchived | ThreadDeleted
) -> None:
    thread = await driver.create()
    first = keyed(driver, thread)
    await submit(driver, first)
    await driver.send(thread, closing)
    assert isinstance(await submit(driver, again(first)), Applied)
    assert isinstance(await driver.caller.inbox.recall(first.token, KEY), Applied)
    refused = await submit(driver, keyed(driver, thread, KEY._replace(key="another")))
    assert isinstance(refused, Archived | Missing)


@pytest.mark.parametrize("change", [{"route": "POST /y"}, {"digest": b"other"}])
async def test_another_request_with_the_same_key_is_a_mismatch(driver: Driver, change: dict[str, str]) -> None:
    thread = await driver.create()
    await submit(driver, keyed(driver, thread))
    other = keyed(driver, thread, KEY._replace(**change))  # type: ignore[arg-type]  # route is text, digest bytes
    assert await submit(driver, other) == Mismatch()
    await driver.drain()
    assert await submit(driver, again(other)) == Mismatch()


async def test_a_key_belongs_to_its_token(driver: Driver) -> None:
    thread = await driver.create()
    mine, theirs = keyed(driver, thread), keyed(driver, thread)._replace(token=TokenId(ids.mint()))
    assert [type(await submit(driver, item)) for item in (mine, theirs)] == [Pending, Pending]
    assert (await counts(driver))[2] == 2


async def test_a_parked_batch_is_said_to_be_parked_and_a_discarded_one_is_replayed(driver: Driver) -> None:
    first = keyed(driver, await driver.create())
    await submit(driver, first)
    await driver.pool.execute("update batches set blocked = true, parked_at = now() where ref = $1", first.ref)
    assert await submit(driver, again(first)) == Parked()
    await driver.pool.execute(
        "update batches set applied_at = now(), outcome = '{}', blocked = false where ref = $1", first.ref
    )
    assert isinstance(await submit(driver, again(first)), Applied)


async def test_the_key_of_a_refused_request_reserves_nothing(driver: Driver) -> None:
    thread, archived, held = [await driver.create() for _ in range(3)]
    await driver.pool.execute("update threads set archived_at = now() where id = $1", archived)
    await driver.pool.execute("update threads set held = true where id = $1", held)
    refused = [keyed(driver, where) for where in (ThreadId(ids.mint()), archived, held)]
    assert [await submit(driver, item) for item in refused] == [Missing(), Archived(), Held()]
    assert (await counts(driver))[2] == 0
    assert isinstance(await submit(driver, keyed(driver, thread)), Pending)


async def test_of_one_key_in_one_flush_the_first_request_that_is_taken_counts(driver: Driver) -> None:
    thread = await driver.create()
    first, refused = keyed(driver, thread), keyed(driver, ThreadId(ids.mint()))
    other = keyed(driver, thread, KEY._replace(digest=b"other"))
    items = [refused, first, again(first), other, again(first)]
    answers = await asyncio.gather(*(submit(driver, item) for item in items))
    assert [type(answer) for answer in answers] == [InFlight, Pending, InFlight, Mismatch, InFlight]
    assert (await counts(driver))[1:] == (2, 1)


async def test_a_create_and_its_key_are_stored_together_or_not_at_all(driver: Driver) -> None:
    new = NewThread(agent=driver.caller.agent, created_by_kind=TokenKind.HUMAN_PAT)
    creates = [keyed(driver, ThreadId(ids.mint()))._replace(new=new) for _ in range(4)]
    answers = await asyncio.gather(*(submit(driver, item) for item in creates))
    assert [type(answer) for answer in answers] == [Pending, InFlight, InFlight, InFlight]
    assert await counts(driver) == (1, 1, 1)
    await driver.drain()
    replayed = await submit(driver, again(creates[3]))
    assert isinstance(replayed, Applied)
    assert json.loads(replayed.outcome)["thread"]["id"] == creates[0].thread
    assert await counts(driver) == (1, 1, 1)


async def test_a_create_that_cannot_be_written_reserves_no_key(driver: Driver) -> None:
    bad = NewThread(agent=None, created_by_kind=TokenKind.HUMAN_PAT, kind="dragon")
    create = keyed(driver, ThreadId(ids.mint()))._replace(new=bad)
    with pytest.raises(Exception, match="request id"):
        await submit(driver, create)
    assert await counts(driver) == (0, 0, 0)


async def test_of_two_apis_with_the_same_keys_one_takes_each(driver: Driver, settings: Settings) -> None:
    threads = [await driver.create() for _ in range(4)]
    requests = [keyed(driver, threads[n % 4], KEY._replace(key=f"key-{n}")) for n in range(60)]

    async def send_all(inbox: Inbox, order: int) -> list[Answer]:
        items = [again(item) for item in requests[::order]]
        answers = await asyncio.gather(*(inbox.submit(item, 0) for item in items))
        return answers[::order]

    async with running_inbox(settings) as one, running_inbox(settings) as other:
        answers = await asyncio.gather(send_all(one, 1), send_all(other, -1), send_all(one, -1))
    for trio in zip(*answers, strict=True):
        assert sorted(type(answer).__name__ for answer in trio) == ["InFlight", "InFlight", "Pending"]
    assert (await counts(driver))[1:] == (4 + 60, 60)


async def test_a_key_outlives_its_api(driver: Driver, settings: Settings) -> None:
    first = keyed(driver, await driver.create())
    async with running_inbox(settings) as one:
        await one.submit(first, 0)
    await driver.drain()
    async with running_inbox(settings) as other:
        replayed = await other.submit(again(first), 0)
        assert isinstance(replayed, Applied)
        assert replayed.replayed
        assert await other.recall(first.token, KEY) == replayed
        assert await other.recall(first.token, KEY._replace(digest=b"other")) == Mismatch()
        assert await other.recall(first.token, KEY._replace(key="unknown")) is None
