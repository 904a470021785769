"""Clients of a measurement in a process of their own: one line of JSON in, one when they are ready, one at the end.

They end by themselves, or when their standard input is closed, or with us.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from bench.load import LoadError

READY = 30.0  # seconds for thousands of connections


class Crowd:
    def __init__(self, module: str, process: asyncio.subprocess.Process) -> None:
        self.ready: dict[str, Any] = {}  # what they said when they were
        self._module = module
        self._process = process

    async def line(self, patience: float) -> dict[str, Any]:
        """What they say next. Raises LoadError where they ended instead, TimeoutError."""
        out, err = self._process.stdout, self._process.stderr
        if out is None or err is None:
            raise LoadError(f"{self._module} has no pipes")
        async with asyncio.timeout(patience):
            text = await out.readline()
            if not text:
                last = (await err.read()).decode()[-500:]
                raise LoadError(f"{self._module} ended with {await self._process.wait()}: {last}")
        found: dict[str, Any] = json.loads(text)
        return found

    async def end(self, patience: float) -> dict[str, Any]:
        """Tells them to end; returns their figures. Raises LoadError, TimeoutError."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        return await self.line(patience)

    async def stop(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def crowd(module: str, given: Mapping[str, Any]) -> AsyncIterator[Crowd]:
    """`python -m module`, ready; gone behind the block. Raises LoadError, TimeoutError."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, stdin=pipe, stdout=pipe, stderr=pipe, limit=1 << 20
    )
    found = Crowd(module, process)
    try:
        if process.stdin is not None:
            process.stdin.write(json.dumps(given).encode() + b"\n")
        found.ready = await found.line(READY)
        yield found
    finally:
        await found.stop()
