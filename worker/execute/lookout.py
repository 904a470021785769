"""The lookout of an executor: by Postgres alone it finds runs that nobody rang for, leases that ran out, and leases of
this worker that it does not know it has.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import asyncpg
import structlog

from shared.db.connect import AWAY, BY_INDEX, Line
from shared.db.statements import statements
from shared.ids import ThreadId
from shared.logs import Seldom
from shared.metrics import POSTGRES_ERRORS
from shared.tasks import about
from worker.execute import leases
from worker.execute.desk import Desk
from worker.execute.leases import Key
from worker.execute.recovery import recover
from worker.transaction import BOUNDED
from worker.write import Disturbed

log = structlog.get_logger()
warn = Seldom(log)
SQL = statements("execute")

PAUSE = 0.4  # seconds between looks
ACCOUNTS = 64  # with runs that wait, visited by one look; the next one goes on behind them
FIRST_ACCOUNT = "0" * 26
LATE = 0.5  # seconds that a run may wait for its bell, and a lease for whoever asked for it


@dataclass(slots=True)
class Lookout:
    url: str
    desk: Desk
    attempts: int  # of a run since its last checkpoint
    begun: Collection[Key]  # leases that were driven lately
    announce: Callable[[Sequence[ThreadId]], None]  # threads that changed
    _account: str = FIRST_ACCOUNT  # where the round of accounts goes on
    _line: Line = field(init=False)

    def __post_init__(self) -> None:
        self._line = Line(self.url, **BY_INDEX, **BOUNDED, application_name="threadmill recovery")

    async def run(self) -> None:
        """Looks until it is cancelled."""
        while True:
            try:
                await self.look()
            except (*AWAY, asyncpg.PostgresError, Disturbed) as error:
                POSTGRES_ERRORS.labels("recovery").inc()
                warn("a look for runs was given up; the next one comes", error=repr(error))
                await self._line.drop()
            await asyncio.sleep(about(PAUSE))

    async def look(self) -> None:
        connection = await self._line.get()
        changed, ready = await recover(connection, self.attempts)
        self.announce(changed)
        self.desk.find(ready)
        if self.desk.capacity:
            await self._find_late(connection)
        await self._find_own(connection)

    async def _find_late(self, connection: asyncpg.Connection) -> None:
        """Runs that have waited for long, account by account; and what caps there are."""
        caps = await connection.fetch(SQL["caps"], timeout=5)
        self.desk.caps.own = {row["id"]: row["concurrency"] for row in caps}
        each = max(self.desk.room, 1)  # without room, too: who is not known to wait gets no turn
        rows = await connection.fetch(SQL["ready"], LATE, each, self._account, ACCOUNTS, timeout=5)
        visited = {row["account"] for row in rows}
        self._account = max(visited) if len(visited) == ACCOUNTS else FIRST_ACCOUNT
        self.desk.find([(row["partition"], row["id"]) for row in rows if row["id"] is not None])

    async def _find_own(self, connection: asyncpg.Connection) -> None:
        """Begins what this worker has leased and does not know of: the answer to the commit was lost."""
        if not self.desk.capacity or self.desk.pending:
            return
        rows = await connection.fetch(SQL["own"], self.desk.owner, LATE, timeout=5)
        found = [lease for lease in leases.read(rows) if lease.key not in self.begun]
        if found and not self.desk.pending:
            log.warning("runs are begun whose lease was not known", runs=[lease.run for lease in found])
            self.desk.begin(found)

    async def close(self) -> None:
        await self._line.close()
