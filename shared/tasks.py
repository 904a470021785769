"""Ending tasks, and a process that lost one.

Refused: waiting for one that was told only once; a library may swallow a cancellation.
"""

import asyncio
import os
import signal
from collections.abc import Iterable
from typing import Any

import structlog

log = structlog.get_logger()

AGAIN = 0.2  # seconds after which a task that still runs is cancelled again


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancels the tasks until each has ended, however it ended."""
    tasks = list(tasks)
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=AGAIN)
    await asyncio.gather(*tasks, return_exceptions=True)  # looked at, so that asyncio does not complain


def stop_process(task: asyncio.Task[Any]) -> None:
    """For a loop that ends with an error: ends the process in good order, and its supervisor starts a whole one."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a loop ended", loop=task.get_name(), exc_info=error)
        os.kill(os.getpid(), signal.SIGTERM)
