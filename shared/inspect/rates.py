"""Rates of the whole service, from the samples that its processes add up in Postgres (`shared.samples`).

Only whole buckets of ten seconds are read, so a rate is up to fifteen seconds old: what a process counted comes within
five seconds, into the bucket of the moment when it comes. Over a minute that shifts at most a twelfth of one process'
counts. Quantiles are interpolated within a bucket of `LATENCY_BOUNDS`: less than 28 % off between 0.5 ms and 1,000 s.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.db.connect import Database
from shared.db.statements import statements
from shared.metrics import LATENCY_BOUNDS
from shared.samples import COLUMNS, KEPT_HOURS

SQL = statements("samples")

BUCKET = 10  # seconds
LAST = 60  # seconds that `rates` looks at
POINTS = 60  # of a series


@dataclass(frozen=True, slots=True)
class Rates:
    """Per second; `p50` to `p99` are seconds from accepted to applied, None where nothing was applied."""

    over: int  # seconds that were measured
    accepted: float  # batches
    applied: float
    parked: float
    completed: float  # runs
    failed: float
    cancelled: float
    expired: float
    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class Point:
    """One step of a series. `rates` None: no process wrote a sample then."""

    at: datetime  # its beginning
    rates: Rates | None


@dataclass(frozen=True, slots=True)
class Series:
    step: int  # seconds between points
    points: tuple[Point, ...]  # the oldest first, always `POINTS` of them


async def rates(db: Database) -> Rates | None:
    """Over the last whole minute, or as much of it as there was a process for; None where there was none."""
    return _rates(await db.fetch(SQL["last"], float(LAST)))


async def series(db: Database, minutes: int = 60) -> Series:
    """The last `minutes`, a multiple of ten, at most what is kept. Raises ValueError for others."""
    if minutes % 10 or not 0 < minutes <= KEPT_HOURS * 60:
        raise ValueError(f"minutes must be a multiple of 10, at most {KEPT_HOURS * 60:.0f}: {minutes}")
    step = minutes * 60 // POINTS
    rows = await db.fetch(SQL["last"], float(minutes * 60))
    until: datetime = rows[0]["until"] if rows else await db.fetchval(SQL["until"])
    start = until - timedelta(minutes=minutes)
    sorted_in: list[list[Mapping[str, Any]]] = [[] for _ in range(POINTS)]
    for row in rows:
        sorted_in[int((row["at"] - start).total_seconds()) // step].append(row)
    points = (Point(start + timedelta(seconds=n * step), _rates(own)) for n, own in enumerate(sorted_in))
    return Series(step, tuple(points))


async def written_ago(db: Database) -> float | None:
    """Seconds since the newest bucket began: more than about 20 says that nobody writes. None: there is none."""
    found: float | None = await db.fetchval(SQL["newest"])
    return found


def _rates(rows: Sequence[Mapping[str, Any]]) -> Rates | None:
    if not rows:
        return None
    over = BUCKET * len(rows)
    counted = {column: sum(row[column] for row in rows) / over for column in COLUMNS}
    latency = _sum(row["latency"] for row in rows)
    p50, p95, p99 = (quantile(latency, q) for q in (0.5, 0.95, 0.99))
    return Rates(over=over, **counted, p50=p50, p95=p95, p99=p99)


def _sum(histograms: Iterable[Sequence[int]]) -> list[int]:
    """Processes that applied nothing give an empty one."""
    return [sum(counts) for counts in zip(*(one for one in histograms if one), strict=True)]


def quantile(counts: Sequence[int], q: float) -> float | None:
    """Of a histogram over `LATENCY_BOUNDS`: interpolated within the bucket. Beyond the last bound it is that bound."""
    rank, seen, low = q * sum(counts), 0, 0.0
    if not rank:
        return None
    for count, high in zip(counts, LATENCY_BOUNDS, strict=False):
        if count and seen + count >= rank:
            return low + (high - low) * (rank - seen) / count
        seen, low = seen + count, high
    return low
