"""The limit on what waits: over it, accepting more would only make every answer later.

The number is what the waiting sets hold, added up once a second: a few commands of Redis, never a scan. Without
Redis it is not known, and nothing is refused for it.
"""

import asyncio
from dataclasses import dataclass, field

import asyncpg
import structlog

from shared.db.connect import AWAY as POSTGRES_AWAY
from shared.db.connect import BY_INDEX, Line
from shared.db.statements import statements
from shared.errors import BacklogFull
from shared.metrics import BACKLOG, REDIS_ERRORS, forget
from shared.queue import AWAY, Queue

log = structlog.get_logger()
SQL = statements("inbox")

INTERVAL = 1.0  # seconds between looks
ACCOUNTS = 20  # with work in each partition, that are looked at for the oldest batch
AGAIN = 5  # seconds after which a refused client may try again


@dataclass(slots=True)
class Backlog:
    queue: Queue
    database_url: str
    limit: int  # batches
    size: int = 0
    age: float = 0.0  # seconds, of the batch that has waited longest; looked up only over the limit
    _partitions: int = 0
    _line: Line = field(init=False)

    def __post_init__(self) -> None:
        self._line = Line(self.database_url, **BY_INDEX)

    @property
    def full(self) -> bool:
        return self.size > self.limit

    def refusal(self) -> BacklogFull:
        waiting = f"{self.size} batches wait, {self.limit} may, the oldest for {self.age:.0f} s"
        return BacklogFull(f"The backlog is over its limit: {waiting}.", retry_after=AGAIN)

    async def run(self) -> None:
        """Looks until it is cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(INTERVAL)

    async def look(self) -> None:
        """Counts what waits, and over the limit asks for how long. Neither server need be there."""
        try:
            if not self._partitions:
                self._partitions = await (await self._line.get()).fetchval(SQL["partitions"])
            await self._count()
            if self.full:
                row = await (await self._line.get()).fetchrow(SQL["oldest"], ACCOUNTS)
                self.age = (row["now"] - row["accepted_at"]).total_seconds() if row["accepted_at"] else 0.0
        except (*POSTGRES_AWAY, asyncpg.PostgresError) as error:
            log.debug("backlog's age not known", error=repr(error))
            await self._line.drop()

    async def _count(self) -> None:
        try:
            self.size = await self.queue.waiting(self._partitions)
        except AWAY as error:
            REDIS_ERRORS.labels("backlog").inc()
            log.debug("backlog not known", error=repr(error))
            self.size = 0
            forget([BACKLOG])
        else:
            BACKLOG.set(self.size)

    async def close(self) -> None:
        await self._line.close()
