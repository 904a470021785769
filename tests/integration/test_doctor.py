"""The doctor: each problem is provoked on real servers, told with its cause, and gone when it is mended."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest
from redis.asyncio import Redis

from shared import __version__, audit, inspect
from shared.audit import Actor, Via
from shared.db.connect import connect
from shared.db.migrate import migrations
from shared.inspect import doctor as module
from shared.inspect import symptoms
from shared.inspect.problems import ADVICE, Problem
from shared.settings import Settings
from tests.practice import Practice
from tests.prepared import execute, prepare
from tests.rows import add_batch, add_owner, add_thread, fill

BATCH = (
    "insert into batches (partition, id, ref, thread, account, token, events, accepted_at, parked_at, blocked)"
    " select {p}, nextval('batch_ids'), gen_random_uuid(), t.id, t.account, t.created_by, '[]',"
    " now() - interval '1 minute', {parked}, {parked} is not null from threads t"
)
LEASE = (
    "insert into leases (partition, thread, run, owner, expires_at, deadline) select partition, id, id, id,"
    " now() {expires} interval '20 seconds', now() {deadline} interval '20 seconds' from threads"
)
OUTBOX = (
    "insert into outbox (partition, id, thread, run, agent, type, body, next_try_at, parked_at)"
    " select partition, id, id, id, id, 'run.failed', '', now() - interval '2 minutes', %s from threads"
)

# What goes wrong, by whom it is seen, and what mends it; `{name}` is the database.
CASES = {
    "no_api": ("update apis set seen_at = now() - interval '20 s'", "update apis set seen_at = now()"),
    "no_worker": ("update workers set seen_at = now() - interval '20 s'", "update workers set seen_at = now()"),
    "nobody_applies": ("update workers set roles = 'execute'", "update workers set roles = 'all'"),
    "nobody_executes": ("update workers set roles = 'apply'", "update workers set roles = 'all'"),
    "clock_skew": ("update workers set skew = -3", "update workers set skew = -0.2"),
    "versions_differ": ("update apis set version = '0.0.0'", "update apis set version = '{version}'"),
    "samples_missing": (
        "update samples set at = at - interval '1 minute'",
        "update samples set at = at + interval '1 minute'",
    ),
    "schema_newer": (
        "insert into schema_migrations (version, name) values (9999, 'later')",
        "delete from schema_migrations where version = 9999",
    ),
    "schema_older": (
        "delete from schema_migrations where version = {newest}",
        "insert into schema_migrations (version, name) values ({newest}, 'newest')",
    ),
    "batches_late": (
        BATCH.format(p="n", parked="null::timestamptz") + " cross join generate_series(0, 63) n",
        "delete from batches",
    ),
    "partition_stuck": (BATCH.format(p="7", parked="null::timestamptz"), "delete from batches"),
    "dead_letters": (BATCH.format(p="partition", parked="now()"), "delete from batches"),
    "threads_held": ("update threads set held = true", "update threads set held = false"),
    "partitions_paused": (
        "update partitions set paused = true where id in (3, 4)",
        "update partitions set paused = false",
    ),
    "accounts_paused": ("update accounts set held = true", "update accounts set held = false"),
    "runs_late": ("update threads set ready_at = now() - interval '1 minute'", "update threads set ready_at = null"),
    "leases_lost": (LEASE.format(expires="-", deadline="+"), "delete from leases"),
    "runs_overdue": (LEASE.format(expires="+", deadline="-"), "delete from leases"),
    "requests_old": (
        "insert into permission_requests (partition, thread, id, run, title, created_at)"
        " select partition, id, id, id, 'May I?', now() - interval '25 hours' from threads",
        "delete from permission_requests",
    ),
    "webhooks_late": (OUTBOX % "null", "delete from outbox"),
    "webhooks_dead": (OUTBOX % "now()", "delete from outbox"),
    "removals_late": (
        "insert into file_removals (id, account, since) select id, id, now() - interval '6 minutes' from accounts",
        "update file_removals set since = now() - interval '4 minutes'",
    ),
    "postgres_commits_early": (
        "alter database {name} set synchronous_commit = off",
        "alter database {name} reset synchronous_commit",
    ),
}


async def test_each_problem_of_the_service_is_named_alone_and_gone_when_it_is_mended(practice: Practice) -> None:
    name = await practice.pool.fetchval("select current_database()")
    words = {"name": name, "version": __version__, "newest": migrations()[-1].version}
    assert await practice.problems() == {}
    for code, (provoke, mend) in CASES.items():
        await practice.pool.execute(provoke.format(**words))
        found = await practice.problems()
        assert set(found) == {code}
        assert found[code].what.endswith(".")
        await practice.pool.execute(mend.format(**words))
        assert await practice.problems() == {}, code


@pytest.mark.straight
async def test_who_has_the_lock_of_a_stuck_partition_is_named(practice: Practice, settings: Settings) -> None:
    await add_batch(practice.pool, practice.owner, practice.thread, age=60)
    other = await asyncpg.connect(settings.database_url, server_settings={"application_name": "forgotten"})
    await other.execute(f"begin; select pg_advisory_xact_lock(1, {practice.thread.partition})")
    (stuck,) = (await practice.problems()).values()
    assert stuck.code == "partition_stuck"
    assert stuck.since == pytest.approx(60, abs=10)
    assert f"partition {practice.thread.partition}: batch" in stuck.evidence[0]
    assert "forgotten" in stuck.evidence[1]
    await other.close()


@pytest.mark.straight
async def test_sessions_that_block_others_are_named(
    practice: Practice, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("LOCK_WAIT", "TRANSACTION"):
        monkeypatch.setattr(symptoms, limit, 0.0)
    holder, waiter = await asyncpg.connect(settings.database_url), await asyncpg.connect(settings.database_url)
    await holder.execute("set application_name = 'forgotten'; begin; lock table drains")
    waiting = asyncio.create_task(waiter.execute("begin; lock table drains"))
    found: dict[str, Problem] = {}
    async with asyncio.timeout(5):
        while len(found) < 2:
            found = await practice.problems()
    assert set(found) == {"postgres_blocked", "postgres_transaction"}
    assert "forgotten" in found["postgres_transaction"].evidence[0]
    await holder.close()
    await waiting
    await waiter.close()
    assert await practice.problems() == {}


async def test_a_pause_says_who_wanted_it_and_since_when(practice: Practice) -> None:
    anna = Actor("anna@here", Via.CLI)
    async with audit.entry(practice.pool, anna, "queue.pause", "partitions 3, 24"):
        await practice.pool.execute("update partitions set paused = true where id in (2, 24)")
    async with audit.entry(practice.pool, anna, "account.pause", f"account {practice.owner.account}"):
        await practice.pool.execute("update accounts set held = true")
    found = await practice.problems()
    assert list(found["partitions_paused"].evidence) == [
        "partition 2: by nobody that the audit log knows",
        "partition 24: by anna@here",
    ]
    assert found["partitions_paused"].since == pytest.approx(0, abs=5)
    assert list(found["accounts_paused"].evidence) == ["account acme: by anna@here"]
    async with audit.entry(practice.pool, anna, "account.resume", f"account {practice.owner.account}"):
        pass  # and somebody paused it again behind the log's back
    found = await practice.problems()
    assert list(found["accounts_paused"].evidence) == ["account acme: by nobody that the audit log knows"]


async def test_the_thread_that_is_held_longest_is_named_with_what_lets_it_go(practice: Practice) -> None:
    pool, thread = practice.pool, practice.thread
    by_hand = "update threads set held = true, hold = jsonb_build_object('by', 'anna@here', 'at', now() - $1::interval)"
    await pool.execute(by_hand, timedelta(minutes=2))
    held = (await practice.problems())["threads_held"]
    assert held.evidence == (f"thread {thread.id}, by anna@here: threadmill thread release {thread.id}",)
    assert held.since == pytest.approx(120, abs=5)
    other = await add_thread(pool, practice.owner, held=True)
    letter = await add_batch(pool, practice.owner, other, parked=True)
    await pool.execute("update batches set parked_at = now() - interval '1 hour'")
    held = (await practice.problems())["threads_held"]
    assert held.evidence[0].startswith(f"thread {other.id}, by batch {letter}: threadmill dead replay {letter}")
    assert held.since == pytest.approx(3600, abs=5)
    await pool.execute("update batches set passed_at = now()")
    assert "anna" in (await practice.problems())["threads_held"].evidence[0], "what was skipped holds nothing"


async def test_what_waits_in_redis_alone_or_in_postgres_alone_is_told_once_it_lasts(
    practice: Practice, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await redis.zadd(practice.doctor.keys.waiting(5), {"4711": 1})
    assert await practice.problems() == {}
    assert set(practice.doctor.suspects) == {5}
    monkeypatch.setattr(module, "CONFIRM", 0.0)
    assert set(await practice.problems()) == {"waiting_sets_differ"}
    await redis.delete(practice.doctor.keys.waiting(5))
    assert await practice.problems() == {}
    batch = await add_batch(practice.pool, practice.owner, practice.thread, age=20)
    assert set(await practice.problems()) == {"waiting_sets_differ"}
    await redis.zadd(practice.doctor.keys.waiting(practice.thread.partition), {str(batch): 1})
    assert await practice.problems() == {}


@pytest.mark.straight
async def test_no_look_reads_a_backlog_to_its_end(practice: Practice, settings: Settings) -> None:
    other = await add_owner(practice.pool, "other")
    await fill(practice.pool, other, await add_thread(practice.pool, other), 5_000)
    await fill(practice.pool, practice.owner, practice.thread, 5_000, blocked=True)
    await practice.pool.execute("update batches set parked_at = now() where blocked")
    await practice.pool.execute(
        "insert into outbox (partition, id, thread, run, agent, type, body, parked_at)"
        " select n % 64, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'run.failed', '',"
        " now() from generate_series(1, 5000) n"
    )
    connection = await connect(settings.database_url)
    await inspect.bound(connection)
    await connection.execute("set plan_cache_mode = force_generic_plan")
    await prepare(connection, "doctor")
    await prepare(connection, "samples")
    await prepare(connection, "webhooks")
    looked: list[tuple[str, str, tuple[object, ...], int]] = [
        ("doctor", "partitions", (16,), 64 + 10),
        ("doctor", "waiting_on", (100, 1_000, 24.0), 4 * 100),
        ("doctor", "longest_held", (100,), 3 * 100),
        ("webhooks", "summary", (100,), 3 * 100),
        ("samples", "last", (60.0,), 10),
        ("samples", "newest", (), 1),
        ("samples", "forget", (6.0,), 1),
    ]
    for noun, name, arguments, most in looked:
        found = await execute(connection, noun, name, *arguments)
        assert found.looked_at <= most, name
    await connection.close()


def test_every_code_is_provoked_here_or_on_the_servers() -> None:
    elsewhere = {
        *("postgres_blocked", "postgres_transaction", "waiting_sets_differ"),
        *("redis_evicts", "redis_full", "redis_read_only", "redis_persistence", "redis_away", "backlog_near_limit"),
        *("redis_no_failover", "redis_no_sentinel", "postgres_replica_async", "postgres_waits", "postgres_pooler"),
        *("postgres_away", "postgres_unsafe", "postgres_connections", "postgres_read_only", "postgres_replica_late"),
    }
    assert set(CASES) | elsewhere == set(ADVICE)
