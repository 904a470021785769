"""A database whose tables of thread data are parted: made so empty or with rows, and the service on it."""

import json
import secrets
from collections.abc import AsyncIterator

import asyncpg
import pytest
from redis.asyncio import Redis

from shared.db.connect import connect
from shared.db.migrate import migrate, migrations
from shared.db.partitioned import NotParted, Parted, index_each, part, script
from shared.ids import partition_of
from shared.queue import open_redis
from shared.settings import Settings
from tests import servers
from tests.agents import running_stage
from tests.integration.hot_statements import fill
from tests.pipeline import PARTITIONS
from tests.servers import Addresses
from tests.stage import following
from worker.upkeep import Upkeep

PARTS = 8
TABLES = ["threads", "runs", "leases", "messages", "thread_events", "permission_requests", "steers", "client_requests"]
TABLES += ["batches", "outbox"]
# Of each table: columns with all that belongs to them, checks, keys, indexes, who may do what. Its parts are left out.
SHAPE = """
select c.relname::text as of, concat_ws(' ', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
                                        a.attgenerated, pg_get_expr(d.adbin, d.adrelid)) as what
from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum where c.relname = any($1)
union all
select c.relname::text, k.conname || ' ' || replace(pg_get_constraintdef(k.oid), ' NOT VALID', '')
from pg_class c join pg_constraint k on k.conrelid = c.oid and k.contype <> 'n' where c.relname = any($1)
union all
select tablename, replace(indexdef, ' ON ONLY ', ' ON ') from pg_indexes where tablename = any($1)
union all
select relname, relacl::text from pg_class where relname = any($1)
order by 1, 2
"""


@pytest.fixture
async def empty(addresses: Addresses) -> AsyncIterator[str]:
    """A database that nobody has migrated."""
    name = f"test_{secrets.token_hex(8)}"
    await servers.execute(addresses.database_url, f"create database {name}")
    yield servers.on_database(addresses.database_url, name)
    await servers.execute(addresses.database_url, f"drop database {name} with (force)")


@pytest.fixture
async def db(empty: str) -> AsyncIterator[asyncpg.Connection]:
    """A migrated one, whole."""
    connection = await connect(empty)
    await migrate(connection)
    yield connection
    await connection.close()


async def shape(db: asyncpg.Connection) -> list[tuple[str, str]]:
    return [tuple(row) for row in await db.fetch(SHAPE, TABLES)]


async def figures(db: asyncpg.Connection) -> dict[str, tuple[int, str]]:
    """Of each table: its rows, and a digest of all that they hold."""
    asked = "select count(*), md5(string_agg(t::text, '' order by t::text)) from {} t"
    return {table: tuple(await db.fetchrow(asked.format(table))) for table in TABLES}


async def test_a_database_with_rows_is_parted_and_nothing_else_changes(db: asyncpg.Connection) -> None:
    await db.execute(fill(500))
    await db.execute("grant select on batches to public")
    before, rows = await shape(db), await figures(db)
    options = await db.fetchval("select reloptions from pg_class where relname = 'batches'")
    assert await part(db, PARTS) == [Parted(table, rows[table][0]) for table in TABLES]
    assert await figures(db) == rows
    unique = "CREATE UNIQUE INDEX batches_by_ref ON public.batches USING btree (ref{})"
    wanted = [(of, unique.format(", partition") if what == unique.format("") else what) for of, what in before]
    assert await shape(db) == wanted
    parts = await db.fetch("select count(*), min(partition), max(partition) from batches group by tableoid order by 2")
    assert [(row["min"], row["max"]) for row in parts] == [(8 * n, 8 * n + 7) for n in range(PARTS)]
    assert await db.fetchval("select reloptions from pg_class where relname = 'batches_7'") == options
    assert not await db.fetchval("select count(*) from pg_class where relname like '%_whole'")


async def test_what_can_t_be_parted_says_why_and_stays_as_it_is(db: asyncpg.Connection) -> None:
    for children in (1, 3, 128):
        with pytest.raises(NotParted, match=f"so many parts of 64 partitions are not of one size: {children}"):
            await part(db, children)
    await db.execute("insert into apis (id, host, pid, port, version) values (gen_random_uuid(), 'here', 1, 1, '1')")
    with pytest.raises(NotParted, match="1 processes of the service have told of themselves lately"):
        await part(db, PARTS)
    assert not await db.fetchval("select count(*) from pg_partitioned_table")
    await db.execute("delete from apis")
    await part(db, PARTS)
    with pytest.raises(NotParted, match="are parted already"):
        await part(db, PARTS)


async def test_later_migrations_go_onto_parted_tables(empty: str, db: asyncpg.Connection, addresses: Addresses) -> None:
    """What was parted at an old version, and migrated since, has the shape of what is parted today."""
    await part(db, PARTS)
    old = await connect(servers.on_database(addresses.database_url, await _old(addresses)))
    try:
        await migrate(old)
        assert await shape(old) == await shape(db)
    finally:
        name = await old.fetchval("select current_database()")
        await old.close()
        await servers.execute(addresses.database_url, f"drop database {name} with (force)")


async def test_an_index_that_is_made_concurrently_is_made_part_by_part(db: asyncpg.Connection) -> None:
    statement = "-- Outside of a transaction\ncreate index concurrently by_tries on batches (attempts) where blocked;"
    assert not await index_each(db, statement), "the table is whole"
    await part(db, PARTS)
    assert await index_each(db, statement)
    assert not await index_each(db, "create index concurrently other on tokens (id)")
    made = await db.fetch(
        "select c.relname, i.indisvalid from pg_index i join pg_class c on c.oid = i.indexrelid"
        " where c.relname like '%by_tries'"
    )
    assert {(row["relname"], row["indisvalid"]) for row in made} == {
        ("by_tries", True),
        *((f"batches_{n}_by_tries", True) for n in range(PARTS)),
    }
    assert await db.fetchval("select count(*) from pg_inherits where inhparent = 'by_tries'::regclass") == PARTS


async def _old(addresses: Addresses) -> str:
    """A database of the first version that has all of these tables, parted then; its name."""
    name = f"test_{secrets.token_hex(8)}"
    await servers.execute(addresses.database_url, f"create database {name}")
    db = await connect(servers.on_database(addresses.database_url, name))
    await db.execute(
        "create table schema_migrations (version integer primary key, name text not null,"
        " applied_at timestamptz not null default now())"
    )
    for migration in migrations()[:8]:
        await db.execute(migration.text)
        await db.execute("insert into schema_migrations values ($1, $2)", migration.version, migration.name)
    await db.execute(script())
    await db.fetch("select pg_temp.part_threads($1)", PARTS)
    await db.close()
    return name


async def test_the_service_accepts_applies_executes_streams_deletes_and_forgets(
    db: asyncpg.Connection, empty: str, settings: Settings, redis: Redis
) -> None:
    await part(db, PARTS)
    settings = settings.model_copy(update={"database_url": empty})
    async with running_stage(settings) as stage:
        started = [await stage.start(f"hello, number {n}") for n in range(12)]
        for n, (thread, run) in enumerate(started):
            done = await stage.until(thread, run, "completed")
            assert done["finalOutput"] == {"text": f"hello, number {n}"}
        used = {partition_of(thread, PARTITIONS) * PARTS // PARTITIONS for thread, _ in started}
        assert await db.fetchval("select count(distinct tableoid) from runs") == len(used) > 1
        thread, _ = started[0]
        async with following(stage.client, thread) as follower:
            heard = await follower.events(len(await stage.events(thread)))
        assert heard == await stage.events(thread)
        again = [
            await stage.client.send(thread, {"type": "user_message", "text": "again"}, Idempotency_Key="k")
            for _ in range(2)
        ]
        assert [reply.headers.get("idempotency-replayed") for reply in again] == [None, "true"]
        assert json.loads(again[0].body)["events"] == json.loads(again[1].body)["events"]
        await stage.until(thread, again[0].json["events"][0]["run"]["id"], "completed")
        assert (await stage.client.call("DELETE", f"/threads/{thread}")).status < 300
        assert (await stage.client.call("GET", f"/threads/{thread}")).status == 404
    await _forget(db, settings, thread)


async def _forget(db: asyncpg.Connection, settings: Settings, thread: str) -> None:
    """A day later nothing is left of a deleted thread, and of the others no batch."""
    upkeep = Upkeep(settings, open_redis(settings.redis_url, 1), PARTITIONS)
    await db.execute("update threads set deleted_at = deleted_at - interval '1 minute' where deleted_at is not null")
    await upkeep.purge_once()
    for table in ("runs", "messages", "thread_events", "leases"):
        assert await db.fetchval(f"select count(*) from {table} where thread = $1", thread) == 0, table  # noqa: S608 - names of ours
    await db.execute("update threads set purged_at = purged_at - interval '2 days'")
    earlier = "accepted_at = accepted_at - interval '2 days', applied_at = applied_at - interval '2 days'"
    await db.execute(f"update batches set {earlier}")  # noqa: S608 - a literal of this test
    await upkeep.forget_once()
    assert await db.fetchval("select count(*) from batches") == 0
    assert await db.fetchval("select count(*) from idempotency_keys") == 0
    assert await db.fetchval("select count(*) from threads where id = $1", thread) == 0
    assert await db.fetchval("select count(*) from threads") == 11
    await upkeep.close()
