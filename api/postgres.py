"""The api's reads and its rare writes: bounded statements, and how many partitions there are."""

from typing import Any

import asyncpg

from api.standby import Standby
from shared import ids
from shared.db.bounded import TIMEOUT, Bounded
from shared.db.statements import statements
from shared.errors import InternalError
from shared.ids import ThreadId


class Postgres(Bounded):
    def __init__(self, pool: asyncpg.Pool) -> None:
        super().__init__(pool)
        self._partitions: int | None = None  # fixed when a database is made: asked for once

    async def partition_of(self, thread: ThreadId) -> int:
        """The partition that a thread belongs to. Raises ServiceInactive."""
        if self._partitions is None:
            row = await self.fetchrow(statements("inbox")["partitions"])
            if row is None or not row[0]:
                raise InternalError
            self._partitions = int(row[0])
        return ids.partition_of(thread, self._partitions)


class Writes(Postgres):
    """Over a pool whose sessions are those of `api.standby.heard`: what a statement commits is told where a promoted
    standby has it, too.
    """

    async def _ask(self, connection: asyncpg.Connection, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        standby = Standby(TIMEOUT)
        standby.listen(connection)
        try:
            found = await super()._ask(connection, statement, *arguments)
            await standby.confirm_if_warned(connection)
            return found
        finally:
            standby.forget(connection)
