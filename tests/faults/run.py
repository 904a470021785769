"""The fault run: `python -m tests.faults.run`, or `make faults`. Apis, workers, a fault a second, a checker.

SEEDS=1,2,3 or 1-20 (default 1) gives one run a seed; MINUTES=5 (default 1) makes each as long as that. What each run
came to is a line of JSON on standard output, all of them together the last line; how it goes is told on standard error.
The faults of a seed are a list that follows from the seed alone; those that were injected are kept in `.data/faults/`.
Exit 1 where the checker finds anything, or where too little happened for all of it to mean something.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.faults.asked import match
from tests.faults.at_work import AtWork, at_work
from tests.faults.checker import check, check_known, check_stored
from tests.faults.clients import Load, Sender, ask_again, chance
from tests.faults.disk import CannotMountError
from tests.faults.history import created
from tests.faults.injector import WEIGHTS, Injector
from tests.faults.links import Links
from tests.faults.processes import Member, Stack, clock_by
from tests.faults.quiet import quiet_of
from tests.faults.report import Report, Summary
from tests.faults.servers import Servers
from tests.faults.users.crowd import LENGTHS, Crowd, crowd
from tests.faults.users.verdict import USERS
from tests.faults.violations import Kind, Violation

UNBOUNDED = 100_000_000  # batches
HANGS = "tests.odd_runners:hangs"  # a run of the batches goes on until it is cancelled, and those behind it wait
AT_ONCE = 1  # of these runs in one worker: what it costs to begin one is not for the batches' threads to spend
ROLES = ("all", "apply", "execute", "all")
STARTED = 120.0  # seconds that a loaded machine may take to start them all
TELL_EVERY = 5.0  # seconds between two lines about how it goes
LOGS = Path(__file__).parents[2] / ".data" / "faults"

Tell = Callable[[str], object]


class Talker(Protocol):
    """Clients of one sort, who end by themselves when the run's time is up."""

    async def run(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """Of one run: by `seconds`, or by `batches` where there are none."""

    seed: int = 1
    batches: int = UNBOUNDED
    threads: int = 200
    clients: int = 64
    apis: int = 2
    workers: int = 3
    pace: float = 400.0
    seconds: float | None = None
    prefer_async: float = 0.4
    repeated: float = 0.1
    weights: Sequence[int] = WEIGHTS
    testing: str = ""  # faults built into every process
    users: int = 0  # of all dialects, for `seconds`; without them nothing is executed
    lengths: Sequence[int] = LENGTHS  # seconds that their runs last, drawn from

    @property
    def roles(self) -> list[str]:
        """Of each worker."""
        return [ROLES[n % len(ROLES)] if self.users else "apply" for n in range(self.workers)]


async def fault_run(plan: Plan, servers: Servers, tell: Tell = lambda _: None) -> Report:
    """One run on a database of its own; the Redis is emptied first."""
    await servers.flush_redis()
    database = await servers.new_database()
    try:
        async with _stack(plan, servers, database) as (stack, links):
            access = await (stack.access(function=HANGS, at_once=AT_ONCE) if plan.users else stack.access())
            await stack.ready(within=STARTED)
            sender = Sender(stack.session, [api.url for api in stack.apis], access.token, chance(plan.seed))
            threads = [await sender.create_thread(access.agent) for _ in range(plan.threads)]
            load = Load(
                sender=sender,
                threads=threads,
                seed=plan.seed,
                batches=plan.batches,
                clients=plan.clients,
                pace=plan.pace,
                seconds=plan.seconds,
                prefer_async=plan.prefer_async,
                repeated=plan.repeated,
            )
            executors = [worker.name for worker, role in zip(stack.workers, plan.roles, strict=True) if role != "apply"]
            injector = Injector(stack, links, chance(plan.seed), plan.weights, executors)
            work = await at_work(stack, load, plan.roles)
            began = time.monotonic()
            async with crowd(stack, plan.seed, plan.users, plan.seconds or 0.0, plan.lengths) as users:
                await _under_faults([load, users], injector, _tell(load, injector, tell))
                return await _report(plan, users, load, work, injector, time.monotonic() - began)
    finally:
        await servers.drop_database(database)


@asynccontextmanager
async def _stack(plan: Plan, servers: Servers, database: str) -> AsyncIterator[tuple[Stack, Links]]:
    """All processes, each with links of its own to both servers."""
    async with Links(servers.directory / "proxy.log") as links, Stack(servers, database, servers.redis.url) as stack:
        names = [*(f"api-{n}" for n in range(plan.apis)), *(f"worker-{n}" for n in range(plan.workers))]
        for name in names:
            stack.ways[name] = (
                await links.add(f"{name}:postgres", database),
                await links.add(f"{name}:redis", servers.redis.url),
            )
        for _ in range(plan.apis):
            stack.api(testing=plan.testing)
        for role in plan.roles:
            stack.worker(role=role, testing=plan.testing)
        yield stack, links


async def _under_faults(talkers: Sequence[Talker], injector: Injector, telling: Coroutine[Any, Any, None]) -> None:
    """Until the last one ends; then every fault is undone."""
    async with asyncio.TaskGroup() as group:
        group.create_task(injector.run())
        told = group.create_task(telling)
        async with asyncio.TaskGroup() as talking:
            for talker in talkers:
                talking.create_task(talker.run())
        injector.end()
        told.cancel()


async def _tell(load: Load, injector: Injector, tell: Tell) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(TELL_EVERY)
        acknowledged = sum(request.acknowledged for request in load.history)
        now = ", ".join(map(str, injector.under_way.values())) or "nothing"
        tell(
            f"seed {load.seed}: {time.monotonic() - began:.0f} s, {acknowledged:,} acknowledged,"
            f" {load.sender.retries:,} retries, {len(injector.hits)} faults; under way: {now}"
        )


async def _report(plan: Plan, users: Crowd, load: Load, work: AtWork, injector: Injector, seconds: float) -> Report:
    stack = injector.stack
    async with quiet_of(stack) as quiet:
        counts, quiet_after = load.counts, await quiet.settle()
        idle, latest = await work.idle(), await quiet.now()
        quiet.violations += await users.finish()
        await quiet.settle()  # of what they began last
        requests = [*load.history, *work.history, *users.book.requests]
        stored = match(requests, (await quiet.tables()).batches)
        lost = list(check_stored(requests, stored))  # before it is asked for again
        asked = [*await ask_again(load.sender, load.history, plan.clients), *await work.ask_again()]
        verdict = await users.settle()
        await quiet.settle()
        found, recoveries = await quiet.tables(), await quiet.recoveries(injector.hits, latest)
    requests = [*load.history, *work.history, *users.book.requests]
    creations = [*created(*load.threads, *work.threads), *users.book.creations]
    violations = (
        *quiet.violations,
        *lost,
        *check(requests, found, users.foreign, creations),
        *check_known(asked),
        *verdict.violations,
        *idle,
        *ended(stack.members),
    )
    return Report(
        seed=plan.seed,
        wanted=plan.seconds,
        violations=list(dict.fromkeys(violations)),
        **counts,
        hits=tuple(injector.hits),
        recoveries=recoveries,
        missed=injector.missed,
        seconds=seconds,
        quiet_after=quiet_after,
        users=verdict.counts if plan.users else None,
    )


def ended(members: Iterable[Member]) -> Iterator[Violation]:
    """What was killed was started again: whoever is not there now ended by itself."""
    for member in members:
        if not member.lives:
            yield Violation(
                Kind.ENDED, "-", f"{member.name}, with code {member.process.returncode}: {member.log[-500:]}"
            )


def read_seeds(text: str) -> list[int]:
    """`1,2,3` or `1-20`, or both."""
    ranges = [part.partition("-") for part in text.split(",")]
    return [seed for first, _, last in ranges for seed in range(int(first), int(last or first) + 1)]


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _mount_disk(servers: Servers, summary: Summary) -> None:
    try:
        servers.mount_disk()
    except CannotMountError as error:
        summary.skipped["fill disk"] = str(error)
        _say(f"no disk will be full: {error}")


async def main() -> int:
    seeds, seconds = read_seeds(os.environ.get("SEEDS", "1")), float(os.environ.get("MINUTES", "1")) * 60
    servers, summary = Servers(), Summary(clock=clock_by())
    LOGS.mkdir(parents=True, exist_ok=True)
    _mount_disk(servers, summary)
    try:
        await servers.start()
        for seed in seeds:
            report = await fault_run(Plan(seed=seed, seconds=seconds, users=USERS, workers=len(ROLES)), servers, _say)
            summary.reports.append(report)
            (LOGS / f"seed-{seed}.jsonl").write_text(report.log(), encoding="utf-8")
            _print(report.line())
            for violation in report.violations[:50]:
                _say(str(violation))
    finally:
        await servers.stop()
    for trouble in summary.too_quiet:
        _say(trouble)
    _print(summary.line())
    return int(bool(summary.too_quiet or summary.violations))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # its servers and processes end with it
    sys.exit(asyncio.run(main()))
