"""Work that may take a share of the time at most, however long it comes to take: what goes through all that waits."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class Sparing:
    """Rests for `times` what it took, `longest` seconds at most. What fails is due again at once."""

    times: float
    longest: float = math.inf
    clock: Callable[[], float] = time.monotonic
    _until: float = -math.inf

    @property
    def rest(self) -> float:
        """Seconds until it is due; 0: now."""
        return max(0.0, self._until - self.clock())

    @contextmanager
    def spent(self) -> Iterator[None]:
        """Around the work."""
        began = self.clock()
        self.forget()
        yield
        ended = self.clock()
        self._until = ended + min(self.times * (ended - began), self.longest)

    def forget(self) -> None:
        """It is due."""
        self._until = -math.inf
