"""What follows a drain: outcomes are published, wake-ups finished, applied batches leave the waiting sets.

All of it is notice, none of it truth: it happens behind the drain's back, coalesced, and errors are counted and
forgotten. The next drain never waits for it.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import structlog

from shared.crashpoints import crash
from shared.ids import BatchId, BatchRef, ThreadId
from shared.logs import Seldom
from shared.metrics import APPLIED, DRAIN_SIZE, LATENCY, REDIS_ERRORS
from shared.queue import AWAY, Queue, WakeUp
from worker.apply import Drained
from worker.load import Where

log = structlog.get_logger()
warn = Seldom(log)

TIMEOUT = 0.5  # seconds for one round with Redis
MOST = 10_000  # notices kept while Redis is away; the waiting sets are reconciled by the sweep


@dataclass(slots=True)
class Aftermath:
    queue: Queue
    partitions: int = 0  # of the database; known once the crew has started
    on_ready: Callable[[Sequence[Where]], None] | None = None  # threads whose run waits for a worker
    on_news: Callable[[Sequence[ThreadId]], None] | None = None  # threads whose executing run has news
    applied: int = 0  # batches, since the start
    _changed: set[ThreadId] = field(default_factory=set)
    _called: dict[ThreadId, None] = field(default_factory=dict)
    _nudged: set[ThreadId] = field(default_factory=set)
    _wake_ups: list[WakeUp] = field(default_factory=list)
    _gone: dict[int, list[BatchId]] = field(default_factory=lambda: defaultdict(list))
    _outcomes: dict[str, list[tuple[BatchRef, str]]] = field(default_factory=lambda: defaultdict(list))
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def finish(self, wake_ups: Sequence[WakeUp]) -> None:
        self._wake_ups += wake_ups
        self._arrived.set()

    def add(self, drained: Drained, via: str) -> None:
        self._count(drained, via)
        if sum(map(len, self._gone.values())) < MOST:
            for outcome in drained.outcomes:
                self._gone[outcome.partition].append(outcome.batch)
                if outcome.reply_to is not None:
                    self._outcomes[outcome.reply_to].append((outcome.ref, outcome.text))
            for batch in drained.blocked:
                self._gone[batch.partition].append(batch.id)
        self.announce(drained.changed)
        if drained.ready and self.on_ready is not None:
            self.on_ready(drained.ready)
        if drained.news and self.on_news is not None:
            self.on_news(drained.news)

    def announce(self, threads: Collection[ThreadId]) -> None:
        """These threads have something new: whoever follows them is told."""
        if len(self._changed) < MOST:
            self._changed.update(threads)
        self._arrived.set()

    def call(self, threads: Collection[ThreadId]) -> None:
        """The runs of these threads wait for a worker: another one is rung for."""
        if len(self._called) < MOST:
            self._called.update(dict.fromkeys(threads))
        self._arrived.set()

    def nudge(self, threads: Collection[ThreadId]) -> None:
        """Executing runs of these threads have news: their workers are told."""
        if len(self._nudged) < MOST:
            self._nudged.update(threads)
        self._arrived.set()

    def _count(self, drained: Drained, via: str) -> None:
        if not drained.outcomes:
            return
        self.applied += len(drained.outcomes)
        APPLIED.labels(via).inc(len(drained.outcomes))
        DRAIN_SIZE.observe(len(drained.outcomes))
        if drained.at is not None:
            LATENCY.observe([(drained.at - outcome.accepted_at).total_seconds() for outcome in drained.outcomes])

    async def run(self) -> None:
        """Tells until it is cancelled."""
        while True:
            await self._arrived.wait()
            await self.tell_once()

    async def tell_once(self) -> None:
        """One round."""
        self._arrived.clear()
        outcomes, self._outcomes = self._outcomes, defaultdict(list)
        gone, self._gone = self._gone, defaultdict(list)
        wake_ups, self._wake_ups = self._wake_ups, []
        changed, self._changed = self._changed, set()
        called, self._called = self._called, {}
        nudged, self._nudged = self._nudged, set()
        try:
            async with asyncio.timeout(TIMEOUT):
                crash("worker.before_publish")
                await self.queue.tell(outcomes, wake_ups, gone, changed)
                crash("worker.after_publish")
                if called:
                    await self.queue.call(list(called))
                if nudged:
                    await self.queue.nudge(nudged)
        except AWAY as error:
            REDIS_ERRORS.labels("aftermath").inc()
            warn("Redis not told what was applied", error=repr(error))
