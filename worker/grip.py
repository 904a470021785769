"""Taking partitions: the first statement of a drain, which says whose they are for its transaction.

A drain holds some while it waits for others. What it has waited for in vain it waits for no more until that was free
once: whatever rings would stand as long again, batches of other partitions with it. The sweep looks at such a partition
meanwhile, as at all that nobody goes on with.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import asyncpg

from shared.db.statements import statements
from worker import broken

SQL = statements("drain")

# Seconds for all locks of a drain: the session's lock time-out, which counts for each by itself, and two; a connection
# that is dead says nothing.
BEGIN_TIMEOUT = 7.0


@dataclass(slots=True)
class Grip:
    _elsewhere: set[int] = field(default_factory=set)  # partitions that somebody has for longer than a drain waits

    async def begin(self, connection: asyncpg.Connection, partitions: Sequence[int], *, wait: bool) -> Sequence[int]:
        """Begins the transaction; returns the partitions that it holds. Without `wait` those that are free.

        Raises asyncpg.LockNotAvailableError where one was not free in time, TimeoutError where they were not one after
        another, or Postgres says nothing; the next call takes what is.
        """
        if broken.unlocked():
            await connection.execute("begin")
            return partitions
        unsure = self._elsewhere.intersection(partitions) if wait else set(partitions)
        sure = [partition for partition in partitions if partition not in unsure]
        try:
            await connection.execute(SQL["begin"].format(partitions=_numbers(sure)), timeout=BEGIN_TIMEOUT)
        except (asyncpg.LockNotAvailableError, TimeoutError):
            self._elsewhere.update(sure)  # one of them it was: the next call tells which
            raise
        if not unsure:
            return partitions
        free = [row["p"] for row in await connection.fetch(SQL["try_lock"], list(unsure))]
        self._elsewhere.difference_update(free)
        return sorted([*sure, *free])


def _numbers(partitions: Sequence[int]) -> str:
    return ",".join(f"{partition:d}" for partition in partitions)  # what is no number raises
