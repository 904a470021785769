"""The processes of a rolling upgrade: of two services and two versions, started and ended in good order."""

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

import aiohttp

from tests.faults.clients import Sender
from tests.faults.processes import Member, Stack
from tests.faults.waiting import until
from tests.upgrade.versions import Version

EACH = {"apply": 2, "all": 1}  # apis, and workers, of a service and a version
READY = 90.0  # seconds for all of a version to be ready, on a machine that does much else
ROUTED = 0.2  # seconds in which what was on its way to an api has come
ENDED = 35.0  # seconds from SIGTERM to the end of a process
APPLIED = "threadmill_applied_batches_total"


@dataclass(slots=True)
class Fleet:
    """One service applies the batches of the load, the other executes; requests go to apis that are not told to end."""

    batches: Stack
    runs: Stack
    sender: Sender | None = None
    _of: dict[str, list[Member]] = field(default_factory=dict)  # version -> its members that run
    _retired: list[Member] = field(default_factory=list)
    _applied: Counter[str] = field(default_factory=Counter)  # version -> batches, by workers that ended

    async def start(self, version: Version) -> None:
        """Its apis and workers beside what runs."""
        members = [*self._start(self.batches, version, "apply"), *self._start(self.runs, version, "all")]
        await self.batches.ready(*members, within=READY)
        self._of[version.name] = members
        self._route()

    async def end(self, version: Version, *, apis_first: bool) -> None:
        """All of it, one after the other, each with SIGTERM. Raises AssertionError where one ends in disorder."""
        members = self._of[version.name]
        for member in sorted(members, key=lambda member: member.name.startswith("api") != apis_first):
            if member in self.batches.workers:
                self._applied[version.name] += await self._count(member)
            await self._end(member)
        self._of[version.name] = []

    async def applied(self) -> dict[str, int]:
        """Batches by the version of the worker."""
        found = self._applied.copy()
        for name, members in self._of.items():
            found[name] += sum([await self._count(member) for member in members if member in self.batches.workers])
        return dict(found)

    def _start(self, stack: Stack, version: Version, role: str) -> list[Member]:
        stack.root = version.root
        settings = {"redis_prefix": "runs:"} if stack is self.runs else {}
        workers = [stack.worker(clock=0, role=role, **settings) for _ in range(EACH[role])]
        return [*workers, *(stack.api(clock=0, **settings) for _ in range(EACH[role]))]

    async def _end(self, member: Member) -> None:
        self._retired.append(member)
        self._route()
        await asyncio.sleep(ROUTED)
        member.process.terminate()
        assert await member.died(ENDED) == 0, f"{member.name} ended in disorder: {member.log[-1000:]}"

    def _route(self) -> None:
        """As a load balancer that is told first who ends."""
        for stack in (self.batches, self.runs):
            stack.apis.sort(key=lambda member: member in self._retired)
        if self.sender is not None:
            self.sender.urls[:] = [api.url for api in self.batches.apis if api not in self._retired]

    async def _count(self, worker: Member) -> int:
        seen: list[float] = []

        async def look() -> bool:
            with suppress(TimeoutError, aiohttp.ClientError):
                seen.append(await self.batches.figure(worker, APPLIED))
            return bool(seen)

        await until(f"{worker.name} says what it applied", look)
        return int(seen[0])
