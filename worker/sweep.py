"""The sweep: what must happen even without Redis, in every worker, as its own task.

Batches that were not rung for, permission requests past their time. It tries locks and passes over partitions that
are in hand elsewhere.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial

import asyncpg
import structlog

from shared.crashpoints import crash
from shared.db.connect import AWAY, BY_INDEX, Line
from shared.db.statements import statements
from shared.ids import AccountId
from shared.logs import Seldom
from shared.metrics import POSTGRES_ERRORS
from shared.tasks import Rest, about
from worker.duty import Duty
from worker.expiry import expire_requests
from worker.lanes import Lanes
from worker.transaction import BOUNDED
from worker.write import Disturbed

warn = Seldom(structlog.get_logger())
SQL = statements("sweep")

INTERVAL = 0.4  # seconds; with LATE it keeps "applied within 2 s" with room for the drain itself
LATE = 0.5  # seconds a batch may wait for its bell
STATEMENT_TIMEOUT = 5.0  # seconds


@dataclass(slots=True)
class Sweep:
    database_url: str
    lanes: Lanes
    rung: Lanes | None = None  # those of the same worker that take what rings: what they have is not late
    duty: Duty = field(default_factory=Duty)
    _rest: Rest = field(default_factory=Rest)
    _looked_at: float = float("-inf")  # of the loop's clock: when it last looked for what is late
    _line: Line = field(init=False)
    _expiry: Line = field(init=False)

    def __post_init__(self) -> None:
        self._line = Line(self.database_url, **BY_INDEX, application_name="threadmill sweep")
        self._expiry = Line(self.database_url, **BY_INDEX, **BOUNDED, application_name="threadmill expiry")

    def stop(self) -> None:
        """Lets `run` end what is in hand, and nothing more."""
        self.lanes.stopping = True
        self._rest.end()

    async def run(self) -> None:
        """Sweeps until it is told to stop, then ends what is in hand."""
        while not self.lanes.stopping:
            if self.duty.quiet:
                await self._rest.of(self.duty.working.wait)
                continue
            try:
                await self.run_once()
            except (*AWAY, asyncpg.PostgresError, Disturbed) as error:
                POSTGRES_ERRORS.labels("sweep").inc()
                warn("a sweep was given up; the next one comes", error=repr(error))
                await self._line.drop()
                await asyncio.sleep(about(INTERVAL))
            await self._rest.of(partial(asyncio.sleep, 0 if self.lanes.busy else INTERVAL))
        await self.lanes.finish()

    async def run_once(self) -> int:
        """One sweep; returns how many batches it applied."""
        since = asyncio.get_running_loop().time() - self._looked_at
        # beside a backlog not behind each drain: a look goes past all that was applied and not vacuumed yet
        partitions = await self._late() if since >= INTERVAL or not self.lanes.busy else set()
        if not partitions and not self.lanes.busy:
            return 0
        crash("worker.after_look")
        return await self.lanes.drain(partitions)

    async def _late(self) -> set[int]:
        """Partitions with late work that nobody in this worker knows of; beside a lone account's backlog, whose
        partitions have their turns seldom, also those with work of others.
        """
        known = self._known
        late = await self._look(known, None) - self._known
        if known and (lone := self.lanes.pace.lone):
            late |= await self._look((), lone)
        self._looked_at = asyncio.get_running_loop().time()
        return late

    async def _look(self, but: Collection[int], passing: AccountId | None) -> set[int]:
        connection = await self._line.get()
        rows = await connection.fetch(SQL["late"], LATE, sorted(but), passing, timeout=STATEMENT_TIMEOUT)
        return {row["id"] for row in rows}

    @property
    def _known(self) -> set[int]:
        return self.lanes.known.union(self.rung.known if self.rung else ())

    async def expire(self) -> None:
        """Settles permission requests past their time until it is cancelled: a backlog must not keep them open."""
        while True:
            try:
                await self.expire_once()
            except (*AWAY, asyncpg.PostgresError) as error:
                POSTGRES_ERRORS.labels("expire").inc()
                warn("permission requests were not settled; they will be", error=repr(error))
                await self._expiry.drop()
            await asyncio.sleep(about(INTERVAL))

    async def expire_once(self) -> int:
        """Returns how many were settled."""
        expired = await expire_requests(await self._expiry.get())
        aftermath = self.lanes.aftermath
        aftermath.announce(expired.changed)
        if expired.ready and aftermath.on_ready is not None:
            aftermath.on_ready(expired.ready)
        return expired.requests

    async def close(self) -> None:
        await self._line.close()
        await self._expiry.close()
        await self.lanes.close()
