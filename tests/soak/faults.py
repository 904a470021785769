"""Faults that processes live through, and kills of others: what is read must live from the beginning to the end.

The list is the fault run's (`tests/faults/schedule.py`), at a slower pace and without what ends a process that is read.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from tests.faults.injector import Injector
from tests.faults.processes import Member
from tests.faults.schedule import DEALT, schedule

LIVED_THROUGH = frozenset(
    {
        "stop api",
        "stop worker",
        "stop worker past its lease",
        "flush redis",
        "restart redis",
        "kill backend",
        "stop postgres",
        "delay link",
        "cut link",
        "silence requests",
        "silence replies",
        "lose replies",
    }
)
EVERY = 6.0  # seconds between faults
KILL_EVERY = 25.0  # seconds between kills
KILL = "kill"  # what they are counted as


@dataclass(slots=True)
class Trouble:
    injector: Injector
    read: Sequence[Member]  # those that are read: nobody kills them
    others: Sequence[Member]  # those that are killed, in turns
    rng: Random
    kills: int = 0
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def done(self) -> Counter[str]:
        return self.injector.done + Counter({KILL: self.kills})

    async def run(self) -> None:
        """Until `end` is called; then all is undone."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._disturb())
            group.create_task(self._kill())

    def end(self) -> None:
        self._over.set()
        self.injector.end()

    async def _disturb(self) -> None:
        weights = [kind.cards if kind.name in LIVED_THROUGH else 0 for kind in DEALT]
        apis, workers = ([m.name for m in self.read if m.name.startswith(kind)] for kind in ("api", "worker"))
        async with asyncio.TaskGroup() as group:
            for fault in schedule(self.rng, apis, workers, weights):
                if await self._waits(EVERY):
                    return
                group.create_task(self.injector.inject(fault))

    async def _kill(self) -> None:
        while self.others:
            for member in self.others:
                if await self._waits(KILL_EVERY):
                    return
                await member.kill()
                member.restart()
                self.kills += 1

    async def _waits(self, seconds: float) -> bool:
        """Whether it is over before that."""
        try:
            await asyncio.wait_for(self._over.wait(), seconds)
        except TimeoutError:
            return False
        return True
