"""`threadmill dev` for a run of requests: an api and a worker as processes, Postgres, Redis, the demo agents."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from shared.db.connect import connect

_COMMAND = (sys.executable, "-P", "-c", "from deploy.cli import main; main()", "dev", "--json", "--port", "0")
ROOT = Path(__file__).parents[2]
_SERVERS = ("DATABASE_URL", "REDIS_URL")
_LEFT = "select count(*) from batches where applied_at is null"  # parked ones, too
_FAILED = ("exception", "Traceback")  # in a log: what nobody expected


class NotReady(Exception):
    """The service did not start: its log says why."""


@dataclass(frozen=True, slots=True)
class Running:
    """What `threadmill dev` says of itself."""

    url: str
    token: str
    agents: dict[str, str]  # ids by name
    database_url: str
    log: Path

    def raised(self) -> list[str]:
        """Lines of the log that hold an exception."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return [line for line in lines if any(word in line for word in _FAILED)]

    async def nothing_left(self) -> bool:
        return await self.left() == 0

    async def left(self) -> int:
        """Batches that are not applied, or parked."""
        db: asyncpg.Connection = await connect(self.database_url)
        try:
            return int(await db.fetchval(_LEFT))
        finally:
            await db.close()


@contextmanager
def running(directory: Path) -> Iterator[Running]:
    """Raises NotReady."""
    log = directory / "service.log"
    environment = {name: value for name, value in os.environ.items() if name not in _SERVERS}
    with log.open("wb") as written:
        process = subprocess.Popen(
            [*_COMMAND, "--data", str(directory / "data")],
            stdout=subprocess.PIPE,
            stderr=written,
            cwd=ROOT,
            env=environment,
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise NotReady(log.read_text(encoding="utf-8"))
        told: dict[str, Any] = json.loads(line)
        yield Running(told["url"], told["token"], told["agents"], told["database_url"], log)
    finally:
        process.terminate()
        process.wait(30)
        process.stdout.close()
