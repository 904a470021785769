"""Ending tasks. Refused: waiting for one that was told only once; a library may swallow a cancellation."""

import asyncio
from collections.abc import Iterable
from typing import Any

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
