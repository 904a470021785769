"""What each process holds, read from outside every second or two: memory, descriptors, connections, threads, tasks."""

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields

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
    descriptors: int
    connections: int  # to Postgres and Redis
    threads: int
    children: int
    tasks: int | None


COUNTS = tuple(one.name for one in fields(Reading) if one.name not in ("memory", "resident"))


@dataclass(slots=True)
class Sampler:
    members: Iterable[Member]
    session: aiohttp.ClientSession
    servers: Mapping[str, frozenset[int]]  # name of a member -> the ports at which it finds its servers
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
        memory, ports = process.memory_full_info(), self.servers[member.name]
        return Reading(
            memory=memory.uss / MIB,
            resident=memory.rss / MIB,
            descriptors=process.num_fds(),
            connections=sum(bool(one.raddr) and one.raddr.port in ports for one in process.net_connections("tcp4")),
            threads=process.num_threads(),
            children=len(process.children()),
            tasks=tasks,
        )

    async def _tasks(self, member: Member) -> int | None:
        try:
            async with self.session.get(f"{member.url}/metrics", timeout=TIMEOUT) as response:
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError):
            return None
        return next((int(float(line.split()[1])) for line in text.splitlines() if line.startswith(TASKS)), None)
