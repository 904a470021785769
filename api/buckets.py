"""Token buckets of one process: what holds while Redis is away, as the script `take` has them, and in bounded memory.

Each process then gives the whole limit by itself. Refused here: waiting.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from shared.limits import Rate

LIMIT = 20_000  # buckets that are not full, of one process: about 4 MB


class Taken(NamedTuple):
    """What came of it. `refused`: the place of the bucket that refused, counted from 1; 0: none did. `place`: of the
    one that refused, else of the one that holds least, and how many units it has left. `wait`: seconds.
    """

    refused: int
    wait: float
    place: int
    left: int


class Buckets:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._full_at: dict[str, float] = {}

    def take(self, buckets: Sequence[tuple[str, Rate]], units: int = 1) -> Taken:
        """From all of them, or from none; units below 0 are given back."""
        now = self._clock()
        after = [self._after(key, rate, units, now) for key, rate in buckets]
        shorts = [at - now - rate.burst * rate.interval for at, (_, rate) in zip(after, buckets, strict=True)]
        if units > 0 and max(shorts) >= 1e-6:  # less is an error of rounding
            place = shorts.index(max(shorts)) + 1
            return Taken(place, shorts[place - 1], place, 0)
        for (key, _), at in zip(buckets, after, strict=True):
            self._keep(key, at, now)
        left = [
            int(rate.burst - (at - now) / rate.interval + 1e-6) for at, (_, rate) in zip(after, buckets, strict=True)
        ]
        return Taken(0, 0.0, left.index(min(left)) + 1, max(0, min(left)))

    def _after(self, key: str, rate: Rate, units: int, now: float) -> float:
        """When the bucket is full again once the units are taken."""
        full_at = min(max(self._full_at.get(key, now), now), now + rate.burst * rate.interval)
        return max(full_at + units * rate.interval, now)

    def _keep(self, key: str, full_at: float, now: float) -> None:
        if full_at <= now:
            self._full_at.pop(key, None)
            return
        if len(self._full_at) >= LIMIT:
            self._forget(now)
        self._full_at[key] = full_at

    def _forget(self, now: float) -> None:
        """Drops those that are full by now; all, where that is not half of them: memory counts more than a limit."""
        left = {key: full_at for key, full_at in self._full_at.items() if full_at > now}
        self._full_at = left if len(left) <= LIMIT // 2 else {}

    def __len__(self) -> int:
        return len(self._full_at)
