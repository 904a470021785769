"""Dead letters: replayed or given up under the locks that drains take."""

import asyncio
import json
from typing import Any

import asyncpg
import pytest

from shared import deadletters, holds, ids
from shared.db.connect import connect
from shared.deadletters import Decision, Fate, Letter
from shared.errors import Conflict, InvalidRequest, NotFound, ServiceInactive
from shared.ids import BatchId
from shared.inspect.batches import BatchState, find_batch
from shared.settings import Settings
from tests.locks import waiters
from tests.pipeline import running_crew
from tests.rows import Owner, Row, a_message, add_batch, add_owner, add_thread
from tests.watch import until


@pytest.fixture
async def owner(pool: asyncpg.Pool) -> Owner:
    return await add_owner(pool)


@pytest.fixture
async def held(pool: asyncpg.Pool, owner: Owner) -> Row:
    return await add_thread(pool, owner, held=True)


async def row_of(pool: asyncpg.Pool, batch: BatchId) -> dict[str, Any]:
    return dict(await pool.fetchrow("select * from batches where id = $1", batch))


async def is_held(pool: asyncpg.Pool, thread: Row) -> bool:
    found: bool = await pool.fetchval("select held from threads where id = $1", thread.id)
    return found


async def settle(pool: asyncpg.Pool, batch: object, fate: Fate, reason: str = "") -> deadletters.Settled:
    found = await find_batch(pool, str(batch))
    return await deadletters.settle(pool, Letter(found.partition, found.id, found.thread), Decision(fate, reason))


async def replay(pool: asyncpg.Pool, batch: object) -> deadletters.Settled:
    return await settle(pool, batch, Fate.REPLAY)


async def discard(pool: asyncpg.Pool, batch: object, reason: str = "broken client") -> deadletters.Settled:
    return await settle(pool, batch, Fate.DISCARD, reason)


async def skip(pool: asyncpg.Pool, batch: object) -> deadletters.Settled:
    return await settle(pool, batch, Fate.SKIP)


async def test_a_replayed_dead_letter_waits_as_if_it_had_never_been_tried(
    pool: asyncpg.Pool, owner: Owner, held: Row
) -> None:
    batch = await add_batch(pool, owner, held, parked=True)
    settled = await replay(pool, batch)
    row = await row_of(pool, batch)
    assert (row["parked_at"], row["attempts"], row["next_try_at"], row["error"]) == (None, 0, None, None)
    assert not row["blocked"]
    assert row["applied_at"] is None
    assert not settled.held
    assert not await is_held(pool, held)


async def test_what_waited_behind_a_replayed_dead_letter_waits_for_a_drain_again(
    pool: asyncpg.Pool, owner: Owner, held: Row
) -> None:
    dead = await add_batch(pool, owner, held, parked=True)
    behind = [await add_batch(pool, owner, held, blocked=True) for _ in range(3)]
    stranger = await add_batch(pool, owner, await add_thread(pool, owner, held=True), blocked=True)
    await replay(pool, dead)
    assert [(await row_of(pool, batch))["blocked"] for batch in behind] == [False] * 3
    assert (await row_of(pool, stranger))["blocked"]


async def test_a_discarded_dead_letter_counts_as_applied_and_warns_each_event(
    pool: asyncpg.Pool, owner: Owner, held: Row
) -> None:
    stored = json.dumps([*json.loads(a_message("one", "req-1")), {"type": "user_interrupt"}])
    batch = await add_batch(pool, owner, held, stored, parked=True)
    behind = await add_batch(pool, owner, held, blocked=True)
    await discard(pool, batch, "sent by mistake")
    row = await row_of(pool, batch)
    outcome = json.loads(row["outcome"])
    assert row["applied_at"] is not None
    assert outcome["events"] == [
        {"clientRequestId": "req-1", "requestId": "req-1", "run": None, "type": "user_message"},
        {"clientRequestId": None, "requestId": None, "run": None, "type": "user_interrupt"},
    ]
    assert [(w["code"], w["eventIndex"]) for w in outcome["warnings"]] == [
        ("batch_discarded", 0),
        ("batch_discarded", 1),
    ]
    assert "sent by mistake" in outcome["warnings"][0]["message"]
    assert outcome["thread"]["id"] == held.id
    assert not await is_held(pool, held)
    assert not (await row_of(pool, behind))["blocked"]


async def test_a_discarded_batch_keeps_why_it_died(pool: asyncpg.Pool, owner: Owner, held: Row) -> None:
    batch = await add_batch(pool, owner, held, parked=True)
    await discard(pool, batch)
    row = await row_of(pool, batch)
    assert row["error"] == "ValueError: boom"
    assert row["parked_at"] is not None


@pytest.mark.parametrize(
    "stored",
    [
        '[{"type":"nonsense"}]',
        '{"no":"list"}',
        '["text", 7]',
        "null",
        "[]",
        '[{"type":"user_message","text":"a\\u0000b","client_request_id":"\\u0000"}]',
        '[{"type":"user_message","text":"\\ud800"}]',
        "[" * 5_000 + "]" * 5_000,
    ],
)
async def test_a_batch_that_nobody_can_read_can_be_discarded(
    pool: asyncpg.Pool, owner: Owner, held: Row, stored: str
) -> None:
    batch = await add_batch(pool, owner, held, stored, parked=True)
    assert (await find_batch(pool, str(batch))).state is BatchState.PARKED
    await discard(pool, batch)
    outcome = json.loads((await row_of(pool, batch))["outcome"])
    assert len(outcome["events"]) == len(outcome["warnings"])


async def test_a_thread_stays_held_until_its_last_dead_letter_is_settled(
    pool: asyncpg.Pool, owner: Owner, held: Row
) -> None:
    first = await add_batch(pool, owner, held, parked=True)
    second = await add_batch(pool, owner, held, parked=True)
    behind = await add_batch(pool, owner, held, blocked=True)
    assert (await replay(pool, first)).held
    assert await is_held(pool, held)
    assert (await row_of(pool, first))["blocked"]
    assert (await row_of(pool, behind))["blocked"]
    assert not (await discard(pool, second)).held
    assert [(await row_of(pool, batch))["blocked"] for batch in (first, behind)] == [False, False]


async def test_a_thread_that_went_on_past_its_dead_letter_takes_it_up_again(pool: asyncpg.Pool, owner: Owner) -> None:
    thread = await add_thread(pool, owner, held=False)
    first = await add_batch(pool, owner, thread, parked=True)
    second = await add_batch(pool, owner, thread, parked=True)
    await replay(pool, first)
    assert not (await row_of(pool, first))["blocked"]
    assert (await row_of(pool, second))["parked_at"] is not None


async def test_a_dead_letter_of_a_purged_thread_can_still_be_settled(
    pool: asyncpg.Pool, owner: Owner, held: Row
) -> None:
    batch = await add_batch(pool, owner, held, parked=True)
    await pool.execute("delete from threads")
    await discard(pool, batch)
    assert json.loads((await row_of(pool, batch))["outcome"])["thread"] is None


async def test_a_dead_letter_is_found_by_its_ref(pool: asyncpg.Pool, owner: Owner, held: Row) -> None:
    batch = await add_batch(pool, owner, held, parked=True)
    ref = (await row_of(pool, batch))["ref"]
    assert (await replay(pool, ref.lower())).batch == batch


async def test_what_is_no_dead_letter_is_left_alone(pool: asyncpg.Pool, owner: Owner, held: Row) -> None:
    batch = await add_batch(pool, owner, held, blocked=True)
    before = await row_of(pool, batch)
    with pytest.raises(Conflict):
        await replay(pool, batch)
    with pytest.raises(Conflict):
        await discard(pool, batch)
    with pytest.raises(NotFound):
        await replay(pool, ids.mint())
    with pytest.raises(NotFound):
        await replay(pool, 10**18)
    assert await row_of(pool, batch) == before
    assert await is_held(pool, held)


@pytest.mark.parametrize("reason", ["", " ", "two\nlines", "x" * 501, "\x1b[31m"])
def test_a_reason_that_cannot_be_shown_is_refused(reason: str) -> None:
    with pytest.raises(InvalidRequest):
        holds.checked(reason)


async def test_a_skipped_dead_letter_stays_one_and_its_thread_goes_on_without_it(
    pool: asyncpg.Pool, owner: Owner, held: Row, settings: Settings
) -> None:
    dead = await add_batch(pool, owner, held, '[{"type":"nonsense"}]', parked=True)
    behind = await add_batch(pool, owner, held, blocked=True)
    assert not (await skip(pool, dead)).held
    with pytest.raises(Conflict):
        await skip(pool, dead)
    async with running_crew(settings):
        await until(lambda: pool.fetchval("select applied_at is not null from batches where id = $1", behind))
    assert (await find_batch(pool, str(dead))).state is BatchState.PARKED
    await pool.execute("update batches set events = $2 where id = $1", dead, a_message("late"))
    await replay(pool, dead)
    assert (await row_of(pool, dead))["passed_at"] is None
    async with running_crew(settings):
        await until(lambda: pool.fetchval("select applied_at is not null from batches where id = $1", dead))
    messages = await pool.fetch("select parts::text as parts from messages where thread = $1 order by num", held.id)
    assert ["late" in row["parts"] for row in messages] == [False, True], "applied late, behind what came after it"


async def test_a_thread_that_skipped_one_dead_letter_is_held_by_the_other_one(
    pool: asyncpg.Pool, owner: Owner, held: Row
) -> None:
    first, second = [await add_batch(pool, owner, held, parked=True) for _ in range(2)]
    assert (await skip(pool, first)).held
    assert not (await skip(pool, second)).held


async def test_of_operators_who_settle_one_dead_letter_at_once_one_does(
    pool: asyncpg.Pool, owner: Owner, held: Row
) -> None:
    batch = await add_batch(pool, owner, held, parked=True)
    ends = await asyncio.gather(replay(pool, batch), discard(pool, batch), replay(pool, batch), return_exceptions=True)
    assert sorted(type(end).__name__ for end in ends) == ["Conflict", "Conflict", "Settled"]


async def test_a_drain_that_has_the_partition_in_hand_is_waited_for(
    pool: asyncpg.Pool, owner: Owner, held: Row, settings: Settings
) -> None:
    batch = await add_batch(pool, owner, held, parked=True)
    drain = await connect(settings.database_url)
    transaction = drain.transaction()
    await transaction.start()
    await drain.execute("select pg_advisory_xact_lock(1, $1)", held.partition)
    waiting = asyncio.create_task(replay(pool, batch))
    await until(lambda: waiters(pool))
    assert (await row_of(pool, batch))["parked_at"] is not None
    await transaction.commit()
    assert not (await waiting).held
    await drain.close()


@pytest.mark.slow
async def test_a_partition_that_is_long_in_hand_is_said_to_be(
    pool: asyncpg.Pool, owner: Owner, held: Row, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = await add_batch(pool, owner, held, parked=True)
    drain = await connect(settings.database_url)
    async with drain.transaction():
        await drain.execute("select pg_advisory_xact_lock(1, $1)", held.partition)
        monkeypatch.setattr(holds, "LOCK_TIMEOUT_MS", 50)
        with pytest.raises(ServiceInactive):
            await replay(pool, batch)
    await drain.close()
    assert (await row_of(pool, batch))["parked_at"] is not None


async def test_a_batch_that_fails_for_good_is_parked_and_applied_once_it_is_mended_and_replayed(
    pool: asyncpg.Pool, owner: Owner, settings: Settings
) -> None:
    thread = await add_thread(pool, owner)
    batch = await add_batch(pool, owner, thread, '[{"type":"nonsense"}]')
    behind = await add_batch(pool, owner, thread)
    async with running_crew(settings):
        await until(lambda: pool.fetchval("select parked_at is not null from batches where id = $1", batch))
        await until(lambda: pool.fetchval("select blocked from batches where id = $1", behind))
        assert await is_held(pool, thread)
        await pool.execute("update batches set events = $2 where id = $1", batch, a_message("mended"))
        await replay(pool, batch)
        await until(lambda: pool.fetchval("select applied_at is not null from batches where id = $1", behind))
    first, second = await row_of(pool, batch), await row_of(pool, behind)
    assert first["applied_at"] <= second["applied_at"]
    assert json.loads(first["outcome"])["events"][0]["run"]["status"] == "queued"
    assert json.loads(second["outcome"])["warnings"][0]["code"] == "queued_behind"


async def test_what_waits_behind_a_discarded_batch_is_applied(
    pool: asyncpg.Pool, owner: Owner, held: Row, settings: Settings
) -> None:
    dead = await add_batch(pool, owner, held, '[{"type":"nonsense"}]', parked=True)
    behind = await add_batch(pool, owner, held, blocked=True)
    async with running_crew(settings):
        await discard(pool, dead)
        await until(lambda: pool.fetchval("select applied_at is not null from batches where id = $1", behind))
    assert await pool.fetchval("select count(*) from runs where thread = $1", held.id) == 1
