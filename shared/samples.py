"""Samples: what this process counted, added every few seconds to one row of ten seconds of the whole service.

The counters of prometheus_client are the source; nothing is counted twice, and nothing per batch goes to Postgres. What
could not be added is added the next time. Where the answer to an addition was lost, it may have been made, and is made
once more: rates are figures to look at, never to bill by. What a process counted since its last addition when it was
killed is lost. Whoever reads rates: `shared.inspect.rates`.
"""

import time
from collections.abc import Mapping, Sequence
from enum import Enum

import asyncpg
import structlog

from shared.db.connect import Line
from shared.db.statements import statements
from shared.metrics import ACCEPTED, APPLIED, ENDED_RUNS, LATENCY, PARKED, total
from shared.tasks import about

log = structlog.get_logger()
SQL = statements("samples")

INTERVAL = 4.0  # seconds between additions, about: each process makes one or more in every ten seconds
TIMEOUT = 2.0  # seconds of one addition
LOCK_TIMEOUT_MS = 500  # of the sessions that make them: the row is everybody's
KEPT_HOURS = 6.0  # the console draws one; the rest is to look back a night's shift
COLUMNS = ("accepted", "applied", "parked", "completed", "failed", "cancelled", "expired")


class Side(Enum):
    """Who counts what: so that an api and a worker in one process, as tests have them, add nothing twice."""

    API = ("accepted",)
    WORKER = COLUMNS[1:]


def _counted(side: Side) -> dict[str, int]:
    if side is Side.API:
        return {"accepted": total(ACCEPTED)}
    ended = {status: total(ENDED_RUNS, status=status) for status in COLUMNS[3:]}
    return {"applied": total(APPLIED), "parked": total(PARKED), **ended}


class Samples:
    """Of one process: what it has added, and when it adds again."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._due = time.monotonic()
        self._added, self._latency = self._read()

    async def add_if_due(self, line: Line) -> None:
        """Adds what was counted since the last time; an error but a held lock is the caller's."""
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + about(INTERVAL, 0.25)
        try:
            await self.add(await line.get())
        except asyncpg.LockNotAvailableError:
            log.debug("samples not added: others had the row; they are added the next time")

    async def add(self, connection: asyncpg.Connection) -> None:
        """Also where nothing was counted: a row says that somebody looked, its absence is a gap."""
        counted, latency = self._read()
        values = [counted.get(column, 0) - self._added.get(column, 0) for column in COLUMNS]
        await connection.execute(SQL["add"], *values, _grown(latency, self._latency), timeout=TIMEOUT)
        self._added, self._latency = counted, latency

    def _read(self) -> tuple[Mapping[str, int], Sequence[int]]:
        return _counted(self._side), LATENCY.counts() if self._side is Side.WORKER else ()


def _grown(now: Sequence[int], before: Sequence[int]) -> list[int]:
    """By how much each bucket has grown; empty where none has."""
    grown = [new - old for new, old in zip(now, before, strict=True)]
    return grown if any(grown) else []
