"""The beginning of runs whose leases are committed: they are briefed, and remembered, so that none is driven twice.

Refused here: driving a run, and taking one.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import asyncpg
import structlog

from worker.execute import briefing
from worker.execute.briefing import Briefing
from worker.execute.leases import LIFE, Key, Lease
from worker.poison import is_state

log = structlog.get_logger()
MARGIN = 2.0  # seconds that a lease must have left where its run is begun late
REMEMBERED = 10_000  # leases; one that is so old is over


@dataclass(slots=True)
class Beginning:
    driven: Callable[[], Collection[Key]]  # leases whose runs are driven now
    leases: tuple[Lease, ...] = ()  # whose briefing is read: they are renewed meanwhile
    known: dict[Key, None] = field(default_factory=dict)  # that were driven lately, or are given up: never twice

    async def brief(self, connection: asyncpg.Connection, taken: Sequence[Lease]) -> list[Briefing]:
        """Of all at once; of each by itself where one of them can't be read, which then runs out. Raises what Postgres
        raises.
        """
        self.leases = tuple(taken)
        try:
            return await self._brief(connection, taken)
        finally:
            self.leases = ()

    async def _brief(self, connection: asyncpg.Connection, taken: Sequence[Lease]) -> list[Briefing]:
        try:
            return await briefing.brief(connection, taken)
        except asyncpg.PostgresError as error:
            if is_state(error) or len(taken) == 1:
                raise
        found: list[Briefing] = []
        for lease in taken:
            try:
                found += await briefing.brief(connection, [lease])
            except asyncpg.PostgresError as error:
                if is_state(error):
                    raise
                log.warning("a leased run can't be begun", run=lease.run, thread=lease.where[1], error=error)
                self.remember(lease)
                self.leases = tuple(one for one in self.leases if one is not lease)
        return found

    def later(self, taken: Sequence[Lease], error: Exception) -> list[Lease]:
        """Those of leases that were not briefed which may be begun again. The others run out, which counts an attempt:
        nobody is to find them anew.
        """
        again = [lease for lease in taken if is_state(error) and lease.age < LIFE - MARGIN]
        for lease in taken:
            if lease not in again:
                self.remember(lease)
        log.warning("leased runs are not begun yet", again=len(again), left=len(taken) - len(again))
        return again

    def remember(self, lease: Lease) -> None:
        self.known[lease.key] = None
        if len(self.known) > REMEMBERED:
            driven = self.driven()
            for key in list(self.known)[: REMEMBERED // 2]:
                if key not in driven:
                    del self.known[key]
