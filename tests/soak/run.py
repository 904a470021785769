"""The soak: `python -m tests.soak.run`, or `make soak MINUTES=35`: a mixed load with faults; what processes hold then.

Two apis and two workers are read every two seconds from beginning to end; a third of each is there to be killed.
MINUTES (35): a seventh of it is warm-up, behind which growth counts. PACE (2.0): of the load; slower, the caches
take longer than the warm-up to fill. FAULTS=no: without faults.
A table and a last line of JSON on standard output, how it goes on standard error. Exit 1 where something is not flat,
or where the load hardly got through.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from shared import accounts, agents
from shared.db.connect import open_pool
from shared.models import TokenKind
from tests.faults.clients import chance
from tests.faults.injector import Injector
from tests.faults.links import Links
from tests.faults.processes import Member, Stack
from tests.faults.servers import Servers
from tests.service import Client
from tests.soak.clients import BATCHES, Mix
from tests.soak.faults import KILL, Trouble
from tests.soak.readings import EVERY, Reading, Sampler
from tests.soak.verdict import Check, grown, left, table, unknown

READ = 2  # apis, and workers, that are read
PROCESSES = [f"{kind}-{n}" for kind in ("api", "worker") for n in range(READ)]
WARM_UP = 1 / 7  # of 35 minutes: 5
LOOKS = 5  # at most, where one is too busy to say what it holds
SETTLED = 12.0  # seconds of the load behind a rest until as many streams are open as will be
REST = 12.0  # seconds without a load before what is held at rest is read: closed connections are gone then
LEAST = 0.6  # share of each sort of client that must get through
ENOUGH = 0.5  # share of the batches and of the readings that there are where nothing is slow
FAULTS, KILLS = 5.0, 1.0  # a minute behind the warm-up, at least: about half of those that are planned
SAY_EVERY = 30.0

Say = Callable[[str], object]
Change = Callable[[Stack], Awaitable[None]]


async def unchanged(_: Stack) -> None:
    """The processes as they are."""


@dataclass(frozen=True, slots=True)
class Plan:
    seconds: float
    pace: float = 1.0
    faults: bool = True
    seed: int = 1
    rest: float = REST


@dataclass(slots=True)
class Soak:
    """What one run came to."""

    plan: Plan
    checks: list[Check] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)
    disturbed: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    readings: dict[str, int] = field(default_factory=dict)  # behind the warm-up
    last: dict[str, Reading] = field(default_factory=dict)  # at rest, at the end

    @property
    def dry(self) -> list[str]:
        """Sorts of clients of which too few got through: batches are sent again until they do."""
        return [
            name
            for name in sorted({*self.done, *self.disturbed} - {"batches"})
            if not (done := self.done.get(name, 0)) or done < LEAST * (done + self.disturbed.get(name, 0))
        ]

    @property
    def lacking(self) -> list[str]:
        """What was too little, or not looked at, for the run to mean something."""
        seconds = self.plan.seconds * (1 - WARM_UP)
        kills = self.faults.get(KILL, 0)
        wanted = [
            ("batches", self.done.get("batches", 0), ENOUGH * BATCHES * self.plan.pace * self.plan.seconds),
            *((f"readings of {name}", self.readings.get(name, 0), ENOUGH * seconds / EVERY) for name in PROCESSES),
        ]
        if self.plan.faults:
            wanted += [
                ("faults", sum(self.faults.values()) - kills, FAULTS * seconds / 60),
                ("kills", kills, KILLS * seconds / 60),
            ]
        return [
            *(
                f"only {count} {what}, at least {least:.0f} were wanted"
                for what, count, least in wanted
                if count < least
            ),
            *(f"not known of {what}" for what in unknown(self.checks, PROCESSES)),
        ]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks) and not self.dry and not self.lacking

    def document(self) -> dict[str, Any]:
        return {
            "minutes": round(self.plan.seconds / 60, 1),
            "passed": self.passed,
            "dry": self.dry,
            "lacking": self.lacking,
            "done": self.done,
            "disturbed": self.disturbed,
            "faults": self.faults,
            "resident_mib": {name: round(reading.resident, 1) for name, reading in self.last.items()},
            "checks": [check.document() for check in self.checks],
        }


@dataclass(slots=True)
class House:
    """All processes, ready, and who is read."""

    stack: Stack
    links: Links
    read: list[Member]
    others: list[Member]
    ports: dict[str, tuple[int, int]]


async def soak(plan: Plan, servers: Servers, say: Say, change: Change = unchanged) -> Soak:
    """One run on a database of its own. `change` is done to the processes before they are waited for."""
    async with _house(servers, change) as house, _mix(house, plan) as mix:
        sampler = Sampler(house.read, house.stack.session, house.ports)
        trouble = Trouble(
            Injector(house.stack, house.links, chance(plan.seed)), house.read, house.others, chance(plan.seed, 1)
        )
        found = Soak(plan)
        say("warm-up")
        await mix.run(plan.seconds * WARM_UP)
        before = await _at_rest(sampler, plan)
        since = time.monotonic() + SETTLED
        async with asyncio.TaskGroup() as group:
            helpers = [group.create_task(sampler.run()), group.create_task(_tell(mix, trouble, sampler, say))]
            troubling = group.create_task(trouble.run()) if plan.faults else None
            await mix.run(plan.seconds * (1 - WARM_UP))
            trouble.end()
            if troubling is not None:
                await troubling
            for helper in helpers:
                helper.cancel()
        say("at rest")
        found.last = await _at_rest(sampler, plan)
        found.checks = [*grown(sampler.series, since), *left(before, found.last)]
        found.readings = {name: sum(at >= since for at, _ in series) for name, series in sampler.series.items()}
        found.done = {name: mix.done[name] for name in mix.sorts}
        found.disturbed, found.faults = dict(mix.disturbed), dict(trouble.done)
        return found


async def _at_rest(sampler: Sampler, plan: Plan) -> dict[str, Reading]:
    """What each holds once nobody asks anything any more; asked again where one does not say all of it."""
    await asyncio.sleep(plan.rest)
    for _ in range(LOOKS):
        found = await sampler.look()
        if all(reading.tasks is not None for reading in found.values()):
            break
        await asyncio.sleep(EVERY)
    return found


async def _tell(mix: Mix, trouble: Trouble, sampler: Sampler, say: Say) -> None:
    while True:
        await asyncio.sleep(SAY_EVERY)
        last = {name: series[-1][1] for name, series in sampler.series.items()}
        held = ", ".join(f"{name} {r.memory:.0f} MiB {r.descriptors} fds {r.tasks} tasks" for name, r in last.items())
        say(f"{mix.done.total()} talks, {mix.disturbed.total()} disturbed, {trouble.done.total()} faults; {held}")


@asynccontextmanager
async def _house(servers: Servers, change: Change) -> AsyncIterator[House]:
    await servers.flush_redis()
    database = await servers.new_database()
    async with Links(servers.directory / "proxy.log") as links, Stack(servers, database, servers.redis.url) as stack:
        ports: dict[str, tuple[int, int]] = {}
        for name in PROCESSES:
            postgres = await links.add(f"{name}:postgres", database)
            redis = await links.add(f"{name}:redis", servers.redis.url)
            stack.ways[name] = postgres, redis
            ports[name] = urlsplit(postgres).port or 0, urlsplit(redis).port or 0
        files = str(servers.directory / "files")
        for _ in range(READ + 1):
            stack.api(files=files)
            stack.worker(role="all", files=files)
        await change(stack)
        await stack.ready()
        read = [*stack.apis[:READ], *stack.workers[:READ]]
        yield House(stack, links, read, [stack.apis[READ], stack.workers[READ]], ports)


@asynccontextmanager
async def _mix(house: House, plan: Plan) -> AsyncIterator[Mix]:
    """Clients at the apis that are read, with an account for each agent: a dialect takes its account's first one."""
    db = await open_pool(house.stack.database_url)

    async def client(name: str, url: str, **config: str) -> Client:
        account = await accounts.create_account(db, name)
        made = await accounts.create_token(db, account.id, TokenKind.HUMAN_PAT)
        agent = await agents.create_agent(db, account.id, name, "python", config=config, published=True)
        return Client(house.stack.session, url, account.id, made.token.id, made.secret.text, agent.id)

    try:
        urls = [member.url for member in house.stack.apis[:READ]]
        echo = await client("echo", urls[0], function="worker.runners.demo:echo")
        approve = await client("approve", urls[0], function="worker.runners.demo:approve")
        apart = await client("apart", urls[0], function="worker.runners.demo:echo", isolation="process")
        clients = [Client(echo.session, url, echo.account, echo.token_id, echo.token, echo.agent) for url in urls]
        yield Mix(clients, approve, apart, db, plan.pace, plan.seed)
    finally:
        db.terminate()


def _say(line: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")


async def main() -> int:
    minutes, pace = float(os.environ.get("MINUTES", "35")), float(os.environ.get("PACE", "2"))
    plan, servers = Plan(minutes * 60, pace, os.environ.get("FAULTS", "yes") != "no"), Servers()
    try:
        await servers.start()
        found = await soak(plan, servers, _say)
    finally:
        await servers.stop()
    sys.stdout.write(f"{table(found.checks)}\n{json.dumps(found.document())}\n")
    for fault in found.lacking:
        _say(fault)
    return 0 if found.passed else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # its servers and processes end with it
    sys.exit(asyncio.run(main()))
