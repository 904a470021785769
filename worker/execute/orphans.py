"""Tasks that nobody waits for: runners that did not stop in their time, runs whose thread went on, offers under way.

They are held until they are done, and cancelled with the executor. Refused here: waiting for them.
"""

import asyncio
from dataclasses import dataclass, field

import structlog

log = structlog.get_logger()


@dataclass(slots=True)
class Orphans:
    _tasks: set[asyncio.Task[object]] = field(default_factory=set)

    def take(self, task: asyncio.Task[object]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._bury)

    @property
    def linger(self) -> bool:
        """Whether any of them is not done."""
        return any(not task.done() for task in self._tasks)

    def cancel(self) -> None:
        for task in list(self._tasks):
            task.cancel()

    def _bury(self, task: asyncio.Task[object]) -> None:
        """It is done after all; what it raised is nobody's any more."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("a runner that was given up failed", error=repr(error))
