"""The sweep: what must happen even without Redis, in every worker, as its own task.

Batches that were not rung for, permission requests past their time. It tries locks and passes over partitions that
are in hand elsewhere.
"""

import asyncio
from dataclasses import dataclass, field

import asyncpg
import structlog

from shared.db.connect import AWAY, BY_INDEX, Line
from shared.db.statements import statements
from shared.metrics import POSTGRES_ERRORS
from worker.aftermath import Aftermath
from worker.apply import Drainer
from worker.expiry import expire_requests

log = structlog.get_logger()
SQL = statements("sweep")

INTERVAL = 0.4  # seconds; with LATE it keeps "applied within 2 s" with room for the drain itself
LATE = 0.5  # seconds a batch may wait for its bell
STATEMENT_TIMEOUT = 5.0  # seconds
ROUNDS = 50  # drains of one sweep, so that its other duties get their turn in a backlog


@dataclass(slots=True)
class Sweep:
    drainer: Drainer
    aftermath: Aftermath
    stopping: bool = False
    _line: Line = field(init=False)

    def __post_init__(self) -> None:
        url = self.drainer.settings.database_url
        self._line = Line(url, **BY_INDEX, application_name="threadmill sweep")

    async def run(self) -> None:
        """Sweeps until `stopping`, then ends what is in hand."""
        while not self.stopping:
            try:
                await self.run_once()
            except (*AWAY, asyncpg.PostgresError) as error:
                POSTGRES_ERRORS.labels("sweep").inc()
                log.warning("a sweep was given up; the next one comes", error=repr(error))
                await self._line.drop()
            await asyncio.sleep(INTERVAL)

    async def run_once(self) -> int:
        """One sweep; returns how many batches it applied."""
        applied = await self._drain_late()
        connection = await self._line.get()
        await expire_requests(connection)
        return applied

    async def _drain_late(self) -> int:
        connection = await self._line.get()
        rows = await connection.fetch(SQL["late"], LATE, timeout=STATEMENT_TIMEOUT)
        partitions = [row["id"] for row in rows]
        applied = 0
        for _ in range(ROUNDS if partitions else 0):
            drained = await self.drainer.drain(partitions, wait=False)
            self.aftermath.add(drained, "sweep")
            applied += len(drained.outcomes)
            if not drained.more or self.stopping:
                break
        return applied

    async def close(self) -> None:
        await self._line.close()
        await self.drainer.close()
