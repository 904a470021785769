"""Slows down who guesses tokens: each failed login of an address makes the next one wait a little longer.

A token has 256 random bits, so this only spares the log and Postgres. Bounded in memory. Refused here: locking anybody
out.
"""

import time
from collections import OrderedDict

_STEP = 0.1  # seconds a failure
_MOST = 1.0  # seconds
_FORGOTTEN = 60.0  # seconds after the last failure
_KEPT = 10_000  # addresses


class Throttle:
    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def delay(self, address: str) -> float:
        """Seconds that a login from there waits."""
        count, at = self._failures.get(address, (0, 0.0))
        return min(count * _STEP, _MOST) if time.monotonic() - at < _FORGOTTEN else 0.0

    def failed(self, address: str) -> None:
        count = round(self.delay(address) / _STEP)
        self._failures[address] = count + 1, time.monotonic()
        self._failures.move_to_end(address)
        while len(self._failures) > _KEPT:
            self._failures.popitem(last=False)
