"""The doctor: each problem is provoked on real servers, told with its cause, and gone when it is mended."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from deploy import children, embedded, ports
from shared import __version__, audit, ids, inspect
from shared.audit import Actor, Via
from shared.db.connect import connect, open_pool
from shared.db.migrate import migrations
from shared.inspect import doctor as module
from shared.inspect import symptoms
from shared.inspect.doctor import Doctor, diagnose
from shared.inspect.facts import Facts
from shared.inspect.problems import ADVICE, Problem
from shared.inspect.servers import Replica
from shared.inspect.symptoms import problems_of
from shared.keys import Keys
from shared.queue import open_redis
from shared.samples import Samples, Side
from shared.settings import Settings
from tests.prepared import execute, prepare
from tests.rows import Owner, Row, add_batch, add_owner, add_thread, fill
from tests.watch import until

ALWAYS = {"postgres_unsafe"}  # the tests' server loses what it was told when its machine fails
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
    "postgres_commits_early": (
        "alter database {name} set synchronous_commit = off",
        "alter database {name} reset synchronous_commit",
    ),
}


@dataclass(slots=True)
class Place:
    """A service that is well, but for its server: an api, a worker, samples, a thread."""

    pool: asyncpg.Pool
    doctor: Doctor
    owner: Owner
    thread: Row

    async def problems(self) -> dict[str, Problem]:
        found = {one.code: one for one in await self.doctor.diagnose()}
        assert set(found) >= ALWAYS
        return {code: one for code, one in found.items() if code not in ALWAYS}


@pytest.fixture
async def place(settings: Settings, redis: Redis) -> AsyncIterator[Place]:
    pool = await open_pool(settings.database_url, size=1)
    async with pool.acquire() as connection:
        await inspect.bound(connection)
        await Samples(Side.API).add(connection)
    me = (ids.mint(), "here", 1, __version__)
    await pool.execute("insert into apis (id, host, pid, version, port) values ($1, $2, $3, $4, 1)", *me)
    await pool.execute("insert into workers (id, host, pid, version, roles) values ($1, $2, $3, $4, 'all')", *me)
    owner = await add_owner(pool)
    thread = await add_thread(pool, owner)
    yield Place(pool, Doctor(pool, redis, Keys(settings.redis_prefix), settings), owner, thread)
    pool.terminate()


async def test_each_problem_of_the_service_is_named_alone_and_gone_when_it_is_mended(place: Place) -> None:
    name = await place.pool.fetchval("select current_database()")
    words = {"name": name, "version": __version__, "newest": migrations()[-1].version}
    assert await place.problems() == {}
    for code, (provoke, mend) in CASES.items():
        await place.pool.execute(provoke.format(**words))
        found = await place.problems()
        assert set(found) == {code}
        assert found[code].what.endswith(".")
        await place.pool.execute(mend.format(**words))
        assert await place.problems() == {}, code


async def test_who_has_the_lock_of_a_stuck_partition_is_named(place: Place, settings: Settings) -> None:
    await add_batch(place.pool, place.owner, place.thread, age=60)
    other = await asyncpg.connect(settings.database_url, server_settings={"application_name": "forgotten"})
    await other.execute(f"begin; select pg_advisory_xact_lock(1, {place.thread.partition})")
    (stuck,) = (await place.problems()).values()
    assert stuck.code == "partition_stuck"
    assert stuck.since == pytest.approx(60, abs=10)
    assert f"partition {place.thread.partition}: batch" in stuck.evidence[0]
    assert "forgotten" in stuck.evidence[1]
    await other.close()


async def test_sessions_that_block_others_are_named(
    place: Place, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit in ("LOCK_WAIT", "TRANSACTION"):
        monkeypatch.setattr(symptoms, limit, 0.0)
    holder, waiter = await asyncpg.connect(settings.database_url), await asyncpg.connect(settings.database_url)
    await holder.execute("set application_name = 'forgotten'; begin; lock table drains")
    waiting = asyncio.create_task(waiter.execute("begin; lock table drains"))
    found: dict[str, Problem] = {}
    async with asyncio.timeout(5):
        while len(found) < 2:
            found = await place.problems()
    assert set(found) == {"postgres_blocked", "postgres_transaction"}
    assert "forgotten" in found["postgres_transaction"].evidence[0]
    await holder.close()
    await waiting
    await waiter.close()
    assert await place.problems() == {}


async def test_a_pause_says_who_wanted_it_and_since_when(place: Place) -> None:
    anna = Actor("anna@here", Via.CLI)
    async with audit.entry(place.pool, anna, "queue.pause", "partitions 3, 24"):
        await place.pool.execute("update partitions set paused = true where id in (2, 24)")
    async with audit.entry(place.pool, anna, "account.pause", f"account {place.owner.account}"):
        await place.pool.execute("update accounts set held = true")
    found = await place.problems()
    assert list(found["partitions_paused"].evidence) == [
        "partition 2: by nobody that the audit log knows",
        "partition 24: by anna@here",
    ]
    assert found["partitions_paused"].since == pytest.approx(0, abs=5)
    assert list(found["accounts_paused"].evidence) == ["account acme: by anna@here"]
    async with audit.entry(place.pool, anna, "account.resume", f"account {place.owner.account}"):
        pass  # and somebody paused it again behind the log's back
    found = await place.problems()
    assert list(found["accounts_paused"].evidence) == ["account acme: by nobody that the audit log knows"]


async def test_what_waits_in_redis_alone_or_in_postgres_alone_is_told_once_it_lasts(
    place: Place, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await redis.zadd(place.doctor.keys.waiting(5), {"4711": 1})
    assert await place.problems() == {}
    assert set(place.doctor.suspects) == {5}
    monkeypatch.setattr(module, "CONFIRM", 0.0)
    assert set(await place.problems()) == {"waiting_sets_differ"}
    await redis.delete(place.doctor.keys.waiting(5))
    assert await place.problems() == {}
    batch = await add_batch(place.pool, place.owner, place.thread, age=20)
    assert set(await place.problems()) == {"waiting_sets_differ"}
    await redis.zadd(place.doctor.keys.waiting(place.thread.partition), {str(batch): 1})
    assert await place.problems() == {}


@pytest.fixture
async def own_redis(tmp_path: Path) -> AsyncIterator[embedded.Server]:
    server = await embedded.start_redis(tmp_path, ports.pick(), secrets.token_hex(8))
    yield server
    await children.end(server.process, server.command)


async def test_each_problem_of_redis_is_named_and_gone_when_it_is_mended(
    place: Place, own_redis: embedded.Server, tmp_path: Path
) -> None:
    redis = open_redis(own_redis.url, 1)
    place.doctor.redis = redis
    place.doctor.settings = place.doctor.settings.model_copy(update={"backlog_limit": 10})
    assert await place.problems() == {}

    async def told(code: str) -> None:
        assert set(await place.problems()) == {code}

    await redis.config_set("maxmemory-policy", "allkeys-lru")
    await told("redis_evicts")
    await redis.config_set("maxmemory-policy", "noeviction")
    await redis.config_set("maxmemory", str((await redis.info())["used_memory"] + 1000))
    await told("redis_full")
    await redis.config_set("maxmemory", "0")
    await redis.execute_command("replicaof", "127.0.0.1", "1")
    await told("redis_read_only")
    await redis.execute_command("replicaof", "no", "one")
    members = {str(batch): 1 << 42 for batch in range(9)}
    await redis.zadd(place.doctor.keys.waiting(0), members)  # accepted in a far future: not looked up
    await told("backlog_near_limit")
    await redis.delete(place.doctor.keys.waiting(0))
    await _fail_to_save(redis, tmp_path / "gone")
    await told("redis_persistence")
    await redis.config_set("dir", str(tmp_path))
    await redis.save()
    await redis.bgsave()
    await _saved(redis, "ok")
    assert await place.problems() == {}
    await children.end(own_redis.process, own_redis.command)
    await told("redis_away")
    await redis.aclose()


async def _fail_to_save(redis: Redis, directory: Path) -> None:
    await asyncio.to_thread(directory.mkdir)
    await redis.config_set("dir", str(directory))
    await asyncio.to_thread(directory.rmdir)
    await redis.bgsave()
    await _saved(redis, "err")


async def _saved(redis: Redis, status: str) -> None:
    async def settled() -> bool:
        info = await redis.info()
        return info["rdb_last_bgsave_status"] == status and not info["rdb_bgsave_in_progress"]

    await until(settled)


async def test_without_postgres_it_says_so_and_looks_at_redis(settings: Settings, redis: Redis) -> None:
    gone = await open_pool("postgresql://127.0.0.1:1/nowhere")
    found = await diagnose(gone, redis, Keys(settings.redis_prefix), settings)
    assert [one.code for one in found] == ["postgres_away"]
    assert "127.0.0.1" in found[0].what
    gone.terminate()
    found = await Doctor(None, redis, Keys(settings.redis_prefix), settings).diagnose()
    assert [one.code for one in found] == ["postgres_away"]


async def test_what_takes_a_server_of_its_own_is_judged_from_what_one_said(place: Place, settings: Settings) -> None:
    """A crowded Postgres, one that is a replica, one whose replica is late, one that keeps what it is told."""
    facts = await place.doctor.look()
    assert facts.stored is not None

    def codes(**changed: Any) -> set[str]:
        assert facts.stored is not None
        health = replace(facts.stored.health, **{"fsync": "on", "full_page_writes": "on", **changed})
        return {one.code for one in problems_of(replace(facts, stored=replace(facts.stored, health=health)), settings)}

    assert codes() == set()
    assert codes(fsync="off") == codes(full_page_writes="off") == {"postgres_unsafe"}
    assert codes(connections=86, connections_limit=100) == {"postgres_connections"}
    assert codes(in_recovery=True) == {"postgres_read_only"}
    late = Replica("standby", "streaming", "async", 1 << 30, 2.0)
    assert codes(replicas=(late, replace(late, bytes=0))) == {"postgres_replica_late"}
    assert codes(replicas=(replace(late, bytes=0, seconds=31.0),)) == {"postgres_replica_late"}
    assert problems_of(Facts(None, None), settings)[0].code == "postgres_away"


async def test_no_look_reads_a_backlog_to_its_end(place: Place, settings: Settings) -> None:
    other = await add_owner(place.pool, "other")
    await fill(place.pool, other, await add_thread(place.pool, other), 5_000)
    await fill(place.pool, place.owner, place.thread, 5_000, blocked=True)
    await place.pool.execute("update batches set parked_at = now() where blocked")
    await place.pool.execute(
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
        ("webhooks", "summary", (100,), 3 * 100),
        ("samples", "last", (60.0,), 10),
        ("samples", "newest", (), 1),
        ("samples", "forget", (6.0,), 1),
    ]
    for noun, name, arguments, most in looked:
        found = await execute(connection, noun, name, *arguments)
        assert found.looked_at <= most, name
    await connection.close()


def test_every_code_is_provoked_here() -> None:
    elsewhere = {
        *("postgres_blocked", "postgres_transaction", "waiting_sets_differ"),
        *("redis_evicts", "redis_full", "redis_read_only", "redis_persistence", "redis_away", "backlog_near_limit"),
        *("postgres_away", "postgres_unsafe", "postgres_connections", "postgres_read_only", "postgres_replica_late"),
    }
    assert set(CASES) | elsewhere == set(ADVICE)
