"""A transaction that holds nobody up: bounded waits for locks, and gone if its owner stops in the middle."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

# Settings of a session that begins transactions, in ms. A worker that stops in one, or whose host is cut off, loses it,
# wherever that was: between two statements; while it was to read an answer, which Postgres offers for as long as the
# connection stands, with every lock held; in the middle of preparing a statement. Whoever holds a lock is done in
# milliseconds, or has lost it by these. Before Postgres 17, which has no bound of a whole transaction, the last of the
# three is as long as the process is stopped.
BOUNDED = {
    "idle_in_transaction_session_timeout": "2000",
    "tcp_user_timeout": "5000",
    "transaction_timeout": "30000",
    "lock_timeout": "5000",
    "synchronous_commit": "on",
}


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
