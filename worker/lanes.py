"""Drains partitions: one drain after another, and side by side where there is a backlog.

One lane thinks while Postgres writes for the other; their partitions are disjoint, so they never meet. A backlog
in some partitions is left after a while and gone on with beside what was accepted for the others meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from shared.settings import Settings
from worker.aftermath import Aftermath
from worker.apply import Drainer
from worker.pace import Pace

SHARE = 0.01  # seconds of a backlog after which the other partitions get a look


@dataclass(slots=True)
class Lanes:
    settings: Settings
    aftermath: Aftermath
    partitions: int  # of the database
    via: str  # what its batches are counted under: arq, sweep
    wait: bool  # for partitions that are in hand elsewhere, or pass over them
    stopping: bool = False
    left: set[int] = field(default_factory=set)  # partitions that were left with a backlog
    pace: Pace = field(init=False)
    first: Drainer = field(init=False)
    second: Drainer = field(init=False)
    _until: float = 0.0  # of the loop's clock: when both lanes are to look at what else waits

    def __post_init__(self) -> None:
        self.pace = Pace(self.settings.drain_limit)
        self.first, self.second = Drainer(self.settings, self.pace), Drainer(self.settings, self.pace)

    async def drain(self, wanted: Collection[int]) -> int:
        """Drains these partitions and those that were left; returns how many batches were applied.

        Where a backlog is left, `left` names its partitions. Raises what `Drainer.drain` raises; nothing is left then.
        """
        backlog, partitions, self.left = bool(self.left), sorted(self.left.union(wanted)), set()
        applied, more = 0, True
        if not backlog or self.pace.short:  # a drain alone is the quickest, and first for those with little waiting
            applied, more = await self._once(self.first, partitions, light=True)
        if not more:
            return applied
        self._until = asyncio.get_running_loop().time() + SHARE
        halves = ((self.first, partitions[::2]), (self.second, partitions[1::2]))
        return applied + sum(await _all(self._run(*half) for half in halves))

    async def close(self) -> None:
        await self.first.close()
        await self.second.close()

    async def _run(self, drainer: Drainer, partitions: Sequence[int]) -> int:
        applied, more, time = 0, bool(partitions), asyncio.get_running_loop().time
        while more and not self.stopping:
            count, more = await self._once(drainer, partitions)
            applied += count
            if more and time() >= self._until:
                self.left.update(partitions)
                return applied
        self._until = 0.0  # its partitions may have work again, and wait for the other lane
        return applied

    async def _once(self, drainer: Drainer, partitions: Sequence[int], *, light: bool = False) -> tuple[int, bool]:
        drained = await drainer.drain(partitions, wait=self.wait, light=light)
        self.aftermath.add(drained, self.via)
        return len(drained.outcomes), drained.more


async def _all(lanes: Iterable[Awaitable[int]]) -> list[int]:
    """What the lanes came to, once each of them has ended; then raises what the first one raised."""
    ends = await asyncio.gather(*lanes, return_exceptions=True)
    for end in ends:
        if isinstance(end, BaseException):
            raise end
    return [end for end in ends if isinstance(end, int)]
