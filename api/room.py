"""Caps: how many batches an account may have in flight, accepted and not applied.

Their number is looked at in Postgres, never further than the cap, twice a second while it is far and more often where
it is reached. To it is added what this process is writing, and what it knows to be committed since the look began and
not to be applied. So one process never passes the cap; what it counts twice, for it was committed while the look went
on, it counts once with the next. What other processes let in is seen with the next look: each of them may let in as
much as was free at its own. Accounts without a cap are never looked at. Refused here: rates.
"""

import asyncio
from dataclasses import dataclass, field

from api.postgres import Postgres
from shared.db.statements import statements
from shared.ids import AccountId
from shared.tasks import end

SQL = statements("limits")

FRESH = 0.5  # seconds that a look is good for
SOON = 0.01  # seconds after which one that found the cap reached is made again: all may be applied by now
PAUSE = 10.0  # times what it took, at the least: Postgres is to do something else as well
KEPT = 10_000  # accounts remembered, beside those with requests under way: about 5 MB


@dataclass(slots=True, eq=False)
class Look:
    """What an account had in flight at a moment, and what was committed since it began."""

    bound: int
    began: float  # of the loop's clock
    took: float = 0.0  # seconds
    counted: int = 0
    since: int = 0


@dataclass(slots=True, eq=False)
class Fill:
    """What is known of one account."""

    writing: int = 0  # let in, and not known to be committed
    asking: int = 0  # requests that wait for a look
    look: Look | None = None
    coming: Look | None = None  # under way
    task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        return bool(self.writing or self.asking or self.task)

    def waiting(self, cap: int) -> int:
        """How many are in flight, at most `cap`. A look that went less far than the cap may have missed any number."""
        if self.look is None or self.look.counted >= self.look.bound:
            return cap
        return min(self.look.counted + self.look.since + self.writing, cap)


class Stay:
    """One batch that was let in, until somebody else counts it or it is gone."""

    __slots__ = ("_fill", "_looks", "_written")

    def __init__(self, fill: Fill) -> None:
        self._fill = fill
        self._looks: list[Look] = []  # those that it is added to
        self._written = False
        fill.writing += 1

    def commit(self) -> None:
        """It is committed, or nobody knows: each look that began before adds it."""
        if not self._written:
            self._written = True
            self._fill.writing -= 1
            self._looks = [look for look in (self._fill.look, self._fill.coming) if look is not None]
            for look in self._looks:
                look.since += 1

    def leave(self) -> None:
        """It is applied, or was not taken: no look adds it any more."""
        self.commit()
        for look in self._looks:
            look.since -= 1
        self._looks = []


@dataclass(slots=True)
class Room:
    postgres: Postgres
    _fills: dict[AccountId, Fill] = field(default_factory=dict)

    async def enter(self, account: AccountId, cap: int) -> Stay | int:
        """Lets a batch in; or says how many wait, where the cap is reached. Raises ServiceInactive."""
        fill = self._fill(account)
        fill.asking += 1
        try:
            await self._see(fill, account, cap)
        finally:
            fill.asking -= 1
        waiting = fill.waiting(cap)
        return Stay(fill) if waiting < cap else waiting

    async def close(self) -> None:
        """Ends the looks that nobody waits for any more."""
        await end([fill.task for fill in self._fills.values() if fill.task is not None])

    def _fill(self, account: AccountId) -> Fill:
        fill = self._fills.get(account)
        if fill is None:
            if len(self._fills) >= KEPT:  # what is committed, Postgres knows
                self._fills = {account: fill for account, fill in self._fills.items() if fill.busy}
            fill = self._fills[account] = Fill()
        return fill

    async def _see(self, fill: Fill, account: AccountId, cap: int) -> None:
        """Looks again where that may tell something new."""
        now = asyncio.get_running_loop().time()
        if fill.look is None or now >= fill.look.began + FRESH:
            await self._count(fill, account, cap)
        look = fill.look
        if look is None or fill.waiting(cap) < cap or fill.writing >= cap:  # no look lowers what is being written
            return
        if now >= look.began + max(SOON, PAUSE * look.took):
            await self._count(fill, account, cap)

    async def _count(self, fill: Fill, account: AccountId, cap: int) -> None:
        """Counted once, however many wait for it; all of them go by it."""
        if fill.task is None:
            fill.task = asyncio.create_task(self._look(fill, account, cap))
            fill.task.add_done_callback(_seen)
        await asyncio.shield(fill.task)

    async def _look(self, fill: Fill, account: AccountId, cap: int) -> None:
        time = asyncio.get_running_loop().time
        look = fill.coming = Look(cap, time())
        try:
            row = await self.postgres.fetchrow(SQL["in_flight"], account, cap)
        finally:
            fill.coming = fill.task = None
        look.counted = 0 if row is None else row[0]
        look.took = time() - look.began
        fill.look = look


def _seen(task: "asyncio.Task[None]") -> None:
    """Takes note of an error that nobody waits for any more: its client is gone."""
    if not task.cancelled():
        task.exception()
