"""Migrations on a real database: once, by one process at a time, never by an older program."""

import asyncio
import secrets
from collections.abc import AsyncIterator

import asyncpg
import pytest

from shared.db import migrate
from shared.db.connect import connect
from tests import servers
from tests.locks import waiters
from tests.servers import Addresses
from tests.watch import until


@pytest.fixture
async def empty_url(addresses: Addresses) -> AsyncIterator[str]:
    """A database without a schema."""
    name = f"empty_{secrets.token_hex(8)}"
    await servers.execute(addresses.database_url, f"create database {name} template template0")
    yield servers.on_database(addresses.database_url, name)
    await servers.execute(addresses.database_url, f"drop database {name} with (force)")


@pytest.fixture
async def empty(empty_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(empty_url)
    yield connection
    await connection.close()


async def test_an_empty_database_gets_every_migration_in_order_and_then_none(empty: asyncpg.Connection) -> None:
    with pytest.raises(migrate.SchemaTooOld):
        await migrate.check(empty)
    applied = await migrate.migrate(empty)
    assert [one.version for one in applied] == list(range(1, len(migrate.migrations()) + 1))
    assert await migrate.migrate(empty) == []
    await migrate.check(empty)


async def test_processes_that_start_at_once_apply_each_migration_once(empty_url: str) -> None:
    connections = [await connect(empty_url) for _ in range(4)]
    applied = await asyncio.gather(*(migrate.migrate(connection) for connection in connections))
    assert sorted(one.version for part in applied for one in part) == [one.version for one in migrate.migrations()]
    for connection in connections:
        await connection.close()


async def test_a_database_that_is_newer_than_the_program_is_refused_and_left_alone(empty: asyncpg.Connection) -> None:
    await migrate.migrate(empty)
    await empty.execute("insert into schema_migrations (version, name) values (9999, 'from_the_future')")
    for refused in (migrate.migrate, migrate.check):
        with pytest.raises(migrate.SchemaTooNew, match="upgrade"):
            await refused(empty)


async def test_a_newer_database_that_goes_with_the_program_is_taken_as_it_is(empty: asyncpg.Connection) -> None:
    """A version that comes next to this one, and the way back from it: docs/upgrading.md."""
    await migrate.migrate(empty)
    latest = migrate.migrations()[-1].version
    later = "insert into schema_migrations (version, name, works_with) values ($1, 'later', $2)"
    await empty.execute(later, latest + 1, latest)
    await empty.execute(later, latest + 2, latest - 1)
    await migrate.check(empty)
    assert await migrate.migrate(empty) == []
    await empty.execute(later, latest + 3, latest + 1)
    for refused in (migrate.migrate, migrate.check):
        with pytest.raises(migrate.SchemaTooNew):
            await refused(empty)


async def test_what_a_program_migrated_that_did_not_say_whom_it_goes_with_is_of_this_version(
    empty: asyncpg.Connection,
) -> None:
    await migrate.migrate(empty)
    await empty.execute("alter table schema_migrations drop column works_with")
    await migrate.check(empty)
    assert await migrate.migrate(empty) == []
    await empty.execute("insert into schema_migrations (version, name) values (9999, 'from_the_future')")
    with pytest.raises(migrate.SchemaTooNew):
        await migrate.check(empty)


async def test_a_migration_that_waits_for_a_table_lets_others_pass(
    empty: asyncpg.Connection, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last one but for its tables: it refers to accounts, so it needs them while nobody writes to them."""
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT_MS", 100)
    monkeypatch.setattr(migrate, "_PAUSE", 0.05)
    await migrate.migrate(empty)
    await empty.execute(
        "drop table files, file_usage, file_removals; delete from schema_migrations where version >= 26"
    )
    first, second = [await connect(empty_url) for _ in range(2)]
    account = "insert into accounts (id, name) values (gen_random_uuid(), $1)"
    async with first.transaction():
        await first.execute(account, "in a long transaction")
        migrating = asyncio.create_task(migrate.migrate(empty))
        await until(lambda: waiters(second, "accounts"))
        async with asyncio.timeout(5):
            await second.execute(account, "behind it")
        assert not migrating.done()
    assert 26 in [one.version for one in await migrating]
    await asyncio.gather(first.close(), second.close())


async def test_two_migrate_at_once_where_one_makes_an_index_concurrently(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for every snapshot that is older: also for that of a statement which waits for its lock."""
    first, second, writer, witness = [await connect(empty_url) for _ in range(4)]
    await migrate.migrate(first)
    known = migrate.migrations()
    text = "-- Works with: 26\n-- Outside of a transaction\ncreate index concurrently by_name on accounts (name);"
    apart = migrate.Migration(known[-1].version + 1, "by_name", text)
    monkeypatch.setattr(migrate, "migrations", lambda: (*known, apart))
    async with writer.transaction():
        await writer.execute("insert into accounts (id, name) values (gen_random_uuid(), 'in a transaction')")
        building = asyncio.create_task(migrate.migrate(first))
        await until(lambda: _in_hand(witness, "create index concurrently"))
        waiting = asyncio.create_task(migrate.migrate(second))
        await until(lambda: _in_hand(witness, "advisory_lock"))
        assert not building.done()
        assert not waiting.done()
    async with asyncio.timeout(20):
        assert await building == [apart]
        assert await waiting == []
    assert await witness.fetchval("select indisvalid from pg_index where indexrelid = 'by_name'::regclass")
    for connection in (first, second, writer, witness):
        await connection.close()


async def _in_hand(connection: asyncpg.Connection, words: str) -> bool:
    """Whether somebody else does that, or did it last."""
    found: bool = await connection.fetchval(
        "select exists (select from pg_stat_activity where query like '%' || $1 || '%'"
        " and datname = current_database() and pid <> pg_backend_pid())",
        words,
    )
    return found


async def test_who_gives_up_waiting_for_a_table_is_told_what_to_do(
    empty: asyncpg.Connection, empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT_MS", 20)
    monkeypatch.setattr(migrate, "_PAUSE", 0.01)
    monkeypatch.setattr(migrate, "_TRIES", 3)
    await migrate.migrate(empty)
    await empty.execute(
        "drop table files, file_usage, file_removals; delete from schema_migrations where version >= 26"
    )
    other = await connect(empty_url)
    async with other.transaction():
        await other.execute("insert into accounts (id, name) values (gen_random_uuid(), 'in a backup')")
        with pytest.raises(migrate.TableInUse, match=r"end what holds it.*run `threadmill migrate` again"):
            await migrate.migrate(empty)
    assert 26 in [one.version for one in await migrate.migrate(empty)], "and then it does what it says"
    await other.close()


async def test_a_migration_that_fails_leaves_nothing_of_itself(empty: asyncpg.Connection) -> None:
    await empty.execute("create table threads (squatter integer)")
    with pytest.raises(asyncpg.DuplicateTableError):
        await migrate.migrate(empty)
    assert await empty.fetchval("select max(version) from schema_migrations") == 1
    await empty.execute("drop table threads")
    await migrate.migrate(empty)
    await migrate.check(empty)
