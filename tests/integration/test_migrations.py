"""A worker waits for a database that is older than itself, and refuses one that is newer."""

import asyncio
import secrets
from collections.abc import AsyncIterator

import pytest

from shared.db.connect import connect
from shared.db.migrate import SchemaTooNew, migrate
from shared.settings import Settings
from tests import servers
from tests.servers import Addresses
from tests.watch import until
from worker.crew import Crew


@pytest.fixture
async def empty(addresses: Addresses, settings: Settings) -> AsyncIterator[Settings]:
    """Settings of a database that nobody has migrated."""
    name = f"test_{secrets.token_hex(8)}"
    await servers.execute(addresses.database_url, f"create database {name}")
    yield settings.model_copy(update={"database_url": servers.on_database(addresses.database_url, name)})
    await servers.execute(addresses.database_url, f"drop database {name} with (force)")


async def test_a_worker_waits_until_its_database_is_migrated(empty: Settings) -> None:
    crew = Crew(empty)
    starting = asyncio.create_task(crew.start())
    connection = await connect(empty.database_url)

    async def is_waiting() -> bool:
        found: bool = await connection.fetchval(
            "select exists (select from pg_stat_activity where application_name = 'threadmill heartbeat'"
            " and datname = current_database())"
        )
        return found

    await until(is_waiting)
    assert not starting.done()
    await migrate(connection)
    async with asyncio.timeout(10):
        await starting
    assert await connection.fetchval("select count(*) from partitions") == 64
    await crew.stop(timeout=5)
    await connection.close()


async def test_a_worker_refuses_a_database_that_is_newer_than_itself(settings: Settings) -> None:
    connection = await connect(settings.database_url)
    await connection.execute("insert into schema_migrations (version, name) values (9999, 'from the future')")
    await connection.close()
    crew = Crew(settings)
    with pytest.raises(SchemaTooNew):
        await crew.start()
    await crew.stop(timeout=5)
