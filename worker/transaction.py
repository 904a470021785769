"""A transaction that holds nobody up: bounded waits for locks, and gone if its owner stops in the middle."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

# Settings of a session that begins transactions. The first: a worker that stops in one loses it after this (ms). The
# second: whoever holds a lock is done in milliseconds, or has lost it by the idle time-out (ms).
BOUNDED = {"idle_in_transaction_session_timeout": "2000", "lock_timeout": "5000", "synchronous_commit": "on"}


@asynccontextmanager
async def transaction(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """Commits at the end, rolls back on an error; one round trip for each. The session is to be `BOUNDED`."""
    await connection.execute("begin")
    try:
        yield
    except BaseException:
        if not connection.is_closed():
            await connection.execute("rollback", timeout=1)
        raise
    await connection.execute("commit")
