"""An api and workers as processes of their own, and every line that they write."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from shared.settings import Settings

STARTED = {"api": "api listening", "worker": "worker started"}


@dataclass(slots=True)
class Logged:
    """A process and all that it wrote."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, started: str) -> None:
        """Reads until the process ends; says when it wrote `started`."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode())
            if started in self.lines[-1]:
                self.started.set()

    @property
    def text(self) -> str:
        return "".join(self.lines)

    @property
    def told(self) -> list[dict[str, Any]]:
        """Its lines, each of which is one JSON object."""
        return [json.loads(line) for line in self.lines]

    @property
    def url(self) -> str:
        """Where it listens, if it is an api."""
        found = re.search(r"http://[^\s\"]+", self.text)
        assert found is not None
        return found[0]

    async def stop(self) -> None:
        if self.process.returncode is None:
            self.process.terminate()
        await self.process.wait()


@asynccontextmanager
async def running(settings: Settings, module: str, **variables: str) -> AsyncIterator[Logged]:
    """`python -m <module>` on any free port, from when it says that it started; stopped by SIGTERM."""
    environment = {
        **os.environ,
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "THREADMILL_REDIS_PREFIX": settings.redis_prefix,
        "THREADMILL_PORT": "0",
        **variables,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=1 << 20,
    )
    logged = Logged(process)
    reader = asyncio.create_task(logged.read(STARTED[module]))
    try:
        await asyncio.wait_for(logged.started.wait(), 20)
        yield logged
    finally:
        await logged.stop()
        await reader
