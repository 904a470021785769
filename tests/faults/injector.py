"""Faults, one a second, seeded: what is hit and how. A process is hit at most once in five seconds."""

import asyncio
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field

from tests.faults.processes import Member, Stack

EVERY = 1.0  # seconds between faults
SPARED = 5.0  # seconds after a hit in which the same process is not hit again
STOPPED = 1.0  # seconds that a stopped process stays so
KINDS = ("kill api", "kill worker", "stop api", "stop worker", "flush redis", "kill backend")
WEIGHTS = (20, 25, 10, 15, 10, 20)


@dataclass(slots=True)
class Injector:
    stack: Stack
    rng: random.Random
    most: int | None = None
    weights: tuple[int, ...] = WEIGHTS
    done: Counter[str] = field(default_factory=Counter)
    _stopped: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def total(self) -> int:
        return sum(self.done.values())

    async def run(self) -> None:
        """Injects until it is cancelled or `most` are done; every stopped process goes on."""
        try:
            while self.most is None or self.total < self.most:
                await asyncio.sleep(EVERY)
                await self.inject()
        finally:
            if self._stopped:
                await asyncio.wait(self._stopped)

    async def inject(self) -> None:
        """One fault, of the first kind in a weighted draw that finds something to hit."""
        kinds = {kind: weight for kind, weight in zip(KINDS, self.weights, strict=True) if weight}
        for kind in sorted(kinds, key=lambda kind: self.rng.random() ** (1 / kinds[kind]), reverse=True):
            if await self._hit(kind):
                self.done[kind] += 1
                return

    async def _hit(self, kind: str) -> bool:
        match kind:
            case "kill api":
                return await self._kill(self.stack.apis)
            case "kill worker":
                return await self._kill(self.stack.workers)
            case "stop api":
                return self._stop(self.stack.apis)
            case "stop worker":
                return self._stop(self.stack.workers)
            case "flush redis":
                await self.stack.servers.flush_redis()
                return True
            case _:
                return await self._kill_backend()

    def _target(self, members: list[Member]) -> Member | None:
        now = time.monotonic()
        free = [member for member in members if now - member.hit_at > SPARED]
        return self.rng.choice(free) if free else None

    async def _kill(self, members: list[Member]) -> bool:
        member = self._target(members)
        if member is not None:
            await member.kill()
            member.restart()
        return member is not None

    def _stop(self, members: list[Member]) -> bool:
        member = self._target(members)
        if member is not None:
            member.signal(signal.SIGSTOP)
            task = asyncio.create_task(_go_on(member))
            self._stopped.add(task)
            task.add_done_callback(self._stopped.discard)
        return member is not None

    async def _kill_backend(self) -> bool:
        db = await self.stack.database()
        try:
            rows = await db.fetch(
                "select pid from pg_stat_activity where datname = current_database()"
                " and application_name like 'threadmill%' order by pid"
            )
            if rows:
                await db.execute("select pg_terminate_backend($1)", self.rng.choice(rows)["pid"])
            return bool(rows)
        finally:
            await db.close()


async def _go_on(member: Member) -> None:
    await asyncio.sleep(STOPPED)
    member.process.send_signal(signal.SIGCONT)
