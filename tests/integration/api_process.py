"""`python -m api` of a test's own: its settings, its log, its end."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared import ids
from shared.settings import Settings

ROOT = Path(__file__).parents[2]
DRAINED = 10.0  # seconds; what is under way here ends at once


@dataclass(slots=True)
class Process:
    process: asyncio.subprocess.Process
    port_file: Path
    log: list[dict[str, Any]] = field(default_factory=list)

    async def url(self) -> str:
        """Where it listens, once it says so."""
        while not (self.log and self.log[-1]["event"] == "api listening"):
            line = await self._read()
            assert line is not None
        assert self.log[-1]["url"].endswith(f":{port_in(self.port_file)}")
        return str(self.log[-1]["url"])

    async def end(self, number: int = signal.SIGTERM) -> int:
        """Its exit code after a signal."""
        self.process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        """Its exit code, once it has ended by itself; its log is whole then."""
        async with asyncio.timeout(DRAINED):
            while await self._read() is not None:
                pass
            return await self.process.wait()

    async def _read(self) -> dict[str, Any] | None:
        assert self.process.stderr is not None
        line = await self.process.stderr.readline()
        if not line:
            return None
        self.log.append(json.loads(line))
        return self.log[-1]


def port_in(file: Path) -> int:
    return int(file.read_text(encoding="utf-8"))


def environment(settings: Settings, **more: str) -> Mapping[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "THREADMILL_REDIS_PREFIX": settings.redis_prefix,
        "THREADMILL_ENV": "test",
        "THREADMILL_PORT": "0",
        **more,
    }


@asynccontextmanager
async def an_api(settings: Settings, directory: Path, *options: str, **more: str) -> AsyncIterator[Process]:
    port_file = directory / ids.mint()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api", "--port-file", str(port_file), *options),
        env=environment(settings, **more),
        cwd=ROOT,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Process(process, port_file)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
