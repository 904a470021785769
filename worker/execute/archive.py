"""What runs read and give back, each on a connection for as long as that takes: the history, what an earlier attempt
logged, messages that were offered, and a lease that is over. Its cabinet has the files.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
import structlog

from shared.db.connect import AWAY, open_pool
from shared.files.storage import Storage
from shared.logs import Seldom
from shared.metrics import POSTGRES_ERRORS
from shared.settings import Settings
from shared.tasks import about
from worker.execute import briefing, leases
from worker.execute.briefing import Briefing, Offer
from worker.execute.leases import Lease
from worker.execute.replay import Replay
from worker.execute.shelf import Cabinet
from worker.load import Where
from worker.runners import Message

log = structlog.get_logger()
warn = Seldom(log)

PAUSE = 0.5  # seconds after an error of Postgres
ACQUIRE = 5.0  # seconds for a connection
CONNECTIONS = 8


@dataclass(slots=True)
class Archive:
    pool: asyncpg.Pool
    cabinet: Cabinet

    @classmethod
    async def open(cls, settings: Settings, storage: Storage) -> "Archive":
        pool = await open_pool(settings.database_url, size=CONNECTIONS)
        return cls(pool, await Cabinet.open(settings, storage))

    async def recall(self, one: Briefing) -> Replay | None:
        """What an earlier attempt logged; a Postgres that is away is waited for, as long as the run has time."""
        while one.place is not None:
            try:
                async with self.pool.acquire(timeout=ACQUIRE) as connection:
                    return await briefing.replay(connection, one)
            except (*AWAY, asyncpg.PostgresError) as error:
                POSTGRES_ERRORS.labels("recall").inc()
                warn("what a run logged before is not read yet", run=one.lease.run, error=repr(error))
                await asyncio.sleep(about(PAUSE))
        return None

    async def history(self, one: Briefing, limit: int) -> Sequence[Message]:
        """Raises what is in AWAY: it is the runner's to try again, or to fail."""
        async with self.pool.acquire(timeout=ACQUIRE) as connection:
            return await briefing.history(connection, one, limit)

    async def offers(self, of: Sequence[Lease]) -> Sequence[Offer]:
        """Messages that were offered to these runs; none where Postgres is away: the next heartbeat asks again."""
        try:
            async with self.pool.acquire(timeout=ACQUIRE) as connection:
                return await briefing.offers(connection, of)
        except (*AWAY, asyncpg.PostgresError) as error:
            log.debug("offered messages not read; they will be", error=repr(error))
            return ()

    async def let_go(self, lease: Lease) -> list[Where]:
        """Ends the lease of a run that is over already; its thread, where the next run may begin."""
        try:
            async with self.pool.acquire(timeout=ACQUIRE) as connection:
                return await leases.let_go(connection, [lease])
        except (*AWAY, asyncpg.PostgresError) as error:
            POSTGRES_ERRORS.labels("let_go").inc()
            log.debug("a lease was not released; it runs out", run=lease.run, error=repr(error))
            return []

    def close(self) -> None:
        self.pool.terminate()
        self.cabinet.close()
