"""Drains partitions until nothing waits in them: one drain after another, and side by side where there is a backlog.

One lane thinks while Postgres writes for the other; their partitions are disjoint, so they never meet.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.settings import Settings
from worker.aftermath import Aftermath
from worker.apply import Drainer


@dataclass(slots=True)
class Lanes:
    settings: Settings
    aftermath: Aftermath
    via: str  # what its batches are counted under: arq, sweep
    wait: bool  # for partitions that are in hand elsewhere, or pass over them
    stopping: bool = False
    first: Drainer = field(init=False)
    second: Drainer = field(init=False)

    def __post_init__(self) -> None:
        self.first, self.second = Drainer(self.settings), Drainer(self.settings)

    async def drain(self, partitions: Sequence[int]) -> int:
        """Returns how many batches were applied. Raises what `Drainer.drain` raises."""
        applied, more = await self._once(self.first, partitions)
        if not more:
            return applied
        halves = ((self.first, partitions[::2]), (self.second, partitions[1::2]))
        return applied + sum(await asyncio.gather(*(self._run(*half) for half in halves)))

    async def close(self) -> None:
        await self.first.close()
        await self.second.close()

    async def _run(self, drainer: Drainer, partitions: Sequence[int]) -> int:
        applied, more = 0, bool(partitions)
        while more and not self.stopping:
            count, more = await self._once(drainer, partitions)
            applied += count
        return applied

    async def _once(self, drainer: Drainer, partitions: Sequence[int]) -> tuple[int, bool]:
        drained = await drainer.drain(partitions, wait=self.wait)
        self.aftermath.add(drained, self.via)
        return len(drained.outcomes), drained.more
