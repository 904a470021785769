"""Rings for accepted batches: at most one call to Redis under way, what comes meanwhile goes with the next.

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
REST = 0.5  # seconds without a try after a failure: a Redis that hangs must not be asked for each flush


@dataclass(slots=True)
class Bell:
    queue: Queue
    _waiting: list[Waiting] = field(default_factory=list)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, fresh: Sequence[tuple[Submission, Fresh]]) -> None:
        for submission, verdict in fresh:
            accepted_ms = int(verdict.accepted_at.timestamp() * 1000)
            self._waiting.append(Waiting(submission.partition, verdict.batch, accepted_ms))
        self._arrived.set()

    async def run(self) -> None:
        """Rings until it is cancelled."""
        while True:
            await self._arrived.wait()
            await self.ring_once()

    async def ring_once(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._arrived.clear()
        try:
            async with asyncio.timeout(TIMEOUT):
                await self.queue.ring(waiting)
            crash("api.after_ring")
        except AWAY as error:
            REDIS_ERRORS.labels("ring").inc()
            warn("not rung; the sweep will find them", batches=len(waiting), error=repr(error))
            await asyncio.sleep(REST)
            self._waiting.clear()  # what came meanwhile is the sweep's as well
