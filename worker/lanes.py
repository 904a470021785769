"""Drains partitions in two lanes: one takes what rings, the other one works beside it on the backlog that was left.

One lane thinks while Postgres writes for the other; their partitions are disjoint, so they never meet. What rings is
looked at behind each drain of the first lane, however long the backlog is.
"""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

import structlog

from shared.metrics import DRAIN_SECONDS
from shared.settings import Settings
from shared.tasks import end
from worker.aftermath import Aftermath
from worker.apply import Drainer
from worker.batch import PER_ACCOUNT
from worker.duty import Duty
from worker.execute.leases import Starter
from worker.pace import LONG, Pace
from worker.tracing import Tracing

log = structlog.get_logger()

LOOK = 0.01  # seconds between looks at what rings, while only the second lane has work
FEW = 8  # of the partitions one in so many is in hand for the backlog, while somebody with little waiting is about
SLOW = 1.0  # seconds of a drain, the wait for its locks among them, that are told
DRIVEN = 0.2  # seconds; whoever drains asks for the next drain sooner


@dataclass(slots=True)
class Lanes:
    settings: Settings
    aftermath: Aftermath
    partitions: int  # of the database
    via: str  # what its batches are counted under: arq, sweep
    wait: bool  # for partitions that are in hand elsewhere, or pass over them
    tracing: Tracing | None = None
    starter: Starter | None = None  # what executes runs in this worker
    beside: "Lanes | None" = None  # others of this worker: who has little waiting there has it here, too
    duty: Duty = field(default_factory=Duty)
    stopping: bool = False
    pace: Pace = field(init=False)
    first: Drainer = field(init=False)
    second: Drainer = field(init=False)
    _rang: set[int] = field(default_factory=set)  # partitions to look at, as soon as the second lane has not them
    _left: dict[int, None] = field(default_factory=dict)  # partitions with a backlog, in the order of their turns
    _owed: set[int] = field(default_factory=set)  # those that rang while the second lane had them: the first one's now
    _begun_at: float = float("-inf")  # of the loop's clock: when the second lane began to wait for its turn
    _asked_at: float = float("-inf")  # of the loop's clock: when a drain was last asked for, or ended
    _breadth: int = 0  # partitions of the next drain of a backlog; set by how full the last one was
    _mine: Sequence[int] = ()  # partitions of the first lane
    _in_hand: Sequence[int] = ()  # partitions of the second lane
    _beside: asyncio.Task[int] | None = None  # the second lane's work, as long as there is a backlog

    def __post_init__(self) -> None:
        self._breadth = self.partitions
        self.pace = Pace(self.settings.drain_limit) if self.beside is None else self.beside.pace
        self.first, self.second = (
            Drainer(self.settings, self.pace, tracing=self.tracing, starter=self.starter) for _ in range(2)
        )

    @property
    def busy(self) -> bool:
        """Whether there is more to drain than what rings."""
        return bool(self._rang or self._left) or self._beside is not None

    @property
    def known(self) -> set[int]:
        """Partitions in hand or about to be; none where nobody goes on with them (no Redis, a Postgres that hangs)."""
        now, known = asyncio.get_running_loop().time(), set[int]()
        if now <= self._asked_at + (LONG if self._mine else DRIVEN):
            known.update(self._rang, self._left, self._mine)
        if now <= self._begun_at + LONG:
            known.update(self._in_hand)
        return known

    async def drain(self, wanted: Collection[int]) -> int:
        """Drains these partitions, or some of those that were left, once; returns how many batches were applied.

        Call it again while it is `busy`. Raises what `Drainer.drain` raises: its partitions are left to the sweep.
        """
        self._rang.update(wanted)
        self._owed.update(set(wanted).intersection(self._in_hand))
        self._asked_at = asyncio.get_running_loop().time()
        applied = await self._collect()
        self._begin_beside()
        if turn := sorted(self._rang.difference(self._in_hand)):
            self._rang.difference_update(turn)
            self._owed.difference_update(turn)
            applied += await self._take(turn, light=True)
            if not self._hangs:
                return applied
        if (not self.pace.short or self._hangs) and (turn := self._turn()):
            return applied + await self._take(turn)
        if self._beside is not None:
            await asyncio.wait([self._beside], timeout=LOOK)
        return applied + await self._collect()

    async def finish(self) -> None:
        """Waits for what is in hand; where that fails, the batches wait for another worker."""
        if self._beside is not None:
            await asyncio.wait([self._beside])

    async def close(self) -> None:
        await end([] if self._beside is None else [self._beside])
        await self.first.close()
        await self.second.close()

    async def _take(self, partitions: Sequence[int], *, light: bool = False) -> int:
        self._mine = partitions
        try:
            return await self._once(self.first, partitions, light=light)
        finally:
            self._mine, self._asked_at = (), asyncio.get_running_loop().time()

    @property
    def _hangs(self) -> bool:
        """Whether the second lane waits for something: the backlog is not to wait with it."""
        return self._beside is not None and asyncio.get_running_loop().time() > self._begun_at + LONG

    def _begin_beside(self) -> None:
        """Sets the second lane to work, where there is a backlog."""
        if self._beside is None and self._left:
            self._in_hand, self._begun_at = self._turn(), asyncio.get_running_loop().time()
            self._beside = asyncio.create_task(self._work_beside())

    async def _work_beside(self) -> int:
        applied = 0
        while self._in_hand and not self.stopping and not self.duty.quiet:
            self._begun_at = asyncio.get_running_loop().time()
            applied += await self._once(self.second, self._in_hand)
            self._in_hand = self._turn()
        return applied

    async def _collect(self) -> int:
        """What the second lane came to, if it is done. Raises what it raised."""
        beside = self._beside
        if beside is None or not beside.done():
            return 0
        self._beside, self._in_hand = None, ()
        return await beside

    def _turn(self) -> list[int]:
        """Takes the partitions whose turn it is: half of those with a backlog, as many as fill a drain at most; one in
        `FEW` of all while somebody with little waiting is about.
        """
        free = [partition for partition in self._left if partition not in self._mine and partition not in self._owed]
        most = self._few if self.pace.short else min((len(free) + 1) // 2, max(self._breadth, self._least))
        turn = free[:most]
        for partition in turn:
            del self._left[partition]
        return sorted(turn)

    @property
    def _few(self) -> int:
        """Partitions of a drain at least: in so many drains each has had its turn."""
        return max(1, self.partitions // FEW)

    @property
    def _least(self) -> int:
        """Partitions of a drain of the backlog at least. Where a single account has one nobody else waits for their
        turn, and several batches of a thread cost less in one drain than in several.
        """
        return 1 if self.pace.lone else max(self._few, -(-self.pace.limit // PER_ACCOUNT))

    def _fit(self, applied: int) -> None:
        """Fewer partitions while the number of their batches fills a drain: in each of them it goes past all that was
        applied and not vacuumed yet. Large batches, which end a drain by their bytes, leave it at more.
        """
        limit = self.pace.limit
        if 8 * applied > 7 * limit:
            self._breadth = max(self._breadth // 2, self._least)
        elif 2 * applied < limit:
            self._breadth = min(2 * max(self._breadth, self._least), self.partitions)

    async def _once(self, drainer: Drainer, partitions: Sequence[int], *, light: bool = False) -> int:
        clock = asyncio.get_running_loop().time
        async with nullcontext() if light else self.pace.turn():
            began = clock()
            drained = await drainer.drain(partitions, wait=self.wait, light=light)
        seconds = clock() - began
        if drained.outcomes:
            DRAIN_SECONDS.observe(seconds)
        if seconds > SLOW:
            log.warning("a drain was slow", seconds=round(seconds, 3), applied=len(drained.outcomes), via=self.via)
        if self.settings.log_level == "debug" and drained.outcomes:
            log.debug("a drain applied", batches=[outcome.batch for outcome in drained.outcomes], via=self.via)
        if any(outcome.reply_to is not None for outcome in drained.outcomes):
            self.pace.answer()
        self.aftermath.add(drained, self.via)
        if not light and not self.pace.short:
            self._fit(len(drained.outcomes))
        if drained.left is not None:  # of the others nothing was taken: their turn comes when it would have come
            self._left.update(dict.fromkeys(drained.left))
        else:
            for partition in partitions:
                self._left.pop(partition, None)
            self._left.update(dict.fromkeys(partitions if drained.more else ()))
        return len(drained.outcomes)
