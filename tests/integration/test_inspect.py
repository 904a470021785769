"""What an operator sees of the queue, of batches, threads and runs."""

import dataclasses
import json
import time
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from shared import accounts, ids, inspect
from shared.db.statements import statements
from shared.errors import NotFound
from shared.inspect import batches, threads
from shared.inspect.batches import BatchState
from shared.inspect.queue import COUNTED, Count, Depth, queue_status, read_stored
from shared.keys import Keys
from shared.queue import Queue, Waiting, open_redis
from shared.settings import Settings
from tests.rows import PARTITIONS, Owner, Row, add_batch, add_owner, add_thread


@pytest.fixture
async def owner(pool: asyncpg.Pool) -> Owner:
    return await add_owner(pool)


@pytest.fixture
async def thread(pool: asyncpg.Pool, owner: Owner) -> Row:
    return await add_thread(pool, owner)


@pytest.fixture
def keys(redis_prefix: str) -> Keys:
    return Keys(redis_prefix)


async def depth_of(pool: asyncpg.Pool, partition: int) -> Depth:
    return (await read_stored(pool)).depths[partition]


async def test_an_empty_queue_shows_zeros_and_all_partitions(pool: asyncpg.Pool, redis: Redis, keys: Keys) -> None:
    found = await queue_status(pool, redis, keys)
    assert found.stored is not None
    assert found.rung is not None
    assert (found.stored.waiting, found.stored.blocked, found.stored.dead) == (Count(0), Count(0), Count(0))
    assert (found.stored.oldest_age, found.stored.dead_age) == (None, None)
    assert len(found.stored.depths) == PARTITIONS
    assert (found.rung.waiting, found.rung.rung, found.errors) == ({}, (), {})


async def test_waiting_blocked_and_dead_batches_are_counted_apart(
    pool: asyncpg.Pool, owner: Owner, thread: Row
) -> None:
    await add_batch(pool, owner, thread)
    await add_batch(pool, owner, thread)
    await add_batch(pool, owner, thread, blocked=True)
    await add_batch(pool, owner, thread, parked=True)
    stored = await read_stored(pool)
    assert (stored.waiting, stored.blocked, stored.dead) == (Count(2), Count(2), Count(1))
    assert (await depth_of(pool, thread.partition)).waiting == Count(2)


async def test_the_oldest_age_is_of_the_oldest_batch_of_any_account(
    pool: asyncpg.Pool, owner: Owner, thread: Row
) -> None:
    other = await add_owner(pool, "other")
    await add_batch(pool, owner, thread, age=60)
    await add_batch(pool, other, thread, age=600)
    await add_batch(pool, owner, thread, age=6_000, blocked=True)
    found = (await read_stored(pool)).oldest_age
    assert found is not None
    assert 600 <= found < 660


async def test_a_paused_partition_is_shown_as_such(pool: asyncpg.Pool, owner: Owner, thread: Row) -> None:
    await add_batch(pool, owner, thread)
    await pool.execute("update partitions set paused = true where id = $1", thread.partition)
    assert (await depth_of(pool, thread.partition)).paused
    (batch,) = await batches.waiting_batches(pool, 10)
    assert batch.state is BatchState.PAUSED


async def test_a_large_backlog_is_counted_up_to_a_bound_and_not_scanned(
    pool: asyncpg.Pool, owner: Owner, thread: Row
) -> None:
    await _fill(pool, owner, thread, 60_000)
    assert str((await depth_of(pool, thread.partition)).waiting) == f"{COUNTED:,}+"
    plan = await _plan(pool, "depths", COUNTED + 1)
    assert max(_rows_of(plan)) <= COUNTED + 1
    assert max(_rows_of(await _plan(pool, "oldest", 200))) <= 200


async def test_reads_of_a_backlog_take_no_longer_than_a_person_waits(
    pool: asyncpg.Pool, owner: Owner, thread: Row
) -> None:
    await _fill(pool, owner, thread, 60_000)
    start = time.monotonic()
    await read_stored(pool)
    assert len(await batches.waiting_batches(pool, 50)) == 50
    assert time.monotonic() - start < 2


async def test_wake_ups_are_told_apart_by_whether_a_worker_has_them(
    pool: asyncpg.Pool, redis: Redis, keys: Keys
) -> None:
    queue = Queue(redis, keys)
    await queue.ring([Waiting(partition, ids.BatchId(partition), 1_000) for partition in (1, 2, 3)])
    await queue.claim(2)
    rung = (await queue_status(pool, redis, keys)).rung
    assert rung is not None
    assert (rung.wake_ups["apply"].queued, rung.wake_ups["apply"].in_progress) == (1, 2)
    assert rung.waiting == {1: 1, 2: 1, 3: 1}
    assert len(rung.rung) == 1


async def test_workers_are_listed_with_the_age_of_their_heartbeat(pool: asyncpg.Pool, redis: Redis, keys: Keys) -> None:
    fresh, silent, gone = ids.mint(), ids.mint(), ids.mint()
    await pool.executemany(
        "insert into workers (id, host, pid, roles, version, seen_at)"
        " values ($1, 'a', 1, 'all', '0.1.0', clock_timestamp() - make_interval(secs => $2))",
        [(fresh, 1.0), (silent, 90.0), (gone, 86_400.0)],
    )
    await redis.set(keys.worker(fresh), b"{}")
    found = await queue_status(pool, redis, keys)
    assert found.stored is not None
    assert found.rung is not None
    assert [worker.id for worker in found.stored.workers] == [fresh, silent]
    assert 90 <= found.stored.workers[1].silent < 120
    assert found.rung.workers == (fresh,)


async def test_without_redis_the_half_of_postgres_is_shown(
    pool: asyncpg.Pool, owner: Owner, thread: Row, keys: Keys
) -> None:
    await add_batch(pool, owner, thread)
    nowhere = open_redis("redis://127.0.0.1:1/0", 0.5)
    found = await queue_status(pool, nowhere, keys)
    assert found.rung is None
    assert found.stored is not None
    assert found.stored.waiting == Count(1)
    assert list(found.errors) == ["redis"]
    await nowhere.aclose()


async def test_without_postgres_the_half_of_redis_is_shown(redis: Redis, keys: Keys, pool: asyncpg.Pool) -> None:
    await Queue(redis, keys).ring([Waiting(1, ids.BatchId(1), 1_000)])
    pool.terminate()
    found = await queue_status(pool, redis, keys)
    assert found.stored is None
    assert found.rung is not None
    assert found.rung.waiting == {1: 1}
    assert list(found.errors) == ["postgres"]


async def test_waiting_batches_come_oldest_first_over_accounts_and_partitions(pool: asyncpg.Pool, owner: Owner) -> None:
    other = await add_owner(pool, "other")
    expected = []
    for number in range(12):
        whose = (owner, other)[number % 2]
        expected.append(await add_batch(pool, whose, await add_thread(pool, whose), age=100 - number))
    assert [batch.id for batch in await batches.waiting_batches(pool, 50)] == expected
    assert [batch.id for batch in await batches.waiting_batches(pool, 5)] == expected[:5]
    mine = await batches.waiting_batches(pool, 50, account=other.account)
    assert [batch.id for batch in mine] == expected[1::2]
    one = await batches.waiting_batches(pool, 50, partition=mine[0].partition)
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
    assert [batch.id for batch in await batches.blocked_batches(pool, 10)] == [dead, behind]
    assert await batches.blocked_batches(pool, 10, (thread.partition + 1) % PARTITIONS) == []


async def test_dead_letters_are_listed_the_longest_parked_first(pool: asyncpg.Pool, owner: Owner) -> None:
    parked = [await add_batch(pool, owner, await add_thread(pool, owner, held=True), parked=True) for _ in range(3)]
    found = await batches.dead_letters(pool, 10)
    assert [batch.id for batch in found] == parked
    assert {(batch.state, batch.attempts, batch.error) for batch in found} == {
        (BatchState.PARKED, 5, "ValueError: boom")
    }
    assert all(batch.thread_held and "replay" in batch.next_step for batch in found)


async def test_dead_letters_are_found_without_reading_what_waits_behind_them(
    pool: asyncpg.Pool, owner: Owner, thread: Row
) -> None:
    await add_batch(pool, owner, thread, parked=True)
    await _fill(pool, owner, thread, 20_000, blocked=True)
    assert max(_rows_of(await _plan(pool, "dead_letters", 50))) <= PARTITIONS
    assert max(_rows_of(await _plan(pool, "dead", COUNTED + 1))) <= 1


async def test_a_run_is_found_without_its_thread_by_reading_an_index(pool: asyncpg.Pool) -> None:
    plan = json.dumps(await _plan(pool, "run", ids.mint(), None, None))
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


async def test_threads_are_listed_by_account_and_agent_the_latest_changed_first(
    pool: asyncpg.Pool, owner: Owner
) -> None:
    other = await add_owner(pool, "other")
    agent = (await accounts.create_agent(pool, owner.account, "echo", "echo")).id
    mine = [await add_thread(pool, owner, agent=agent) for _ in range(3)]
    unbound = await add_thread(pool, owner)
    await add_thread(pool, other)
    await pool.execute("update threads set deleted_at = now() where id = $1", mine[0].id)
    by_agent = await threads.list_threads(pool, 10, owner.account, agent)
    assert [one.id for one in by_agent] == [mine[2].id, mine[1].id]
    of_account = await threads.list_threads(pool, 10, owner.account)
    assert [one.id for one in of_account] == [unbound.id, mine[2].id, mine[1].id]
    assert len(await threads.list_threads(pool, 10)) == 4
    assert len(await threads.list_threads(pool, 2)) == 2


async def test_a_run_is_found_with_its_thread_and_without(pool: asyncpg.Pool, owner: Owner, thread: Row) -> None:
    queued, done = await _add_run(pool, thread, 1), await _add_run(pool, thread, 2, done=True)
    assert (await threads.find_run(pool, done)).run.status == "failed"
    found = await threads.find_run(pool, queued.lower(), thread.id)
    assert (found.thread, found.run.id) == (thread.id, queued)
    with pytest.raises(NotFound):
        await threads.find_run(pool, queued, ids.mint())
    assert [one.run.id for one in await threads.active_runs(pool, 10)] == [queued]
    assert [one.run.id for one in await threads.list_runs(pool, thread.id, 10)] == [done, queued]


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


async def test_an_operators_read_ends_by_itself(settings: Settings, pool: asyncpg.Pool) -> None:
    async with pool.acquire() as connection:
        await inspect.bound(connection)
        assert await connection.fetchval("show statement_timeout") == "10s"


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


async def _fill(pool: asyncpg.Pool, owner: Owner, thread: Row, rows: int, *, blocked: bool = False) -> None:
    await pool.execute(
        "insert into batches (partition, id, ref, thread, account, token, events, blocked)"
        " select $1, nextval('batch_ids'), gen_random_uuid(), $2, $3, $4, '[]', $5 from generate_series(1, $6)",
        *(thread.partition, thread.id, owner.account, owner.token, blocked, rows),
    )
    await pool.execute("analyze batches")


async def _plan(pool: asyncpg.Pool, name: str, *arguments: object) -> dict[str, Any]:
    """How Postgres executed a statement of `sql/inspect.sql`."""
    text = statements("inspect")[name].rstrip(";")
    async with pool.acquire() as connection:
        await inspect.bound(connection)
        explained = json.loads(await connection.fetchval(f"explain (analyze, format json) {text}", *arguments))
    plan: dict[str, Any] = explained[0]["Plan"]
    return plan


def _rows_of(plan: dict[str, Any]) -> list[float]:
    """The rows that each node read from batches, kept or thrown away."""
    found = [
        part["Actual Rows"] + part.get("Rows Removed by Filter", 0)
        for part in [plan]
        if part.get("Relation Name") == "batches"
    ]
    for child in plan.get("Plans", []):
        found += _rows_of(child)
    return found
