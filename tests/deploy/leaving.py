"""A runner that leaves processes behind: one ends by itself, one would go on; both outlive the child that made them."""

import subprocess
from collections.abc import AsyncIterator

from worker.runners import Context, MessageEnd, Output, TextDelta


async def run(_: Context) -> AsyncIterator[Output]:
    for seconds in ("0.2", "600"):
        subprocess.Popen(["sh", "-c", f"sleep {seconds}"], stdin=subprocess.DEVNULL)  # noqa: ASYNC220 - a few milliseconds
    yield TextDelta("left two behind")
    yield MessageEnd()
