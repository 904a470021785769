"""One measured run of one subject, and the interleaved rounds of all of them.

A run starts from empty tables, drives the load, waits until everything is applied, reads the CPU of every process
tree, and verifies the rows before any figure counts.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from bench import cpu
from bench.load import Answers, Load, drive
from bench.subjects import Baseline, Service, Subject, Via
from bench.verify import Tally, tally, verify, verify_counts

CLIENTS = (1, 16, 128)
PATIENCE = 120.0  # seconds for the last batch of a run to be applied
WARM_UP = 1.0  # seconds: connections, prepared statements, Python's own caches
ASYNC = "respond-async"

Say = Callable[[str], None]
During = Callable[[], Awaitable[None]]


async def nothing() -> None:
    """What is done to most runs."""


@dataclass(frozen=True, slots=True)
class Run:
    """The figures of one run."""

    variant: str  # baseline | async | waited
    clients: int
    answers: Answers
    rows: Tally
    cpu_us: dict[str, float]  # a batch: api, worker, postgres, redis, generator
    via: Via
    others: float  # share of the machine's CPU that neither the subject nor the generator used, 0..1 a core

    @property
    def accepted_per_second(self) -> float:
        return self.answers.answers / self.answers.seconds

    @property
    def applied_per_second(self) -> float:
        """From the first accept to the last apply: what is left after the load ends counts too."""
        return self.rows.applied / self.rows.seconds

    @property
    def cpu_a_batch(self) -> float:
        """api, worker, Postgres and Redis together, µs; the generator is not the subject's."""
        return sum(value for name, value in self.cpu_us.items() if name != "generator")


async def measure(subject: Subject, variant: str, load: Load, *, fresh: bool = True, during: During = nothing) -> Run:
    """One run, verified; `fresh`: from empty threads; `during`: what is done to it meanwhile.

    Raises Unsound, LoadError, TimeoutError.
    """
    await (subject.reset() if fresh else subject.forget_batches())
    via, before = await subject.via(), cpu.snapshot(subject.roots)
    answers, _ = await asyncio.gather(drive(load), during())
    await subject.until_applied(PATIENCE)
    spent = cpu.snapshot(subject.roots).since(before)
    via = (await subject.via()).since(via)
    rows = await tally(subject.db)
    if fresh:
        await verify(subject.db, rows, answers, load)
    else:
        verify_counts(rows, answers, load)
    seconds = {**spent.groups, "generator": answers.cpu_seconds}
    return Run(
        variant=variant,
        clients=load.clients,
        answers=answers,
        rows=rows,
        cpu_us={name: value / rows.applied * 1e6 for name, value in seconds.items()},
        via=via,
        others=max(0.0, spent.machine - sum(seconds.values())) / rows.seconds,
    )


def load_of(subject: Subject, clients: int, seconds: float, prefer: str = "") -> Load:
    """The usual mix over all threads."""
    return Load(subject.port, subject.token, subject.threads, clients, seconds, prefer)


async def warm_up(subject: Subject) -> None:
    """A short load that nobody measures."""
    await drive(load_of(subject, 16, WARM_UP, ASYNC))
    await subject.until_applied(PATIENCE)


async def run_round(baseline: Baseline, service: Service, seconds: float, round_: int, say: Say) -> list[Run]:
    """Baseline, async, waited, each at every number of clients; one subject alive at a time."""
    runs: list[Run] = []
    for subject, variants in ((baseline, {"baseline": ASYNC}), (service, {"async": ASYNC, "waited": ""})):
        await subject.start()
        try:
            await warm_up(subject)
            for variant, prefer in variants.items():
                for clients in CLIENTS:
                    load = replace(load_of(subject, clients, seconds, prefer), seed=round_)
                    runs.append(await measure(subject, variant, load))
                    say(line(runs[-1]))
        finally:
            await subject.stop()
    return runs


def line(run: Run) -> str:
    """One run on one line, for the progress on standard error."""
    return (
        f"{run.variant:>8} {run.clients:>3} clients: {run.accepted_per_second:6.0f} accepted/s,"
        f" {run.applied_per_second:6.0f} applied/s, answer {run.answers.p50_ms:.1f}/{run.answers.p99_ms:.1f} ms,"
        f" applied {run.rows.p50_ms:.1f}/{run.rows.p99_ms:.1f} ms, {run.cpu_a_batch:5.0f} CPU-µs a batch"
    )
