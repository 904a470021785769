"""How many batches a drain takes: many, or few while somebody with little waiting is about.

A drain of hundreds costs the least, and whoever comes next waits for all of it. So drains stay short for a while after
one met an account, or a thread, with little waiting beside one with much.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

SHORT = 24  # batches; fewer cost more than they save (docs/decisions/a-backlog-shares-its-worker.md)
SHORT_FOR = 1.0  # seconds


@dataclass(slots=True)
class Pace:
    limit: int  # batches of a drain at most
    clock: Callable[[], float] = time.monotonic
    _short_until: float = float("-inf")

    @property
    def short(self) -> bool:
        return self.clock() < self._short_until

    def hurry(self) -> None:
        """Somebody with little waiting was met."""
        self._short_until = self.clock() + SHORT_FOR

    def most(self) -> int:
        """Batches of the next drain."""
        return min(SHORT, self.limit) if self.short else self.limit
