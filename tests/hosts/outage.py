"""A host that is cut off for a while, under load: `python -m tests.hosts.outage --cut back`, or `make faults-hosts`.

Two hosts, each with an api and a worker that applies, and an api and a worker that executes for a second service; the
servers stand on a third. Clients of the fault run send batches to both hosts, conversations go on at the one that is
not cut. What the cut host had in hand must go on at the other one, what it writes late must be refused, and it must
come back by itself. Prints one line of JSON; exit 1 where anything is lost, doubled, reordered or late, 3 where this
machine lays no network.
"""

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field

from tests.faults.clients import Load, Sender, chance
from tests.faults.executions.kills import check_readers
from tests.faults.executions.stage import stage
from tests.faults.executions.talks import Talk
from tests.faults.processes import ROOT
from tests.faults.scene import scene
from tests.hosts.cluster import ServersApart, on_hosts
from tests.hosts.network import Cut, Host, Network, alone, is_alone, why_not
from tests.hosts.watch import PARTS, Side, Watch

BEFORE, AFTER = 4.0, 4.0  # seconds of load before the cut, and when all is well again
FORGOTTEN = 5.0  # seconds before the healing when the servers forget the host
TALKS = 4
UNBOUNDED = 100_000_000  # batches

TAKEN = 10.0  # seconds from the cut to the next event of a run that the cut host had: the bar
LATE = 10.0  # seconds from accepted to applied, of what the other host accepted meanwhile
BACK = 20.0  # seconds from the healing until the cut host does all of its work again
KEPT = 1.0  # seconds from the cut to the end of a run that the host itself ended: its commit was on the way
SLOWEST = 7.5  # seconds for an answer of its api: 5 of a statement that hangs, 2 of a connection that is not made


@dataclass(frozen=True, slots=True)
class Plan:
    cut: Cut = Cut.BACK
    seconds: float = 15.0  # more than two leases
    forget: bool = False  # the servers end the host's connections meanwhile, and it learns nothing of that
    testing: str = ""  # faults built into the workers
    seed: int = 1
    pace: float = 60.0
    threads: int = 40


@dataclass(slots=True)
class Report:
    plan: Plan
    acknowledged: int = 0
    answers: dict[str, int] = field(default_factory=dict)  # of both apis while one was cut off
    slowest: float = 0.0  # of these, seconds
    taken: list[float] = field(default_factory=list)  # seconds, of each run that the cut host had and lost
    kept: list[float] = field(default_factory=list)  # seconds, of each run that it brought to its end itself
    oldest: float = 0.0  # seconds from accepted to applied, of what came in meanwhile
    back: dict[str, float] = field(default_factory=dict)  # seconds from the healing, by what came back
    runs: int = 0
    refused: int = 0  # runs that the cut host learned are not its own any more
    violations: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """All that must not be."""
        return [
            *self.violations,
            *(f"a run went on after {took:.1f} s" for took in self.taken if took > TAKEN),
            *(f"{what} came back after {took:.1f} s" for what, took in self.back.items() if took > BACK),
            *([f"a batch was applied after {self.oldest:.1f} s"] if self.oldest > LATE else []),
            *(f"{what} did not come back" for what in sorted(PARTS - self.back.keys())),
            *([] if self.acknowledged > self.plan.pace * self.plan.seconds / 2 else ["too few batches"]),
            *self._uncut,
        ]

    @property
    def _uncut(self) -> Iterator[str]:
        """What shows that the cut did not cut: whichever it is, no lease of the host can be renewed behind it."""
        if not self.taken:
            yield "the cut hit nothing: the host lost no run"
        if self.refused < len(self.taken):
            yield f"of {len(self.taken)} runs that it lost the host learned of {self.refused}"
        yield from (f"the host ended a run {took:.1f} s after the cut" for took in self.kept if took > KEPT)
        if self.plan.cut is Cut.ALL:  # nobody reaches its api
            if not self.answers.get("none"):
                yield "the cut hit nothing: every request was answered"
            return
        if not self.answers.get("503"):
            yield "the cut hit nothing: no answer was 503"
        if unanswered := self.answers.get("none"):
            yield f"{unanswered} requests had no answer"
        if self.slowest > SLOWEST:
            yield f"an answer took {self.slowest:.1f} s"

    def line(self) -> str:
        """One line of JSON."""
        return json.dumps({**asdict(self), "faults": len(self.faults)})


async def outage(plan: Plan) -> Report:
    """One cut, from the start of all processes to the checkers' word."""
    async with _hosts() as (servers, cut, other), _sides(servers, cut, other, plan.testing) as (batches, runs):
        watch, talk = Watch(cut, batches, runs), Talk()
        load = await _load(plan, batches)
        report, over = Report(plan), asyncio.Event()
        threads = [await runs.stage.new_thread() for _ in range(TALKS)]
        async with asyncio.TaskGroup() as group:
            loading = group.create_task(load.run())
            following = [group.create_task(watch.follow(thread, over)) for thread in threads]
            for n, thread in enumerate(threads):
                group.create_task(talk.converse(runs.stage, thread, chance(plan.seed, n)))
            await asyncio.sleep(BEFORE)
            await _cut(report, watch)
            report.back = await watch.comes_back(talk)
            await asyncio.sleep(AFTER)
            load.seconds = 0.0
            talk.over.set()
            await loading
            await watch.caught_up(talk)
            over.set()
        await _judge(report, watch, talk, load)
        found, faults = await talk.judge(runs.stage)
        report.violations += [*faults, *check_readers(found, [task.result() for task in following])]
    return report


async def _cut(report: Report, watch: Watch) -> None:
    plan = report.plan
    had = await watch.runs_in_hand()
    began = await watch.cut_off(plan.cut)
    async with asyncio.TaskGroup() as group:
        taking = [group.create_task(watch.taken(run, began)) for run in had]
        if plan.forget:
            await asyncio.sleep(plan.seconds - FORGOTTEN)
            watch.forget()
            await asyncio.sleep(FORGOTTEN)
        else:
            await asyncio.sleep(plan.seconds)
    for lost, seconds in (task.result() for task in taking):
        (report.taken if lost else report.kept).append(round(seconds, 2))
    await watch.heal()


async def _judge(report: Report, watch: Watch, talk: Talk, load: Load) -> None:
    scene = watch.batches.scene
    replies = [reply for request in load.history for reply in request.replies if watch.while_cut(reply)]
    for reply in replies:
        name = str(reply.status or "none")
        report.answers[name] = report.answers.get(name, 0) + 1
        report.slowest = max(report.slowest, round(reply.ended - reply.sent, 2))
    report.acknowledged = sum(request.acknowledged for request in load.history)
    report.oldest = round(await watch.oldest(), 2)
    report.runs, report.refused = len(talk.texts), await watch.refused()
    scene.history += load.history
    report.violations += await scene.violations()


async def _load(plan: Plan, side: Side) -> Load:
    apis, first = [api.url for api in side.cluster.apis], side.cluster.apis[:1]
    threads = [await side.scene.new_thread(*first) for _ in range(plan.threads)]
    sender = Sender(side.cluster.session, apis, side.scene.token, chance(plan.seed))
    return Load(sender, threads, plan.seed, UNBOUNDED, pace=plan.pace, seconds=1e9)


@asynccontextmanager
async def _hosts() -> AsyncIterator[tuple[ServersApart, Host, Host]]:
    servers = ServersApart()
    network = Network()
    try:
        await servers.start()
        yield servers, network.host(), network.host()
    finally:
        await servers.stop()
        network.close()


@asynccontextmanager
async def _sides(servers: ServersApart, cut: Host, other: Host, testing: str) -> AsyncIterator[tuple[Side, Side]]:
    """The two services, ready; the host that is not cut has the first api of each."""
    urls = [await servers.new_database() for _ in range(2)]
    async with on_hosts(servers, urls[0]) as applying, on_hosts(servers, urls[1], 18_100) as executing:
        for host in (other, cut):
            applying.api_at(host)
            applying.worker_at(host)
            executing.api_at(host, redis_prefix="runs:")
            executing.worker_at(host, role="all", redis_prefix="runs:", testing=testing)
        async with scene(applying) as s, stage(executing) as t:
            yield Side(applying, scene=s), Side(executing, stage=t)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hosts.outage", description=__doc__)
    parser.add_argument("--cut", type=Cut, choices=list(Cut), default=Cut.BACK)
    parser.add_argument("--seconds", type=float, default=15.0, help="of the cut")
    parser.add_argument("--forget", action="store_true", help="the servers end the host's connections meanwhile")
    parser.add_argument("--testing", default="", help="faults built into the workers, such as `ignore_epoch`")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    if not is_alone():
        if reason := why_not():
            sys.stderr.write(f"not run: {reason}\n")
            return 3
        return subprocess.run(alone(["-m", "tests.hosts.outage", *arguments]), check=False, cwd=ROOT).returncode
    report = asyncio.run(outage(Plan(given.cut, given.seconds, given.forget, given.testing, given.seed)))
    sys.stdout.write(f"{report.line()}\n")
    for fault in report.faults[:50]:
        sys.stderr.write(f"{fault}\n")
    return int(bool(report.faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
