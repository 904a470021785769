"""Runners of the bench's own: a worker loads them as it loads an author's, by `bench.runners:ticks`."""

import asyncio
import random
import time
from collections.abc import AsyncIterator

from worker.runners import Context, Output, TextDelta


async def ticks(ctx: Context) -> AsyncIterator[Output]:
    """Says what time it is, `rate` times a second, `seconds` long: `<ns> `, so that who reads it knows how old it is.

    Each begins at a moment of its own, as streams of different users do. `size`: characters of each piece.
    """
    rate, size = ctx.config["rate"], ctx.config.get("size", 0)
    clock = asyncio.get_running_loop().time
    due = clock() + random.random() / rate
    for _ in range(round(ctx.config["seconds"] * rate)):
        await asyncio.sleep(due - clock())
        yield TextDelta(f"{time.time_ns()} ".rjust(size))
        due += 1 / rate
