"""Faults as their schedule says: each is done at its time, lasts as long as it should, and is undone.

A process that was killed is hit again once it answers, and while many faults are under way or wait for that, the list
stands still: on a slow machine, where all takes its time to start, nobody would ever be up otherwise. That moves faults
behind their times; the list stays as it is.
"""

import asyncio
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from shared.db.connect import AWAY as POSTGRES_AWAY
from shared.queue import AWAY as REDIS_AWAY
from tests.faults.links import Links
from tests.faults.processes import Member, Stack
from tests.faults.schedule import HOUR, KINDS, WEIGHTS, Fault, schedule

AT_ONCE = 6  # faults under way; three or four are where processes start in two seconds
LOOK_EVERY = 0.2  # seconds between two looks whether a process answers
WORKS = 5.0  # seconds that a worker has to take a run, before it is stopped for its leases
ASKED = 3.0  # seconds to learn which leases a stopped worker has: they are another's when they ran out

_LEASES = "select count(*) from leases where owner in (select id from workers where pid = $1)"

__all__ = ["KINDS", "WEIGHTS", "Hit", "Injector"]


@dataclass(frozen=True, slots=True)
class Hit:
    """A fault that was injected; times are of the machine's clock, which is Postgres', in seconds."""

    fault: Fault
    began: float
    ended: float  # of what was done at once, as a kill: when it was done
    note: str = ""


@dataclass(slots=True)
class Injector:
    stack: Stack
    links: Links
    rng: random.Random
    weights: Sequence[int] = WEIGHTS
    executors: Sequence[str] | None = None  # names of the workers that execute, where not all do
    hits: list[Hit] = field(default_factory=list)
    missed: Counter[str] = field(default_factory=Counter)  # that nobody saw: nothing to hit, no time, an idle link
    under_way: dict[int, Fault] = field(default_factory=dict)
    _began: dict[int, float] = field(default_factory=dict)  # number of the fault -> when
    _turns: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def done(self) -> Counter[str]:
        return Counter(hit.fault.kind for hit in self.hits)

    async def run(self) -> None:
        """Injects until `end` is called; then all is undone, and every process goes on."""
        apis, workers = ([member.name for member in members] for members in (self.stack.apis, self.stack.workers))
        faults = schedule(self.rng, apis, workers, self.weights, self.executors)
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                await self._wait(began + fault.at - time.monotonic())
                while len(self.under_way) >= AT_ONCE and not self._over.is_set():
                    await self._wait(LOOK_EVERY)
                began = max(began, time.monotonic() - fault.at)
                if self._over.is_set():
                    return
                group.create_task(self.inject(fault))

    def end(self) -> None:
        self._over.set()

    async def inject(self, fault: Fault) -> None:
        """One fault, from its beginning to its end."""
        self._begins(fault)
        note = await self._ways()[fault.kind](fault)
        del self.under_way[fault.number]
        if note is None:
            self.missed[fault.kind] += 1
        else:
            self.hits.append(Hit(fault, self._began[fault.number], time.time(), note))

    def _begins(self, fault: Fault) -> None:
        self.under_way[fault.number] = fault
        self._began[fault.number] = time.time()

    def _ways(self) -> dict[str, Callable[[Fault], Awaitable[str | None]]]:
        """What does each kind: returns a note, or None where there was nothing to hit."""
        return {
            "kill api": self._kill,
            "kill worker": self._kill,
            "turn clock": self._turn_clock,
            "stop api": self._stop,
            "stop worker": self._stop,
            "stop worker past its lease": partial(self._stop, leases=True),
            "flush redis": self._flush_redis,
            "restart redis": self._restart_redis,
            "kill backend": self._kill_backend,
            "stop postgres": self._stop_postgres,
            "fill disk": self._fill_disk,
            "delay link": self._disturb,
            "cut link": self._disturb,
            "silence requests": self._disturb,
            "silence replies": self._disturb,
            "lose replies": self._disturb,
        }

    async def _wait(self, seconds: float) -> None:
        """At most until the faults are over."""
        try:
            await asyncio.wait_for(self._over.wait(), max(0.0, seconds))
        except TimeoutError:
            return

    @asynccontextmanager
    async def _living(self, fault: Fault) -> AsyncIterator[Member | None]:
        """The process that is to be hit, once it answers, for one fault at a time; None where all is over before,
        or it ended by itself."""
        member = next(member for member in self.stack.members if member.name == fault.target)
        async with self._turns[member.name]:
            while not self._over.is_set() and member.lives and not await self.stack.is_alive(member):
                await self._wait(LOOK_EVERY)
            yield None if self._over.is_set() or not member.lives else member

    async def _kill(self, fault: Fault) -> str | None:
        async with self._living(fault) as member:
            if member is None:
                return None
            self._begins(fault)
            await member.kill()
            member.restart()
            return ""

    async def _turn_clock(self, fault: Fault) -> str | None:
        """Killed, and started an hour ahead or behind; one that is off already is put right."""
        async with self._living(fault) as member:
            if member is None:
                return None
            clock = 0 if member.clock else HOUR if fault.chance < 0.5 else -HOUR
            self._begins(fault)
            await member.kill()
            member.restart(clock)
            return f"{clock:+d} s"

    async def _stop(self, fault: Fault, leases: bool = False) -> str | None:
        """Where it is for the `leases` of a worker, it must have some, and be stopped to the end: it is waited for."""
        async with self._living(fault) as member:
            if member is None or (leases and not await self._has_leases(member)):
                return None
            self._begins(fault)
            member.signal(signal.SIGSTOP)
            held = await self._leases(member) if leases else 0
            await self._wait(fault.lasts)
            member.signal(signal.SIGCONT)
        if not leases:
            return ""
        return f"{held} leases" if held and not self._over.is_set() else None

    async def _has_leases(self, member: Member) -> bool:
        """Whether a worker comes to have some, soon."""
        end = time.monotonic() + WORKS
        while not self._over.is_set() and time.monotonic() < end:
            if await self._leases(member):
                return True
            await self._wait(LOOK_EVERY)
        return False

    async def _leases(self, member: Member) -> int:
        """That a worker has; 0 where Postgres can't be asked for long, or all is over."""
        end = time.monotonic() + ASKED
        while not self._over.is_set() and time.monotonic() < end:
            try:
                db = await self.stack.database()
                try:
                    return int(await db.fetchval(_LEASES, member.process.pid))
                finally:
                    db.terminate()
            except POSTGRES_AWAY:
                await self._wait(LOOK_EVERY)
        return 0

    async def _flush_redis(self, _: Fault) -> str | None:
        try:
            await self.stack.servers.flush_redis()
        except REDIS_AWAY:
            return None
        return ""

    async def _restart_redis(self, fault: Fault) -> str:
        await self.stack.servers.kill_redis()
        await self._wait(fault.lasts)
        await self.stack.servers.start_redis()
        return ""

    async def _kill_backend(self, fault: Fault) -> str | None:
        try:
            return "" if await self.stack.servers.kill_backend(self.stack.database_url, fault.chance) else None
        except POSTGRES_AWAY:
            return None

    async def _stop_postgres(self, fault: Fault) -> str:
        servers = self.stack.servers
        await servers.stop_postgres(signal.SIGQUIT)
        await self._wait(fault.lasts)
        await servers.start_postgres()
        return ""

    async def _fill_disk(self, fault: Fault) -> str | None:
        """Half of them until Postgres cannot write its log either, and dies of it."""
        servers = self.stack.servers
        if servers.disk is None:
            return None
        servers.disk.fill()
        if fault.chance < 0.5:
            await servers.use_up_log()
        await self._wait(fault.lasts)
        servers.disk.free()
        return await servers.revive_postgres()

    async def _disturb(self, fault: Fault) -> str | None:
        """A link of its target: done, and healed. One on which nothing was said meanwhile had no fault."""
        how = "reset" if fault.chance < 0.5 else "close"
        weather: dict[str, dict[str, object]] = {
            "delay link": {"delay": round(0.01 + 0.2 * fault.chance, 3)},
            "cut link": {"refuses": True, "cut": how},
            "silence requests": {"silent": "up"},
            "silence replies": {"silent": "down"},
            "lose replies": {"loses": True},
        }
        await self.links.change(fault.link, **weather[fault.kind])
        await self._wait(fault.lasts)
        met = await self.links.heal(fault.link)
        return f"{met} met it" if met else None
