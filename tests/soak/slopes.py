"""How fast something grows: the slope of Theil and Sen, which a few wild readings do not move.

Readings are first brought to medians of equal spans of time, so that a burst of them counts no more than a quiet time.
"""

from collections.abc import Sequence
from itertools import combinations
from statistics import median

Point = tuple[float, float]  # seconds, value

SPANS = 150  # medians that a series is brought to at most: pairs grow with their square


def slope(points: Sequence[Point]) -> float:
    """Growth a second: the median of the slopes between all pairs of medians; 0 of fewer than two."""
    found = [(y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in combinations(medians(points), 2)]
    return median(found) if found else 0.0


def medians(points: Sequence[Point], spans: int = SPANS) -> list[Point]:
    """The middle of each span of time that has readings."""
    if not points:
        return []
    first, last = min(x for x, _ in points), max(x for x, _ in points)
    width = (last - first) / spans or 1.0
    parts: dict[int, list[Point]] = {}
    for x, y in points:
        parts.setdefault(min(spans - 1, int((x - first) / width)), []).append((x, y))
    return [(median(x for x, _ in part), median(y for _, y in part)) for _, part in sorted(parts.items())]


def growth(points: Sequence[Point], seconds: float) -> float:
    """By how much it grows in so many seconds, at its slope."""
    return slope(points) * seconds
