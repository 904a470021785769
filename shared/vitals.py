"""What a process says with its heartbeat: that it lives, its memory, how far its clock is from Postgres'; for how long
the oldest batch of all has waited.

Nothing here corrects a clock: every age and every expiry is of Postgres' clock anyway.
"""

import os
import resource
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import asyncpg

from shared.db.statements import statements
from shared.metrics import CLOCK_SKEW, OLDEST_AGE
from shared.sparing import Sparing

SQL = statements("heartbeats")

_STATM = Path("/proc/self/statm")
_PAGE = os.sysconf("SC_PAGE_SIZE")
LIVES = 15.0  # seconds of silence after which a process counts as gone: it tells of itself every two
ACCOUNTS = 20  # looked at in each partition for the oldest age
# A look at the oldest age goes past all that was applied and not vacuumed yet: the next one rests for so many times
# what it took, in seconds at most.
AGE_REST, LONGEST_AGE_REST = 100, 10.0
ROUND_TRIP = 0.5  # seconds; a longer one says too little about the moment in which Postgres looked at its clock


def memory() -> int:
    """Bytes that this process has in memory; where the system has no /proc, the most it ever had."""
    try:
        return int(_STATM.read_text(encoding="ascii").split()[1]) * _PAGE
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@dataclass(slots=True)
class Clock:
    """How far this process' clock is ahead of Postgres': at most half a round trip off."""

    skew: float | None = None  # seconds; None: not measured yet
    _asked_at: float = 0.0

    def ask(self) -> None:
        """Right before a statement that returns Postgres' clock."""
        self._asked_at = time.time()

    def learn(self, theirs: datetime) -> None:
        """Right behind it. Postgres is taken to have answered in the middle of the round trip."""
        answered = time.time()
        if 0 <= answered - self._asked_at <= ROUND_TRIP:
            self.skew = (self._asked_at + answered) / 2 - theirs.timestamp()
            CLOCK_SKEW.set(self.skew)

    def now(self) -> float:
        """Postgres' clock, as far as it is known: seconds since 1970."""
        return time.time() - (self.skew or 0.0)


@dataclass(slots=True)
class OldestAge:
    """For how long the oldest batch has waited, as the metric tells it: at most ten seconds and a heartbeat ago."""

    sparing: Sparing = field(default_factory=lambda: Sparing(AGE_REST, LONGEST_AGE_REST))

    async def ask(self, connection: asyncpg.Connection) -> None:
        """Where it is due. A metric that was taken back is asked for again behind `sparing.forget()`."""
        if not self.sparing.rest:
            with self.sparing.spent():
                OLDEST_AGE.set(await connection.fetchval(SQL["oldest_age"], ACCOUNTS) or 0.0)
