"""Ending tasks and their waits, and a process that lost one.

Refused: waiting for one that was told only once; a library may swallow a cancellation.
"""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import structlog

log = structlog.get_logger()

T = TypeVar("T")

AGAIN = 0.2  # seconds after which a task that still runs is cancelled again


def about(seconds: float, by: float = 0.2) -> float:
    """Seconds to wait, more or less by that share: many who wait alike don't come back together."""
    return seconds * random.uniform(1 - by, 1 + by)  # noqa: S311 - no secret


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancels the tasks until each has ended, however it ended."""
    tasks = list(tasks)
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN)
    await asyncio.gather(*tasks, return_exceptions=True)  # looked at, so that asyncio does not complain


class Rest:
    """The wait of a loop that has nothing in hand: somebody else may end it, and every later one."""

    __slots__ = ("_over", "_timeout")

    def __init__(self) -> None:
        self._over = False
        self._timeout: asyncio.Timeout | None = None

    def end(self) -> None:
        if self._over:
            return
        self._over = True
        if self._timeout is not None:
            self._timeout.reschedule(0)  # of the loop's clock: long ago

    async def of(self, wait: Callable[[], Awaitable[T]]) -> T | None:
        """What is waited for, or None where the rest is over."""
        if self._over:
            return None
        timeout = self._timeout = asyncio.timeout(None)
        try:
            async with timeout:
                return await wait()
        except TimeoutError:
            if not timeout.expired():
                raise
            return None
        finally:
            self._timeout = None


def stop_process(task: asyncio.Task[Any]) -> None:
    """For a loop that ends with an error: ends the process in good order, and its supervisor starts a whole one."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a loop ended", loop=task.get_name(), exc_info=error)
        os.kill(os.getpid(), signal.SIGTERM)
