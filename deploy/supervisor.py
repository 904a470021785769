"""Keeps children running: one that died is started again, with backoff, and said so.

Services (api, worker) end before the servers they use (Postgres, Redis). Refused: giving up; a child that can't
start is tried for as long as we run, and each try is one line.
"""

import asyncio
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from deploy import children
from deploy.children import Command, Process
from deploy.embedded import Server

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0  # seconds before a child is started again; doubled each time
_STEADY = 30.0  # seconds after which a child counts as healthy, and its next death as its first


@dataclass(slots=True)
class Child:
    command: Command
    process: Process
    started: float
    pause: float = _FIRST_PAUSE

    @property
    def pid(self) -> int:
        return self.process.pid


class Supervisor:
    """`say` gets one line for each death."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._servers: list[Child] = []
        self._services: list[Child] = []

    def adopt(self, server: Server) -> Child:
        """Watches a server that was started elsewhere."""
        child = Child(server.command, server.process, time.monotonic())
        self._servers.append(child)
        return child

    def start(self, command: Command) -> Child:
        """Starts a service and watches it. Raises OSError."""
        child = Child(command, children.spawn(command), time.monotonic())
        self._services.append(child)
        return child

    async def watch(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for child in (*self._servers, *self._services):
                group.create_task(self._keep(child), name=f"keep {child.command.name}")

    async def stop(self) -> None:
        """Ends all of it; what does not end in its time is killed."""
        for stage in (self._services, self._servers):
            await asyncio.gather(*(children.end(child.process, child.command) for child in stage))

    async def _keep(self, child: Child) -> None:
        while True:
            await children.exited(child.process)
            if time.monotonic() - child.started > _STEADY:
                child.pause = _FIRST_PAUSE
            code = child.process.returncode
            self._say(f"{child.command.name} (pid {child.pid}) ended with {code}; again in {child.pause:.1f} s")
            await asyncio.sleep(child.pause)
            child.pause = min(child.pause * 2, _LONGEST_PAUSE)
            self._restart(child)

    def _restart(self, child: Child) -> None:
        child.started = time.monotonic()
        try:
            child.process = children.spawn(child.command)
        except (OSError, subprocess.SubprocessError) as error:
            self._say(f"{child.command.name} can't be started: {error}")
