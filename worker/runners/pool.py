"""Children that are ready for a run, made ahead; and the end of each of them.

Refused: a child without an owner, and a second run in one.
"""

import asyncio
import os
from collections import deque
from collections.abc import Mapping

import structlog

from shared.metrics import RUNNER_CHILDREN
from shared.tasks import end
from worker.runners.failing import RunnerError
from worker.runners.process import Child

log = structlog.get_logger()

RETRY = 1.0  # seconds until the next try to start a child ahead
STARTING = 2  # children that start at once: more only take longer, each of them


class Pool:
    """Keeps `size` children ready. Of one event loop; `close` it before the loop ends."""

    def __init__(self, size: int = 0, environment: Mapping[str, str] = os.environ) -> None:
        if size < 0:
            raise ValueError("size: 0 or more")
        self._size = size
        self._environment = environment
        self._warm: deque[Child] = deque()
        self._children: set[Child] = set()
        self._endings: set[asyncio.Task[str]] = set()
        self._starting = asyncio.Semaphore(STARTING)
        self._filling: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def warm(self) -> int:
        """How many children wait for a run."""
        return len(self._warm)

    def fill(self) -> None:
        """Starts what is missing, in the background. `take` calls it, too."""
        if not self._closed and (self._filling is None or self._filling.done()):
            self._filling = asyncio.create_task(self._fill(), name="warm children")

    async def take(self) -> Child:
        """A child for one run; `bury` it. A cold one where none is warm. Raises RunnerError."""
        while self._warm:
            child = self._warm.popleft()
            self.fill()
            if not child.gone():
                RUNNER_CHILDREN.labels("warm").inc()
                return child
            self.bury(child, 0)
        child = await self._start()
        self.fill()
        RUNNER_CHILDREN.labels("cold").inc()
        return child

    def bury(self, child: Child, linger: float) -> "asyncio.Task[str]":
        """Ends it in the background, `linger` seconds from now at the latest. The task says how it ended."""
        ending = asyncio.create_task(child.end(linger), name="a child's end")
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        ending.add_done_callback(lambda _: self._children.discard(child))
        return ending

    async def close(self) -> None:
        """Ends all children at once. Call it after the runs: one that is still under way fails as crashed."""
        self._closed = True
        if self._filling is not None:
            await end((self._filling,))
        while self._warm:
            self.bury(self._warm.popleft(), 0)
        for child in self._children:
            child.kill()
        if self._endings:
            await asyncio.wait(self._endings)  # each has its bound

    async def _start(self) -> Child:
        async with self._starting:
            self._check_open()
            child = await Child.start(self._environment)
            self._children.add(child)
        if self._closed:  # meanwhile
            await self.bury(child, 0)
        self._check_open()
        return child

    def _check_open(self) -> None:
        if self._closed:
            raise RunnerError("The worker stops.", code="runner.unavailable", retryable=True)

    async def _fill(self) -> None:
        while len(self._warm) < self._size:
            try:
                self._warm.append(await self._start())
            except RunnerError as error:
                log.warning("no child could be started ahead", error=error.message)
                await asyncio.sleep(RETRY)
