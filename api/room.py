"""Caps: how many batches an account may have in flight, accepted and not applied.

Their number is looked at in Postgres, never further than the cap, twice a second while it is far and more often where
it is reached; to it is added what this process lets in meanwhile, but for what it knows to be applied. So the cap is
held to within what is being written, and what other processes let in meanwhile. Accounts without a cap are never looked
at. Refused here: rates.
"""

import asyncio
from dataclasses import dataclass, field

from api.postgres import Postgres
from shared.db.statements import statements
from shared.ids import AccountId

SQL = statements("limits")

FRESH = 0.5  # seconds that a count is good for
SOON = 0.01  # seconds after which one that found the cap reached is made again: all may be applied by now
PAUSE = 10.0  # times what it took, at the least: Postgres is to do something else as well
KEPT = 10_000  # accounts remembered: about 3 MB


@dataclass(slots=True)
class Count:
    """What an account had in flight at a moment, and what was let in since."""

    cap: int
    counted: int
    at: float  # of the loop's clock: when the count began
    took: float  # seconds
    since: int = 0

    @property
    def full(self) -> bool:
        return self.counted + self.since >= self.cap


@dataclass(slots=True)
class Room:
    postgres: Postgres
    _counts: dict[AccountId, Count] = field(default_factory=dict)
    _counting: dict[AccountId, asyncio.Task[Count]] = field(default_factory=dict)

    async def enter(self, account: AccountId, cap: int) -> int | None:
        """Lets a batch in; or says how many wait, where the cap is reached. Raises ServiceInactive."""
        count = self._counts.get(account)
        now = asyncio.get_running_loop().time()
        if count is None or count.cap != cap or now >= count.at + FRESH:
            count = await self._count(account, cap)
        if count.full and now >= count.at + max(SOON, PAUSE * count.took):
            count = await self._count(account, cap)
        if count.full:
            return min(count.counted + count.since, cap)
        count.since += 1
        return None

    def leave(self, account: AccountId) -> None:
        """A batch that was let in is applied, or was not taken after all."""
        count = self._counts.get(account)
        if count is not None and count.since > 0:
            count.since -= 1

    async def _count(self, account: AccountId, cap: int) -> Count:
        """Counted once, however many wait for it; all of them go by it."""
        task = self._counting.get(account)
        if task is None:
            task = self._counting[account] = asyncio.create_task(self._look(account, cap))
            task.add_done_callback(_seen)
        return await asyncio.shield(task)

    async def _look(self, account: AccountId, cap: int) -> Count:
        time = asyncio.get_running_loop().time
        started = time()
        try:
            row = await self.postgres.fetchrow(SQL["in_flight"], account, cap)
        finally:
            del self._counting[account]
        if len(self._counts) >= KEPT:
            self._counts.clear()
        count = self._counts[account] = Count(cap, 0 if row is None else row[0], started, time() - started)
        return count


def _seen(task: "asyncio.Task[Count]") -> None:
    """Takes note of an error that nobody waits for any more: its client is gone."""
    if not task.cancelled():
        task.exception()
