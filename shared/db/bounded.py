"""Statements over a pool, each bounded in time, and each failure of Postgres told as what it is: 503, safe to retry.

What met another transaction is taken again, a few times. Refused here: that for anything else; and transactions, each
statement is one.
"""

import asyncio
import time
from typing import Any

import asyncpg

from shared.db.connect import AWAY, MET
from shared.errors import ServiceInactive
from shared.metrics import POSTGRES_ERRORS
from shared.tasks import about

TIMEOUT = 5.0  # seconds for a connection, and again for the statement; they take milliseconds
_CANCEL_TIMEOUT = 1.0  # seconds for Postgres to end a statement that was given up; then its connection goes too
_RETRY_AFTER = 1  # seconds
TRIES = 3  # of a statement that meets others
_PAUSE = 0.01  # seconds, about, before the second try; longer before the third


class Bounded:
    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def fetch(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """All rows. Raises ServiceInactive where Postgres is away, too slow, or has others in the way at each try."""
        try:
            connection = await self._pool.acquire(timeout=TIMEOUT)
            try:
                return await self._ask_again(connection, statement, *arguments)
            finally:
                await self._pool.release(connection, timeout=_CANCEL_TIMEOUT)
        except AWAY as error:
            POSTGRES_ERRORS.labels("read").inc()
            raise away() from error
        except MET as error:
            POSTGRES_ERRORS.labels("read").inc()
            raise ServiceInactive("The database is busy; nothing was changed.", retry_after=_RETRY_AFTER) from error

    async def _ask_again(self, connection: asyncpg.Connection, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        began, attempt = time.monotonic(), 1
        while True:
            try:
                return await self._ask(connection, statement, *arguments)
            except MET:
                if attempt == TRIES or time.monotonic() - began > TIMEOUT:
                    raise
            POSTGRES_ERRORS.labels("read").inc()
            await asyncio.sleep(about(_PAUSE * attempt, 1.0))
            attempt += 1

    async def _ask(self, connection: asyncpg.Connection, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        return list(await connection.fetch(statement, *arguments, timeout=TIMEOUT))

    async def fetchrow(self, statement: str, *arguments: Any) -> asyncpg.Record | None:
        """The first row, if any. Raises what `fetch` raises."""
        rows = await self.fetch(statement, *arguments)
        return rows[0] if rows else None


def away() -> ServiceInactive:
    return ServiceInactive("The database is away; nothing was changed.", retry_after=_RETRY_AFTER)
