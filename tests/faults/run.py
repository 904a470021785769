"""The fault run: `python -m tests.faults.run`, or `make faults`. Two apis, three workers, a fault a second, a checker.

SEEDS=1,2,3 (default 1) gives one run a seed. MINUTES=5 makes each as long as that; without it a run is 20,000 batches.
Exit 1 where the checker finds anything, or where a run was too quiet to mean something.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
from redis.asyncio import Redis

from shared.keys import Keys
from tests.faults import tables
from tests.faults.checker import check
from tests.faults.clients import Load, Sender, chance
from tests.faults.injector import WEIGHTS, Injector
from tests.faults.processes import Stack
from tests.faults.servers import Servers
from tests.faults.violations import Kind, Violation
from tests.faults.waiting import until
from tests.pipeline import PARTITIONS

QUIET = 40.0  # seconds after the last answer in which everything must be applied and every waiting set empty
UNBOUNDED = 100_000_000  # batches


@dataclass(frozen=True, slots=True)
class Plan:
    seed: int = 1
    batches: int = 20_000
    threads: int = 200
    clients: int = 32
    apis: int = 2
    workers: int = 3
    pace: float = 400.0
    seconds: float | None = None
    prefer_async: float = 0.4
    repeated: float = 0.1
    weights: tuple[int, ...] = WEIGHTS
    testing: str = ""  # faults built into every process
    least_acknowledged: int = 10_000
    least_faults: int = 30
    least_retries: int = 300


@dataclass(frozen=True, slots=True)
class Report:
    plan: Plan
    violations: Sequence[Violation]
    sent: int
    acknowledged: int
    unknown: int
    repeats: int
    retries: int
    faults: Counter[str]
    seconds: float
    quiet_after: float

    @property
    def kinds(self) -> Counter[Kind]:
        return Counter(violation.kind for violation in self.violations)

    @property
    def too_quiet(self) -> list[str]:
        """What happened less often than it must for the run to count."""
        wanted = (
            ("acknowledged", self.acknowledged, self.plan.least_acknowledged),
            ("faults", sum(self.faults.values()), self.plan.least_faults),
            ("retries", self.retries, self.plan.least_retries),
        )
        return [f"{name}: {had} of {least}" for name, had, least in wanted if had < least]

    def line(self) -> str:
        """One line of JSON."""
        kinds = {kind.value: self.kinds[kind] for kind in Kind}
        figures = ("sent", "acknowledged", "unknown", "repeats", "retries")
        return json.dumps(
            {
                "seed": self.plan.seed,
                **{name: getattr(self, name) for name in figures},
                "faults": dict(self.faults),
                "seconds": round(self.seconds, 1),
                "quiet_after": round(self.quiet_after, 1),
                **kinds,
            }
        )


async def fault_run(plan: Plan, servers: Servers) -> Report:
    """One run on a database of its own; the Redis is emptied first."""
    await servers.flush_redis()
    async with Stack(servers, await servers.new_database(), servers.redis.url) as stack:
        for _ in range(plan.apis):
            stack.api(testing=plan.testing)
        for _ in range(plan.workers):
            stack.worker(testing=plan.testing)
        access = await stack.access()
        await stack.ready()
        sender = Sender(stack.session, [api.url for api in stack.apis], access.token, chance(plan.seed))
        threads = [await sender.create_thread(access.agent) for _ in range(plan.threads)]
        batches = UNBOUNDED if plan.seconds is not None else plan.batches
        load = Load(
            sender=sender,
            threads=threads,
            seed=plan.seed,
            batches=batches,
            clients=plan.clients,
            pace=plan.pace,
            seconds=plan.seconds,
            prefer_async=plan.prefer_async,
            repeated=plan.repeated,
        )
        injector = Injector(stack, chance(plan.seed), weights=plan.weights)
        began = time.monotonic()
        await _under_faults(load, injector)
        seconds = time.monotonic() - began
        return await _report(plan, stack, load, injector, seconds)


async def _under_faults(load: Load, injector: Injector) -> None:
    faults = asyncio.create_task(injector.run())
    await load.run()
    faults.cancel()
    await asyncio.wait([faults])
    if not faults.cancelled() and (error := faults.exception()) is not None:
        raise error


async def _report(plan: Plan, stack: Stack, load: Load, injector: Injector, seconds: float) -> Report:
    db, redis, keys = await stack.database(), Redis.from_url(stack.redis_url), Keys()
    try:
        quiet_after = await _settle(stack, db, redis, keys)
        found = await tables.read(db, redis, keys, PARTITIONS)
    finally:
        await db.close()
        await redis.aclose()
    return Report(
        plan=plan,
        violations=check(load.history, found),
        sent=len(load.history),
        acknowledged=sum(request.acknowledged for request in load.history),
        unknown=sum(not request.acknowledged and not request.refused for request in load.history),
        repeats=load.repeats,
        retries=load.sender.retries,
        faults=injector.done,
        seconds=seconds,
        quiet_after=quiet_after,
    )


async def _settle(stack: Stack, db: asyncpg.Connection, redis: Redis, keys: Keys) -> float:
    """Waits for quiet, at most `QUIET` seconds: the checker says what did not come to it."""

    async def quiet() -> bool:
        left = await db.fetchval("select count(*) from batches where applied_at is null")
        return not left and not await tables.count_waiting(redis, keys, PARTITIONS)

    try:
        return await until("all is quiet", quiet, QUIET)
    except TimeoutError:
        return QUIET


async def main() -> int:
    seeds = [int(seed) for seed in os.environ.get("SEEDS", "1").split(",")]
    minutes = os.environ.get("MINUTES")
    seconds = None if minutes is None else float(minutes) * 60
    servers, failed = Servers(), False
    try:
        await servers.start()
        for seed in seeds:
            report = await fault_run(Plan(seed=seed, seconds=seconds), servers)
            sys.stdout.write(f"{report.line()}\n")
            sys.stdout.flush()
            for trouble in (*report.too_quiet, *map(str, report.violations[:50])):
                sys.stderr.write(f"{trouble}\n")
            failed |= bool(report.too_quiet or report.violations)
    finally:
        await servers.stop()
    return int(failed)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # its servers and processes end with it
    sys.exit(asyncio.run(main()))
