"""What an operator sees of runs and webhooks: how many wait, for how long, and who has them; never by scanning."""

import json
from typing import Any

import asyncpg
import pytest
from prometheus_client import REGISTRY

from shared import ids
from shared.db.connect import BY_INDEX, connect
from shared.db.statements import statements
from shared.ids import ThreadId
from shared.inspect.counts import COUNTED, Count
from shared.inspect.queue import read_stored
from shared.inspect.work import LOOKED, read_runs
from shared.settings import Settings
from shared.vitals import LIVES
from tests.agents import running_stage
from tests.plans import plan_of, rows_read
from tests.rows import PARTITIONS, Owner, add_owner
from tests.watch import until
from worker.crew import Crew

MANY = 20_000
NOTHING = Count(0)

RUN = """
with t as (
    insert into threads (partition, id, account, created_by, created_by_kind, status, active_runs, ready_at)
    values ($1, $2, $3, $4, 'human_pat', 'RUNNING', 1,
            case when $5::text = 'queued' then clock_timestamp() - make_interval(secs => $6::float8) end)
)
insert into runs (partition, thread, id, seq, status, trigger, created_at, started_at, updated_at)
select $1, $2, $2, 1, $5::text, 'user_prompt', at, case when $5::text <> 'queued' then at end, at
from (select clock_timestamp() - make_interval(secs => $6::float8) as at) a
"""
LEASE = """
insert into leases (partition, thread, run, owner, expires_at)
values ($1, $2, $2, $3, clock_timestamp() + make_interval(secs => $4::float8))
"""
ASK = """
insert into permission_requests (partition, thread, id, run, title, created_at, expires_at)
values ($1, $2, gen_random_uuid(), $2, 'May I?', clock_timestamp() - make_interval(secs => $3::float8),
        clock_timestamp() + interval '1 hour')
"""


@pytest.fixture
async def owner(pool: asyncpg.Pool) -> Owner:
    return await add_owner(pool)


async def add_run(pool: asyncpg.Pool, owner: Owner, status: str, age: float) -> tuple[int, ThreadId]:
    """A thread whose only run has been like this for so many seconds; the run has the thread's id."""
    thread = ThreadId(ids.mint())
    where = (ids.partition_of(thread, PARTITIONS), thread)
    await pool.execute(RUN, *where, owner.account, owner.token, status, age)
    return where


async def test_where_nothing_runs_all_of_it_is_zero(pool: asyncpg.Pool) -> None:
    runs = await read_runs(pool)
    assert (runs.ready, runs.executing, runs.lost, runs.asking) == (NOTHING,) * 4
    assert (runs.ready_age, runs.executing_age, runs.asking_age) == (None,) * 3


async def test_runs_that_wait_for_a_worker_are_counted_with_the_age_of_the_oldest(
    pool: asyncpg.Pool, owner: Owner
) -> None:
    for age in (5, 600, 60):
        await add_run(pool, owner, "queued", age)
    await add_run(pool, owner, "running", 6_000)
    runs = await read_runs(pool)
    assert runs.ready == Count(3)
    assert runs.ready_age is not None
    assert 600 <= runs.ready_age < 660


async def test_runs_that_execute_are_counted_and_the_lost_ones_among_them(pool: asyncpg.Pool, owner: Owner) -> None:
    for age, life in ((300, 5), (30, 5), (3, -1)):
        await pool.execute(LEASE, *await add_run(pool, owner, "running", age), ids.mint(), life)
    runs = await read_runs(pool)
    assert (runs.executing, runs.lost) == (Count(3), Count(1))
    assert runs.executing_age is not None
    assert 300 <= runs.executing_age < 360


async def test_open_permission_requests_are_counted_with_the_age_of_the_oldest(
    pool: asyncpg.Pool, owner: Owner
) -> None:
    for age in (50, 900):
        await pool.execute(ASK, *await add_run(pool, owner, "waiting_input", age), age)
    await pool.execute(
        "update permission_requests set state = 'allowed', decided_at = clock_timestamp() where created_at ="
        " (select max(created_at) from permission_requests)"
    )
    runs = await read_runs(pool)
    assert runs.asking == Count(1)
    assert runs.asking_age is not None
    assert 900 <= runs.asking_age < 960


async def test_webhooks_stand_in_the_same_picture(pool: asyncpg.Pool) -> None:
    await pool.execute(
        "insert into outbox (partition, id, thread, run, agent, type, body, next_try_at, parked_at)"
        " select 1, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'run.completed', '{}',"
        " clock_timestamp() - interval '40 seconds', case when n = 1 then clock_timestamp() - interval '2 hours' end"
        " from generate_series(1, 3) n"
    )
    webhooks = (await read_stored(pool)).webhooks
    assert (webhooks.waiting, webhooks.dead) == (Count(2), Count(1))
    assert webhooks.late is not None
    assert 40 <= webhooks.late < 100
    assert webhooks.dead_age is not None
    assert webhooks.dead_age >= 7_200


async def test_a_backlog_of_runs_is_counted_up_to_a_bound_and_not_scanned(pool: asyncpg.Pool, owner: Owner) -> None:
    await pool.execute(
        "insert into threads (partition, id, account, created_by, created_by_kind, ready_at)"
        " select n % 64, gen_random_uuid(), $1, $2, 'human_pat', case when n % 2 = 0 then now() end"
        " from generate_series(1, $3::int) n",
        *(owner.account, owner.token, MANY),
    )
    await pool.execute(
        "insert into leases (partition, thread, run, owner, expires_at)"
        " select n % 64, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), now()"
        " from generate_series(1, $1::int) n",
        MANY,
    )
    await pool.execute(
        "insert into permission_requests (partition, thread, id, run, title, created_at, state, decided_at)"
        " select n % 64, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), '', now(),"
        " case when n % 10 = 0 then 'pending' else 'allowed' end, case when n % 10 > 0 then now() end"
        " from generate_series(1, $1::int) n",
        MANY,
    )
    await pool.execute("analyze threads, leases, permission_requests")
    runs = await read_runs(pool)
    assert (runs.ready, runs.executing) == (Count(COUNTED, at_least=True), Count(LOOKED, at_least=True))
    assert runs.lost == Count(LOOKED, at_least=True)
    assert runs.asking == Count(MANY // 10)
    assert max(rows_read(await plan_of(pool, "ready_runs", 101), "threads")) <= 101
    held = await plan_of(pool, "executing", 101)
    assert max(rows_read(held, "leases")) <= 101
    assert max(rows_read(held, "runs"), default=0) <= 1
    assert max(rows_read(await plan_of(pool, "asking", 101), "permission_requests")) <= 101


async def test_a_heartbeat_reads_no_more_of_a_backlog_than_its_bound(
    pool: asyncpg.Pool, owner: Owner, settings: Settings
) -> None:
    await pool.execute(
        "insert into threads (partition, id, account, created_by, created_by_kind, ready_at)"
        " select n % 64, gen_random_uuid(), $1, $2, 'human_pat', now() from generate_series(1, $3::int) n",
        *(owner.account, owner.token, MANY),
    )
    await pool.execute("analyze threads")
    connection = await connect(settings.database_url, command_timeout=None, **BY_INDEX)
    text = statements("sweep")["beat"].rstrip(";")
    arguments = (ids.mint(), "a", 1, "all", "0.1.0", 0, 0, 100, 0, None, "work", LIVES)
    plan: dict[str, Any] = json.loads(await connection.fetchval(f"explain (analyze, format json) {text}", *arguments))[
        0
    ]["Plan"]
    await connection.close()
    assert max(rows_read(plan, "threads")) <= 100


async def test_a_heartbeat_says_how_many_runs_its_worker_executes(settings: Settings) -> None:
    async with running_stage(settings, "tests.odd_runners:hangs") as stage:
        _, run = await stage.start()
        await stage.said(run, "I think")

        async def told() -> bool:
            stored = await read_stored(stage.service.pool)
            return [worker.executing for worker in stored.workers] == [1] and stored.runs.executing == Count(1)

        await until(told)


async def test_a_heartbeat_measures_how_many_runs_wait_and_for_how_long(
    pool: asyncpg.Pool, owner: Owner, settings: Settings
) -> None:
    await add_run(pool, owner, "queued", 120)
    crew = Crew(settings, "apply")
    await crew.beat_once()
    assert REGISTRY.get_sample_value("threadmill_ready_runs") == 1
    age = REGISTRY.get_sample_value("threadmill_ready_runs_oldest_seconds")
    assert age is not None
    assert age >= 120
    await pool.execute("update threads set ready_at = null")
    await crew.beat_once()
    assert REGISTRY.get_sample_value("threadmill_ready_runs_oldest_seconds") == 0
    await crew.stop(1)
