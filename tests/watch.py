"""Waiting for what others do: asked again and again, bounded, never by a fixed sleep."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

LOOK_EVERY = 0.005  # seconds


async def until(look: Callable[[], Awaitable[T | None]], timeout: float = 10.0) -> T:
    """What `look` returns once it is true. Raises TimeoutError after `timeout` seconds."""
    async with asyncio.timeout(timeout):
        while not (found := await look()):  # noqa: ASYNC110 - what others do in Postgres sets no event here
            await asyncio.sleep(LOOK_EVERY)
        return found
