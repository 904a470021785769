"""Rings for accepted batches: a few calls to Redis under way at most, what comes meanwhile goes with the next.

Redis errors are counted, logged once a second and swallowed: the workers' sweep finds what was not rung for.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from api.submission import Fresh, Submission
from shared.crashpoints import crash
from shared.logs import Seldom
from shared.metrics import REDIS_ERRORS
from shared.queue import AWAY, Queue, Waiting

log = structlog.get_logger()
warn = Seldom(log)

TIMEOUT = 0.25  # seconds; ringing is never worth a longer wait
RINGS = 4  # calls under way: where the loop is busy, one's answer is read only after the next flush
REST = 0.5  # seconds without a try after a failure: a Redis that hangs must not be asked for each flush


@dataclass(slots=True)
class Bell:
    queue: Queue
    _waiting: list[Waiting] = field(default_factory=list)
    _rings: asyncio.TaskGroup | None = None  # while `run` runs
    _under_way: int = 0

    def add(self, fresh: Sequence[tuple[Submission, Fresh]]) -> None:
        """Rings for these batches: at once, where not too many calls are under way."""
        for submission, verdict in fresh:
            accepted_ms = int(verdict.accepted_at.timestamp() * 1000)
            self._waiting.append(Waiting(submission.partition, verdict.batch, accepted_ms))
        if self._rings is not None and self._under_way < RINGS:
            self._under_way += 1
            self._rings.create_task(self._ring())

    async def run(self) -> None:
        """Rings until it is cancelled."""
        try:
            async with asyncio.TaskGroup() as self._rings:
                await asyncio.Event().wait()
        finally:
            self._rings = None  # what is accepted from here on is the sweep's

    async def _ring(self) -> None:
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                await self._ring_for(waiting)
        finally:
            self._under_way -= 1

    async def _ring_for(self, waiting: Sequence[Waiting]) -> None:
        crash("api.before_ring")
        try:
            async with asyncio.timeout(TIMEOUT):
                await self.queue.ring(waiting)
            crash("api.after_ring")
        except AWAY as error:
            REDIS_ERRORS.labels("ring").inc()
            warn("not rung; the sweep will find them", batches=len(waiting), error=repr(error))
            await asyncio.sleep(REST)
            self._waiting.clear()  # what came meanwhile is the sweep's as well
