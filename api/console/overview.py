"""The first page: the service at one look, its last hour, and what is wrong with it."""

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from api.console.charts import FAILURES, LATENCY, PACE, draw, failures, per_second, seconds
from api.console.pages import Look, Page, Values
from shared.db.statements import statements
from shared.inspect.doctor import Doctor
from shared.inspect.overview import Overview, overview
from shared.inspect.problems import Problem, Severity
from shared.inspect.queue import PARTITIONS
from shared.inspect.rates import Series
from shared.keys import Keys

EVERY = 1.0  # seconds: whoever looks meanwhile sees what was read last
DIAGNOSED = 3.0  # seconds between two looks of the doctor, which cost more and find what lasts
# Where a problem is looked at and mended in the console. What is not here is mended elsewhere.
PLACES = {
    "no_api": "/console/workers",
    "no_worker": "/console/workers",
    "nobody_applies": "/console/workers",
    "nobody_executes": "/console/workers",
    "clock_skew": "/console/workers",
    "versions_differ": "/console/workers",
    "batches_late": "/console/queue",
    "partition_stuck": "/console/queue",
    "backlog_near_limit": "/console/queue/accounts",
    "partitions_paused": "/console/queue",
    "accounts_paused": "/console/queue/accounts?show=paused",
    "waiting_sets_differ": "/console/queue",
    "dead_letters": "/console/dead",
    "threads_held": "/console/threads?held=yes",
    "runs_late": "/console/runs?list=stuck",
    "leases_lost": "/console/runs?list=stuck",
    "runs_overdue": "/console/runs?list=stuck",
    "requests_old": "/console/runs?list=waiting",
    "webhooks_late": "/console/webhooks",
    "webhooks_dead": "/console/webhooks?state=dead",
    "removals_late": "/console/files",
}
_GRAVEST = list(Severity)
ENDED = ("completed", "failed", "cancelled", "expired")


@dataclass(slots=True)
class Glance:
    """Reads the overview at most once in `EVERY` seconds, however many look. Both times are of the end of a reading:
    who waits for one that takes long is not to read again."""

    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _read_at: float = float("-inf")
    _values: dict[str, Any] = field(default_factory=dict)
    _partitions: int = 0
    _doctor: Doctor | None = None
    _problems: list[Problem] = field(default_factory=list)
    _diagnosed_at: float = float("-inf")

    async def load(self, look: Look) -> Values:
        async with self._lock:
            if time.monotonic() - self._read_at >= EVERY:
                if not self._partitions:
                    self._partitions = await look.db.fetchval(statements("inspect")["partitions"])
                self._values = await self._look(look, look.db)
                self._read_at = time.monotonic()
            return self._values

    async def without(self, look: Look) -> Values:
        """What Redis alone can say."""
        async with self._lock:
            return await self._look(look, None)

    async def _look(self, look: Look, db: Any) -> dict[str, Any]:
        keys = Keys(look.settings.redis_prefix)
        seen = await overview(db, look.redis, keys, self._partitions or PARTITIONS)
        problems = sorted(await self._diagnose(look, keys, db), key=lambda one: _GRAVEST.index(one.severity))
        return {**shown(seen), "problems": problems, "places": PLACES, "alarm_age": look.settings.alarm_age}

    async def _diagnose(self, look: Look, keys: Keys, db: Any) -> list[Problem]:
        """What the doctor found last. It is one for all looks: what lasts is told from what passes."""
        turned = self._doctor is None or (self._doctor.db is None) != (db is None)  # Postgres went, or is back
        if turned or db is None or time.monotonic() - self._diagnosed_at >= DIAGNOSED:
            self._doctor = self._doctor or Doctor(db, look.redis, keys, look.settings)
            self._doctor.db = db
            self._problems, self._diagnosed_at = await self._doctor.diagnose(), time.monotonic()
        return self._problems


def overview_page() -> Page:
    """One for each console: what was read last is kept with it."""
    glance = Glance()
    return Page("overview", "Overview", glance.load, without=glance.without)


def shown(seen: Overview) -> dict[str, Any]:
    """The page's values."""
    stored = seen.stored
    rates = stored.rates if stored else None
    return {
        "seen": seen,
        "rates": rates,
        "failed": None if rates is None else failures(rates),
        "ended": ended(stored.hour) if stored else {},
        "charts": [draw(sort, stored.hour) for sort in (PACE, LATENCY, FAILURES)] if stored else [],
        "per_second": per_second,
        "seconds": seconds,
        "saved_at": datetime.fromtimestamp(seen.rung.health.saved_at, UTC) if seen.rung else None,
    }


def ended(hour: Series) -> dict[str, int]:
    """Runs that ended in the last hour, as far as processes told of them."""
    known = [point.rates for point in hour.points if point.rates is not None]
    return {status: round(sum(getattr(rates, status) * rates.over for rates in known)) for status in ENDED}
