"""How long the service took after each fault, by Postgres' clock: pure arithmetic over two lists of moments.

A fault's recovery runs from its end (of a kill: from the kill) until the service does what it did before: every batch
that was accepted by then is applied, and so is the first one that is accepted afterwards. Other faults go on meanwhile,
so each figure is of its fault and of whatever fell into its recovery: more than the fault itself costs, never less.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from math import ceil

Moments = Sequence[tuple[float, float]]  # of each batch: accepted, applied; seconds of one clock


class Recoveries:
    def __init__(self, batches: Moments) -> None:
        self._accepted = sorted(batches)
        self._starts = [accepted for accepted, _ in self._accepted]
        self._latest = list(accumulate((applied for _, applied in self._accepted), max))  # of all up to there

    def after(self, end: float) -> float | None:
        """Seconds; None where no batch was accepted afterwards, so that nobody can tell."""
        place = bisect_right(self._starts, end)
        if place == len(self._accepted):
            return None
        before = self._latest[place - 1] if place else end
        return max(before, self._accepted[place][1]) - end


def spread(seconds: Iterable[float]) -> Mapping[str, float | int]:
    """How many, their median, 99th percentile (nearest rank) and maximum, in seconds; of at least one."""
    ordered = sorted(seconds)
    return {
        "count": len(ordered),
        "p50": round(_rank(ordered, 50), 3),
        "p99": round(_rank(ordered, 99), 3),
        "max": round(ordered[-1], 3),
    }


def _rank(ordered: Sequence[float], percent: int) -> float:
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]
