"""What an operator sees of batches, dead letters, threads and runs."""

import dataclasses
import json

import asyncpg
import pytest

from shared import ids
from shared.errors import NotFound
from shared.inspect import batches, deadletters, running, threads
from shared.inspect.batches import BatchState
from shared.inspect.counts import COUNTED
from shared.inspect.deadletters import Selection
from tests.plans import explained, plan_of, rows_read
from tests.rows import PARTITIONS, Owner, Row, add_batch, add_owner, add_thread, fill


@pytest.fixture
async def owner(pool: asyncpg.Pool) -> Owner:
    return await add_owner(pool)


@pytest.fixture
async def thread(pool: asyncpg.Pool, owner: Owner) -> Row:
    return await add_thread(pool, owner)


async def test_waiting_batches_come_oldest_first_over_accounts_and_partitions(pool: asyncpg.Pool, owner: Owner) -> None:
    other = await add_owner(pool, "other")
    expected = []
    for number in range(12):
        whose = (owner, other)[number % 2]
        expected.append(await add_batch(pool, whose, await add_thread(pool, whose), age=100 - number))
    assert [batch.id for batch in (await batches.waiting_batches(pool, 50)).items] == expected
    assert [batch.id for batch in (await batches.waiting_batches(pool, 5)).items] == expected[:5]
    mine = (await batches.waiting_batches(pool, 50, account=other.account)).items
    assert [batch.id for batch in mine] == expected[1::2]
    one = (await batches.waiting_batches(pool, 50, partition=mine[0].partition)).items
    assert {batch.partition for batch in one} == {mine[0].partition}


async def test_the_batches_of_a_thread_come_in_their_order_blocked_or_not(
    pool: asyncpg.Pool, owner: Owner, thread: Row
) -> None:
    dead = await add_batch(pool, owner, thread, parked=True)
    behind = await add_batch(pool, owner, thread, blocked=True)
    late = await add_batch(pool, owner, thread)
    await add_batch(pool, owner, await add_thread(pool, owner))
    found = await threads.find_thread(pool, thread.id)
    assert [(batch.id, batch.state) for batch in found.batches] == [
        (dead, BatchState.PARKED),
        (behind, BatchState.BLOCKED),
        (late, BatchState.WAITING),
    ]
    assert [batch.id for batch in (await batches.blocked_batches(pool, 10)).items] == [dead, behind]
    assert (await batches.blocked_batches(pool, 10, (thread.partition + 1) % PARTITIONS)).items == []


async def test_dead_letters_are_listed_the_longest_parked_first(pool: asyncpg.Pool, owner: Owner) -> None:
    parked = [await add_batch(pool, owner, await add_thread(pool, owner, held=True), parked=True) for _ in range(3)]
    found = (await deadletters.page(pool, Selection(), 10, None)).items
    assert [batch.id for batch in found] == parked
    assert {(batch.state, batch.attempts, batch.error) for batch in found} == {
        (BatchState.PARKED, 5, "ValueError: boom")
    }
    assert all(batch.thread_held and "replay" in batch.next_step for batch in found)


async def test_dead_letters_are_found_without_reading_what_waits_behind_them(
    pool: asyncpg.Pool, owner: Owner, thread: Row
) -> None:
    await add_batch(pool, owner, thread, parked=True)
    await fill(pool, owner, thread, 20_000, blocked=True)
    assert max(rows_read(await explained(pool, "letters", "all", None, None, 51))) <= 1
    assert max(rows_read(await plan_of(pool, "dead", COUNTED + 1))) <= 1


async def test_a_run_is_found_without_its_thread_by_reading_an_index(pool: asyncpg.Pool) -> None:
    plan = json.dumps(await plan_of(pool, "run", ids.mint(), None, None))
    assert "runs_pkey" in plan
    assert "Seq Scan" not in plan


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ("set attempts = 0", BatchState.WAITING),
        ("set attempts = 2, next_try_at = now() + interval '1 s'", BatchState.RETRYING),
        ("set blocked = true", BatchState.BLOCKED),
        ("set blocked = true, parked_at = now()", BatchState.PARKED),
        ("set applied_at = now(), outcome = '{\"events\":[]}'", BatchState.APPLIED),
        ("set applied_at = now(), outcome = '{}', parked_at = now()", BatchState.DISCARDED),
    ],
)
async def test_the_state_of_a_batch_follows_from_its_row(
    pool: asyncpg.Pool, owner: Owner, thread: Row, change: str, state: BatchState
) -> None:
    batch = await add_batch(pool, owner, thread)
    await pool.execute(f"update batches {change}")
    found = await batches.find_batch(pool, str(batch))
    assert found.state is state
    assert found.next_step


async def test_every_state_of_a_batch_has_a_next_step(pool: asyncpg.Pool) -> None:
    assert set(batches.NEXT_STEP) == set(BatchState)


async def test_one_batch_is_shown_by_its_number_and_by_its_ref(pool: asyncpg.Pool, owner: Owner, thread: Row) -> None:
    batch = await add_batch(pool, owner, thread, age=30)
    await pool.execute(
        "insert into idempotency_keys (token, key, route, hash, partition, batch)"
        " values ($1, 'the key', 'POST', '', $2, $3)",
        *(owner.token, thread.partition, batch),
    )
    found = await batches.find_batch(pool, str(batch))
    by_ref = await batches.find_batch(pool, found.ref)
    assert dataclasses.replace(by_ref, age=found.age) == found
    assert (found.thread, found.account, found.idempotency_key) == (thread.id, owner.account, "the key")
    assert 30 <= found.age < 60
    assert found.events[0]["text"] == "hello"


@pytest.mark.parametrize("name", ["0", "99", "9" * 40, "-1", "٣", "x", "01J0000000000000000000000Z", ""])
async def test_a_batch_that_is_not_there_is_said_not_to_be(pool: asyncpg.Pool, name: str) -> None:
    with pytest.raises(NotFound):
        await batches.find_batch(pool, name)


async def test_a_thread_is_found_by_its_number_as_well(pool: asyncpg.Pool, thread: Row) -> None:
    place = (thread.partition, thread.id)
    number = await pool.fetchval("insert into thread_numbers (partition, thread) values ($1, $2) returning num", *place)
    assert (await threads.find_thread(pool, str(number))).thread.id == thread.id
    for nobody in (str(number + 1), "0", "-1", "9" * 18, "9" * 19, f"{number} ", "\u0661"):
        with pytest.raises(NotFound):
            await threads.find_thread(pool, nobody)


async def test_a_run_is_found_with_its_thread_and_without(pool: asyncpg.Pool, owner: Owner, thread: Row) -> None:
    queued, done = await _add_run(pool, thread, 1), await _add_run(pool, thread, 2, done=True)
    assert (await threads.find_run(pool, done)).run.status == "failed"
    found = await threads.find_run(pool, queued.lower(), thread.id)
    assert (found.thread, found.run.id) == (thread.id, queued)
    with pytest.raises(NotFound):
        await threads.find_run(pool, queued, ids.mint())
    assert [one.run.id for one in (await running.active(pool, 10, None)).items] == [queued]
    assert [one.run.id for one in (await threads.find_thread(pool, thread.id)).runs] == [done, queued]


async def test_a_thread_shows_its_runs_and_open_requests(pool: asyncpg.Pool, owner: Owner, thread: Row) -> None:
    run = await _add_run(pool, thread, 1)
    await pool.execute(
        "insert into permission_requests (partition, thread, id, run, title, created_at)"
        " values ($1, $2, $3, $4, 'May I?', now())",
        *(thread.partition, thread.id, ids.mint(), run),
    )
    found = await threads.find_thread(pool, thread.id)
    assert [one.run.id for one in found.runs] == [run]
    assert [request.title for request in found.requests] == ["May I?"]
    for unknown in ("x", ids.mint()):
        with pytest.raises(NotFound):
            await threads.find_thread(pool, unknown)


async def _add_run(pool: asyncpg.Pool, thread: Row, seq: int, *, done: bool = False) -> str:
    run = ids.mint()
    await pool.execute(
        "insert into runs (partition, thread, id, seq, status, trigger, created_at, started_at, updated_at,"
        " completed_at, error)"
        " select $1, $2, $3, $4, $5, 'user_prompt', m, case when $6 then m end, m, case when $6 then m end, $7"
        " from now() as m",
        *(thread.partition, thread.id, run, seq, "failed" if done else "queued", done),
        '{"code":"runtime.lost","message":"gone","retryable":true}' if done else None,
    )
    return run
