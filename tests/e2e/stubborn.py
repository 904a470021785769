"""A runner that does not let itself be stopped, for a test that looks whether it holds anybody up."""

import asyncio
from collections.abc import AsyncIterator

from worker.runners import Context, Output, TextDelta


async def run(ctx: Context) -> AsyncIterator[Output]:
    yield TextDelta("never")
    while True:
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            continue
