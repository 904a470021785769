"""What keeps a thread from going on: its dead letters, and an operator's hand. It goes on when neither holds it.

Locks as everywhere: the partition, then the thread, each in a statement of its own, so that what is read was read under
them. Batches of a held thread are blocked by the drain that meets them, and unblocked here, all of a thread at once.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import asyncpg
from pydantic import TypeAdapter
from pydantic_core import to_json

from shared.db.connect import Database
from shared.db.statements import statements
from shared.errors import Conflict, InvalidRequest, NotFound, ServiceInactive
from shared.ids import ThreadId

SQL = statements("holds")

LOCK_TIMEOUT_MS = 5_000  # a drain holds a partition for milliseconds; a person waits no longer than this
REASON_LIMIT = 500  # characters; a reason is read in tables


@dataclass(frozen=True, slots=True)
class Hold:
    """A thread that an operator holds by hand."""

    by: str
    reason: str
    at: datetime


async def find(db: Database, partition: int, thread: ThreadId) -> Hold | None:
    """The hand that holds a thread, if one does."""
    row = await db.fetchrow(SQL["find"], partition, thread)
    return None if row is None or row["hold"] is None else _HOLD.validate_json(row["hold"])


@asynccontextmanager
async def locked(
    db: Database, partition: int, thread: ThreadId, patience_ms: int = LOCK_TIMEOUT_MS
) -> AsyncIterator[asyncpg.Connection]:
    """A transaction that no drain meets half-way. Raises ServiceInactive where the partition is long in hand."""
    try:
        async with _connection(db) as connection, connection.transaction():
            await connection.execute(SQL["lock_partition"].format(ms=int(patience_ms), partition=int(partition)))
            await connection.execute(SQL["lock_thread"], partition, thread)
            yield connection
    except asyncpg.LockNotAvailableError as error:
        raise ServiceInactive(f"Partition {partition} is in hand for long; try again.", retry_after=1) from error


async def lift(connection: asyncpg.Connection, partition: int, thread: ThreadId) -> bool:
    """Lets a thread go on that nothing holds any more; whether something does. The caller has its locks."""
    return bool(await connection.fetchval(SQL["lift"], partition, thread))


async def is_held(db: Database, partition: int, thread: ThreadId) -> bool:
    """Whether anything holds a thread."""
    return bool(await db.fetchval(SQL["held"], partition, thread))


async def hold(db: Database, partition: int, thread: ThreadId, by: str, reason: str) -> bool:
    """Keeps a thread from taking events, by hand; False where a hand holds it already.

    Raises NotFound, Conflict where it is deleted, ServiceInactive.
    """
    async with locked(db, partition, thread) as connection:
        row = await _find(connection, partition, thread)
        if row["deleted_at"] is not None:
            raise Conflict(f"The thread {thread} is deleted.")
        if row["hold"] is not None:
            return False
        await connection.execute(SQL["hold"], partition, thread, to_json({"by": by, "reason": reason}).decode())
        return True


async def release(db: Database, partition: int, thread: ThreadId) -> bool:
    """Takes the hand away; the thread goes on unless a dead letter holds it. False where nothing holds it.

    Raises NotFound, Conflict where only a dead letter holds it, ServiceInactive.
    """
    async with locked(db, partition, thread) as connection:
        row = await _find(connection, partition, thread)
        await connection.execute(SQL["let_go"], partition, thread)
        if await lift(connection, partition, thread) and row["hold"] is None:
            raise Conflict(f"A dead letter holds the thread {thread}: replay, discard or skip it.")
        return bool(row["held"])


def checked(reason: str) -> str:
    """A reason that can be shown. Raises InvalidRequest."""
    if not reason.strip() or len(reason) > REASON_LIMIT or not reason.isprintable():
        raise InvalidRequest(f"A reason is one line of 1 to {REASON_LIMIT} printable characters.", param="reason")
    return reason.strip()


_HOLD = TypeAdapter(Hold)


async def _find(connection: asyncpg.Connection, partition: int, thread: ThreadId) -> asyncpg.Record:
    row = await connection.fetchrow(SQL["find"], partition, thread)
    if row is None:
        raise NotFound(f"There is no thread {thread}.")
    return row


@asynccontextmanager
async def _connection(db: Database) -> AsyncIterator[asyncpg.Connection]:
    """One connection for a transaction, out of a pool or as it is."""
    if isinstance(db, asyncpg.Pool):
        async with db.acquire() as connection:
            yield connection
    else:
        yield db
