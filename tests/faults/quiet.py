"""Whether all comes to rest behind the faults: every batch applied, every waiting set empty; and how soon it did."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
from redis.asyncio import Redis

from shared.keys import Keys
from tests.faults import tables
from tests.faults.checker import check_quiet
from tests.faults.injector import Hit
from tests.faults.processes import Stack
from tests.faults.recovery import Recoveries
from tests.faults.tables import Tables
from tests.faults.violations import Kind, Violation
from tests.faults.waiting import until
from tests.pipeline import PARTITIONS

QUIET = 40.0  # seconds in which everything must be applied and every waiting set empty

_TIMES = """
select extract(epoch from accepted_at)::float8 as accepted,
       coalesce(extract(epoch from applied_at)::float8, 'infinity') as applied
from batches where accepted_at <= to_timestamp($1)
"""


@dataclass(slots=True)
class Quiet:
    db: asyncpg.Connection
    redis: Redis
    keys: Keys = field(default_factory=Keys)
    # what did not come to rest in its time, whatever came later
    violations: list[Violation] = field(default_factory=list)

    async def settle(self) -> float:
        """Waits for it, at most `QUIET` seconds; returns how long it took."""
        try:
            return await until("all is quiet", self._is_quiet, QUIET)
        except TimeoutError:
            seen = Violation(Kind.STUCK, "-", f"all was never quiet in {QUIET:.0f} s")
            self.violations += [seen, *check_quiet(await self.tables())]
            return QUIET

    async def _is_quiet(self) -> bool:
        left = await self.db.fetchval("select count(*) from batches where applied_at is null")
        return not left and not await tables.count_waiting(self.redis, self.keys, PARTITIONS)

    async def tables(self) -> Tables:
        return await tables.read(self.db, self.redis, self.keys, PARTITIONS)

    async def now(self) -> float:
        """Postgres' clock, in seconds since 1970."""
        return float(await self.db.fetchval("select extract(epoch from clock_timestamp())::float8"))

    async def recoveries(self, hits: Iterable[Hit], latest: float) -> dict[int, float]:
        """Seconds behind each fault, by its number, as those batches show that were accepted until `latest`."""
        rows = await self.db.fetch(_TIMES, latest)
        known = Recoveries([(row["accepted"], row["applied"]) for row in rows])
        after = {hit.fault.number: known.after(hit.ended) for hit in hits}
        return {number: round(seconds, 3) for number, seconds in after.items() if seconds is not None}


@asynccontextmanager
async def quiet_of(stack: Stack) -> AsyncIterator[Quiet]:
    """Over connections of its own to both servers of a stack."""
    db, redis = await stack.database(), Redis.from_url(stack.redis_url)
    try:
        yield Quiet(db, redis)
    finally:
        db.terminate()
        await redis.aclose()
