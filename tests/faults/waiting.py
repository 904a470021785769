"""Waiting for what a test can only look for: bounded, and saying what did not come."""

import asyncio
import time
from collections.abc import Awaitable, Callable

LOOK_EVERY = 0.02  # seconds


async def until(what: str, look: Callable[[], Awaitable[object]], within: float = 20.0) -> float:
    """Looks until it is true; returns the seconds that took. Raises TimeoutError that says `what`."""
    began = time.monotonic()
    while not await look():
        if time.monotonic() - began > within:
            raise TimeoutError(f"not within {within} s: {what}")
        await asyncio.sleep(LOOK_EVERY)
    return time.monotonic() - began
