"""What each process holds, read from outside every two seconds: memory, descriptors, connections, threads, tasks.

Clients come and go: a connection of theirs is a descriptor and a task, and neither counts among the process' own.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from urllib.parse import urlsplit

import aiohttp
import psutil

from tests.faults.processes import Member

EVERY = 2.0  # seconds
TIMEOUT = aiohttp.ClientTimeout(total=1.5)  # of a look at `/metrics`: one that is stopped is passed over
MIB = 1 << 20
TASKS = "threadmill_tasks "


@dataclass(frozen=True, slots=True)
class Reading:
    """Of one process at one moment. `memory` (MiB) is what nobody shares with it; `tasks` None: it did not say."""

    memory: float
    resident: float  # MiB
    clients: int  # connections to its own port
    descriptors: int
    postgres: int  # connections
    redis: int  # connections
    threads: int
    children: int
    tasks: int | None


COUNTS = tuple(one.name for one in fields(Reading) if one.name not in ("memory", "resident", "clients"))


@dataclass(slots=True)
class Sampler:
    members: Iterable[Member]
    session: aiohttp.ClientSession
    ports: Mapping[str, tuple[int, int]]  # name of a member -> the ports at which it finds Postgres and Redis
    series: dict[str, list[tuple[float, Reading]]] = field(default_factory=dict)

    async def run(self) -> None:
        """Reads until it is cancelled."""
        due = time.monotonic()
        while True:
            now = time.monotonic()
            for name, reading in (await self.look()).items():
                self.series.setdefault(name, []).append((now, reading))
            due += EVERY
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def look(self) -> dict[str, Reading]:
        members = list(self.members)
        readings = await asyncio.gather(*map(self._read, members))
        return {member.name: reading for member, reading in zip(members, readings, strict=True)}

    async def _read(self, member: Member) -> Reading:
        """Raises psutil.NoSuchProcess where it is gone: those that are read must live."""
        tasks = await self._tasks(member)
        process = psutil.Process(member.process.pid)
        memory, own = process.memory_full_info(), urlsplit(member.url).port
        ends = [(one.laddr.port, one.raddr.port) for one in process.net_connections("tcp4") if one.raddr]
        there = Counter(theirs for _, theirs in ends)
        clients = sum(ours == own for ours, _ in ends)
        postgres, redis = self.ports[member.name]
        return Reading(
            memory=memory.uss / MIB,
            resident=memory.rss / MIB,
            clients=clients,
            descriptors=process.num_fds() - clients,
            postgres=there[postgres],
            redis=there[redis],
            threads=process.num_threads(),
            children=len(process.children()),
            tasks=None if tasks is None else tasks - clients,
        )

    async def _tasks(self, member: Member) -> int | None:
        try:
            async with self.session.get(f"{member.url}/metrics", timeout=TIMEOUT) as response:
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError):
            return None
        return next((int(float(line.split()[1])) for line in text.splitlines() if line.startswith(TASKS)), None)
