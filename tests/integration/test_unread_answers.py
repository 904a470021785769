"""A worker that reads no more, in the middle of a transaction, holds nobody up: Postgres takes it away.

A stopped process and a host that is cut off look like this. Where the answer fits what the system keeps for a
connection, the session is soon idle in its transaction, which has a bound of its own; here it is longer, or is the one
that `prepare` waits for.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable

import asyncpg
import pytest

from shared.db.connect import ALIVE, connect, open_pool
from shared.settings import Settings
from tests.watch import until
from worker.transaction import BOUNDED

LOCK = "select pg_advisory_xact_lock(1, 7)"
LONG = "select repeat('x', 65536) from generate_series(1, 1000)"  # 64 MiB: no socket keeps so much

pytestmark = pytest.mark.slow


@pytest.fixture
async def worker(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """A session as drains have it, with a lock; without the bound of the whole, which older servers do not have."""
    assert "transaction_timeout" in BOUNDED
    bounds = BOUNDED | {"transaction_timeout": "0"}
    connection = await connect(settings.database_url, command_timeout=None, **bounds)
    await connection.execute("begin")
    await connection.execute(LOCK)
    yield connection
    connection.terminate()


async def lost(worker: asyncpg.Connection, settings: Settings, going_on: Awaitable[object], within: float) -> None:
    """It stops reading while this goes on; somebody else has the lock in time."""
    task = asyncio.ensure_future(going_on)
    await asyncio.sleep(0)  # the statement is on its way
    worker._transport.pause_reading()
    other = await connect(settings.database_url)

    async def is_free() -> bool:
        free: bool = await other.fetchval("select pg_try_advisory_xact_lock(1, 7)")
        return free

    assert not await is_free()
    await until(is_free, within)
    await other.close()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)  # its connection is gone


async def test_an_answer_that_nobody_reads_holds_no_lock(worker: asyncpg.Connection, settings: Settings) -> None:
    statement = await worker.prepare(LONG)
    await lost(worker, settings, statement.fetch(), within=10)


async def test_a_statement_that_is_never_prepared_to_its_end_holds_no_lock(
    worker: asyncpg.Connection, settings: Settings
) -> None:
    """Half a minute in a worker, two seconds here; before Postgres 17 there is nothing that would end it."""
    if worker.get_server_version().major < 17:
        pytest.skip("Postgres has had `transaction_timeout` from version 17 on")
    await worker.execute("set transaction_timeout = 2000")
    await lost(worker, settings, worker.fetch(LONG), within=10)


async def test_postgres_looks_whether_a_silent_host_is_there_still(settings: Settings) -> None:
    pool = await open_pool(settings.database_url, size=1)
    line = await connect(settings.database_url)
    for name, value in ALIVE.items():
        assert await line.fetchval("select setting from pg_settings where name = $1", name) == value
        assert await pool.fetchval("select setting from pg_settings where name = $1", name) == value
    await line.close()
    await pool.close()
