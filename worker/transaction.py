"""A transaction that holds nobody up: bounded waits for locks, and gone if its owner stops in the middle."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

IDLE_TIMEOUT_MS = 2_000  # a worker that stops in a transaction loses it after this
LOCK_TIMEOUT_MS = 5_000  # whoever holds the lock is done in milliseconds, or has lost it by the idle time-out
BEGIN = (
    "begin; set local synchronous_commit = on;"
    f" set local idle_in_transaction_session_timeout = {IDLE_TIMEOUT_MS}; set local lock_timeout = {LOCK_TIMEOUT_MS}"
)


@asynccontextmanager
async def transaction(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """Commits at the end, rolls back on an error; one round trip for each."""
    await connection.execute(BEGIN)
    try:
        yield
    except BaseException:
        if not connection.is_closed():
            await connection.execute("rollback", timeout=1)
        raise
    await connection.execute("commit")
