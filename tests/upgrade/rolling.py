"""A rolling upgrade under load: `python -m tests.upgrade.rolling --to present`, or `make faults-upgrade`.

Two apis and two workers of a version, load, the next version's `threadmill migrate` while they run, the next version's
processes beside them, then SIGTERM to the older ones: workers first, then apis. With `--back` the older version starts
again beside the newer schema, and the newer one ends: apis first, then workers. At no moment is the service away: a
client that asks one of the apis that are up gets 200. Prints one line of JSON; exit 1 where anything is lost, doubled,
reordered or refused, 3 where the clone has no history.

`--to present`: from the last commit with an older schema to this tree. `--to following`: from this tree to one with two
migrations more, there and back.
"""

import argparse
import asyncio
import json
import secrets
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.faults.clients import Load, Sender, chance
from tests.faults.executions.stage import stage
from tests.faults.executions.talks import Talk
from tests.faults.processes import Stack
from tests.faults.scene import Scene, scene
from tests.faults.servers import Servers
from tests.servers import execute, on_database
from tests.upgrade import versions
from tests.upgrade.fleet import Fleet
from tests.upgrade.versions import NotInHistoryError, Version

TALKS = 3
UNBOUNDED = 100_000_000  # batches

LATE = 10.0  # seconds from accepted to applied
UNDER_WAY = 0.1  # share of the answers that may be 409: clients send some batches twice at the same time
RUNS = 2 * TALKS  # at least


@dataclass(frozen=True, slots=True)
class Plan:
    to: str = "following"
    back: bool = False
    pause: float = 3.0  # seconds of load between two steps
    seed: int = 1
    pace: float = 80.0
    threads: int = 40


@dataclass(slots=True)
class Report:
    plan: Plan
    schemas: list[int] = field(default_factory=list)  # before and after
    acknowledged: int = 0
    answers: dict[str, int] = field(default_factory=dict)  # of all requests, by their status
    applied_by: dict[str, int] = field(default_factory=dict)  # batches, by the version of the worker
    steps: list[dict[str, int]] = field(default_factory=list)  # the same of each while of load, by those that were up
    oldest: float = 0.0  # seconds from accepted to applied
    runs: int = 0
    violations: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        under_way, answers = self.answers.get("409", 0), sum(self.answers.values())
        return [
            *self.violations,
            *([] if self.acknowledged > 4 * self.plan.pause * self.plan.pace else ["too few batches"]),
            *([] if self.runs >= RUNS else [f"only {self.runs} runs"]),
            *([] if len(self.steps) == (6 if self.plan.back else 4) else [f"{len(self.steps)} steps were looked at"]),
            *(
                f"the {name} version applied nothing in step {n}"
                for n, step in enumerate(self.steps, 1)
                for name, count in step.items()
                if not count
            ),
            *([f"a batch was applied after {self.oldest:.1f} s"] if self.oldest > LATE else []),
            *([f"{under_way} of {answers} answers were 409"] if under_way > UNDER_WAY * answers else []),
            *(
                f"{count} answers were {status}"
                for status, count in self.answers.items()
                if status not in ("200", "409")
            ),
        ]

    def line(self) -> str:
        """One line of JSON."""
        return json.dumps({**asdict(self), "faults": len(self.faults)})


async def rolling(plan: Plan, servers: Servers, directory: Path) -> Report:
    """The whole of it on databases of its own. Raises NotInHistoryError."""
    before, after = _versions(plan, directory)
    report = Report(plan, [before.schema, after.schema])
    urls = [await _database(servers, before) for _ in range(2)]
    redis = servers.redis.url
    async with Stack(servers, urls[0], redis) as applying, Stack(servers, urls[1], redis) as executing:
        fleet = Fleet(applying, executing)
        await fleet.start(before)
        async with _heard(fleet), scene(applying) as s, stage(executing) as t:
            talk, load = Talk(), await _load(plan, fleet, s)
            async with asyncio.TaskGroup() as group:
                loading = group.create_task(load.run())
                for n in range(TALKS):
                    group.create_task(talk.converse(t, await t.new_thread(), chance(plan.seed, n)))
                report.steps = await _steps(plan, fleet, before, after)
                load.seconds = 0.0
                talk.over.set()
                await loading
            await _judge(report, fleet, s, load)
            _, faults = await talk.judge(t)
            report.runs, report.violations = len(talk.texts), [*await s.violations(), *faults]
    return report


async def _steps(plan: Plan, fleet: Fleet, before: Version, after: Version) -> list[dict[str, int]]:
    """Each with a while of load behind it: what those that are up then applied in it."""
    steps = [await _load_on(plan, fleet, before)]
    for stack in (fleet.batches, fleet.runs):
        await asyncio.to_thread(after.threadmill, stack.database_url, "migrate")
    steps.append(await _load_on(plan, fleet, before))  # the older ones on the newer schema
    await fleet.start(after)
    steps.append(await _load_on(plan, fleet, before, after))
    await fleet.end(before, apis_first=False)
    steps.append(await _load_on(plan, fleet, after))
    if plan.back:
        await asyncio.to_thread(before.threadmill, fleet.batches.database_url, "migrate")  # has nothing to do
        await fleet.start(before)
        steps.append(await _load_on(plan, fleet, before, after))
        await fleet.end(after, apis_first=True)
        steps.append(await _load_on(plan, fleet, before))
    return steps


async def _load_on(plan: Plan, fleet: Fleet, *up: Version) -> dict[str, int]:
    """Batches by the version of the worker."""
    began = await fleet.applied()
    await asyncio.sleep(plan.pause)
    ended = await fleet.applied()
    return {version.name: ended[version.name] - began[version.name] for version in up}


async def _judge(report: Report, fleet: Fleet, s: Scene, load: Load) -> None:
    replies = [reply for request in load.history for reply in request.replies]
    report.answers = dict(Counter(str(reply.status or "none") for reply in replies))
    report.acknowledged = sum(request.acknowledged for request in load.history)
    report.applied_by = await fleet.applied()
    age = "select max(extract(epoch from applied_at - accepted_at))::float8 from batches"
    report.oldest = round(await s.db.fetchval(age), 2)
    s.history += load.history


@asynccontextmanager
async def _heard(fleet: Fleet) -> AsyncIterator[None]:
    """Tells what the processes said last where a step fails."""
    try:
        yield
    except BaseException:
        sys.stderr.write(f"{fleet.batches.last_words()}\n{fleet.runs.last_words()}\n")
        raise


def _versions(plan: Plan, directory: Path) -> tuple[Version, Version]:
    """From which to which."""
    if plan.to == "present":
        return versions.older(directory), versions.present()
    return versions.present(), versions.following(directory)


async def _database(servers: Servers, version: Version) -> str:
    """One that this version has migrated; its url."""
    url = on_database(servers.postgres.url, f"upgrade_{secrets.token_hex(6)}")
    await execute(servers.postgres.url, f"create database {Path(url).name} encoding 'UTF8' template template0")
    await asyncio.to_thread(version.threadmill, url, "migrate")
    return url


async def _load(plan: Plan, fleet: Fleet, s: Scene) -> Load:
    threads = [await s.new_thread(fleet.batches.apis[0]) for _ in range(plan.threads)]
    fleet.sender = Sender(s.stack.session, [api.url for api in fleet.batches.apis], s.token, chance(plan.seed))
    return Load(fleet.sender, threads, plan.seed, UNBOUNDED, pace=plan.pace, seconds=1e9)


async def _main(plan: Plan) -> Report:
    servers = Servers()
    with tempfile.TemporaryDirectory(prefix="threadmill-versions-") as directory:
        try:
            await servers.start()
            return await rolling(plan, servers, Path(directory))
        finally:
            await servers.stop()


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.upgrade.rolling", description=__doc__)
    parser.add_argument("--to", choices=["present", "following"], default="present")
    parser.add_argument("--back", action="store_true", help="and back to the version before")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    try:
        report = asyncio.run(_main(Plan(given.to, given.back, seed=given.seed)))
    except NotInHistoryError as error:
        sys.stderr.write(f"not run: {error}\n")
        return 3
    sys.stdout.write(f"{report.line()}\n")
    for fault in report.faults[:50]:
        sys.stderr.write(f"{fault}\n")
    return int(bool(report.faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
