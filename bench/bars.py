"""The bars: what the figures must reach, each with its source in the design's table of numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from bench import scale
from bench.hostile import P99, RISE
from bench.neighbours import HUNDRED
from bench.observability import LOADS
from bench.results import Results

HOT = 128  # clients at which throughput and CPU are judged
TWICE = 2.0  # of what the others see alone; a bad neighbour may cost them that, or the next, whichever is more
BESIDE = 50.0  # ms
TROUBLE = {
    "account": "a noisy account",
    HUNDRED: "a noisy account at 100x",
    "limited": "a noisy account with a limit",
    "thread": "a hot thread",
    "held": "a held thread and poison",
}
AMID = 25.0  # ms; as BESIDE, of answers beside clients that cost memory rather than time
ONE = 1024.0  # KiB that a slow client may cost
# Seconds as docs/api.md states them ("Limits"), and two for looks: the api's, and ours.
STREAM_CUT = 15.0 + 2.0
HEAD_CUT = 10.0 + 2.0
BODY_CUT = 10.0 + 5.0 + 2.0  # it is answered after ten, and its sender has five to see that
MEASURING = 5.0  # % of a batch's CPU
FLAT = 1.2  # a long history, or another process, may cost this much more: below it is the noise of three rounds


@dataclass(frozen=True, slots=True)
class Bar:
    name: str
    value: float
    limit: float
    unit: str
    at_least: bool  # else: at most

    @property
    def reached(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def bars(found: Results) -> list[Bar]:
    """Those that the parts which were run can judge."""
    judged: list[Bar] = []
    if found.rounds:
        judged += [*_throughput(found), *_cpu(found), *_latency(found), *_health(found)]
    judged += _backlogs(found)
    if found.history:
        judged += _history(found)
    if found.outage:
        judged += _outage(found)
    judged += [*_scale(found), *_neighbours(found), *_hostile(found), *_observability(found)]
    return [*judged, *_runs(found), *_deltas(found), *_idle(found), *_slow(found)]


def _throughput(found: Results) -> Iterator[Bar]:
    for variant, limit in (("async", 8.0), ("waited", 4.5)):
        value = found.ratio(variant, HOT, lambda run: run.applied_per_second)
        yield Bar(f"applied/s, {HOT} clients, {variant}, over the baseline", value, limit, "x", True)


def _cpu(found: Results) -> Iterator[Bar]:
    spent = found.middle("baseline", HOT, lambda run: run.cpu_a_batch) / 1e3
    yield Bar(f"CPU a batch of the baseline, {HOT} clients", spent, 2.2, "ms", False)
    for variant, limit in (("async", 7.0), ("waited", 5.0)):
        value = 1 / found.ratio(variant, HOT, lambda run: run.cpu_a_batch)
        yield Bar(f"CPU a batch, {HOT} clients, {variant}: the baseline's over ours", value, limit, "x", True)


def _latency(found: Results) -> Iterator[Bar]:
    for variant in ("waited", "async"):
        p50 = found.middle(variant, 1, lambda run: run.rows.p50_ms)
        p99 = found.middle(variant, 1, lambda run: run.rows.p99_ms)
        yield Bar(f"accepted to applied, 1 client, {variant}, p50", p50, 4.0, "ms", False)
        yield Bar(f"accepted to applied, 1 client, {variant}, p99", p99, 10.0, "ms", False)
    rate = found.middle("waited", 16, lambda run: run.accepted_per_second)
    answer = found.middle("waited", 16, lambda run: run.answers.p50_ms)
    yield Bar("answered with the outcome, 16 clients", rate, 1500.0, "/s", True)
    yield Bar("answered with the outcome, 16 clients, p50", answer, 12.0, "ms", False)


def _health(found: Results) -> Iterator[Bar]:
    arq = sum(run.via.arq for run in found.service_runs)
    sweep = sum(run.via.sweep for run in found.service_runs)
    yield Bar("applied through arq", 100 * arq / max(1, arq + sweep), 99.0, "%", True)
    pending = sum(run.answers.pending for run in found.service_runs if run.variant == "waited")
    yield Bar("waited answers without their outcome", pending, 0, "", False)


def _backlogs(found: Results) -> Iterator[Bar]:
    """All the workers that the cores have room for: one is bound to one core of two."""
    for backlog in found.backlogs:
        name = f"backlog of {backlog.batches:,}, {backlog.workers} workers"
        if backlog is found.backlogs[-1]:
            yield Bar(f"{name}: drained, over the live peak", backlog.ratio, TWICE, "x", True)
        yield Bar(f"{name}: memory of each", backlog.worker_peak_mib, 150.0, "MiB", False)
        yield Bar(f"{name}: accepts at 100/s meanwhile, p99", backlog.answers.p99_ms, BESIDE, "ms", False)


def _scale(found: Results) -> Iterator[Bar]:
    if found.scale is None:
        return
    for load, (apis, workers) in product(scale.LOADS, scale.SIZES[1:]):
        value = found.scale.ratio((apis, workers), load, lambda run: run.cpu_a_batch)
        yield Bar(f"CPU a batch, {load}, {apis} apis and {workers} workers over one and one", value, FLAT, "x", False)


def _history(found: Results) -> Iterator[Bar]:
    cpu = found.history_ratio(lambda run: run.cpu_a_batch)
    p50 = found.history_ratio(lambda run: run.answers.p50_ms)
    yield Bar("CPU a batch, long history over none", cpu, FLAT, "x", False)
    yield Bar("answer p50, long history over none", p50, FLAT, "x", False)


def _outage(found: Results) -> Iterator[Bar]:
    slowest = max(run.rows.max_ms for run in found.outage) / 1e3
    yield Bar("no Redis: accepted to applied, slowest", slowest, 2.0, "s", False)
    for run in found.outage:
        if run.variant == "waited":
            yield Bar("no Redis: waited answer, p99", run.answers.p99_ms / 1e3, 1.5, "s", False)


def _neighbours(found: Results) -> Iterator[Bar]:
    """The first case is the one without trouble."""
    for case in found.neighbours[1:]:
        limit = max(TWICE * found.neighbours[0].rows.p99_ms, BESIDE)
        yield Bar(f"others' accepted to applied beside {TROUBLE[case.name]}, p99", case.rows.p99_ms, limit, "ms", False)
        if case.name == HUNDRED:
            yield Bar("what that account sent, over the others", case.times, 100.0, "x", True)


def _observability(found: Results) -> Iterator[Bar]:
    if found.observability is not None:
        for variant, clients, _ in LOADS:
            most = found.observability.of(variant).most
            name = f"metrics and logs: of a batch's CPU, {clients} clients, {variant}, and two standard errors"
            yield Bar(name, most, MEASURING, "%", False)


def _hostile(found: Results) -> Iterator[Bar]:
    if found.hostile is None:
        return
    yield Bar("hostile requests, p99", found.hostile.p99 * 1e3, P99 * 1e3, "ms", False)
    yield Bar("hostile requests, rows stored", found.hostile.stored, 0, "", False)
    yield Bar("hostile requests, not the stated answer", len(found.hostile.wrong), 0, "", False)
    yield Bar("hostile requests, memory rose by", found.hostile.rise, RISE, "MiB", False)


def _runs(found: Results) -> Iterator[Bar]:
    if found.runs:
        yield Bar("echo runs, 16 clients", found.talked(16, lambda one: one.per_second), 600.0, "/s", True)
        yield Bar("POST to completed, 16 clients, p50", found.talked(16, lambda one: one.p50_ms), 30.0, "ms", False)


def _deltas(found: Results) -> Iterator[Bar]:
    if found.deltas is not None:
        name = f"delta, runner to client, {found.deltas.streams} streams"
        yield Bar(f"{name}, p50", found.deltas.p50_ms, 10.0, "ms", False)
        yield Bar(f"{name}, p99", found.deltas.p99_ms, 40.0, "ms", False)


def _idle(found: Results) -> Iterator[Bar]:
    if found.idle is not None:
        name = f"{found.idle.streams} idle streams"
        limit = max(TWICE * found.idle.alone.p99_ms, AMID)
        yield Bar(f"{name}: memory of each", found.idle.kib_a_stream, 100.0, "KiB", False)
        yield Bar(f"{name}: answers at 100/s, p99", found.idle.beside.p99_ms, limit, "ms", False)


def _slow(found: Results) -> Iterator[Bar]:
    if found.slow is None:
        return
    slow = found.slow
    limit = max(TWICE * slow.alone.p99_ms, AMID)
    yield Bar("slow clients: accepts at 100/s, p99", slow.beside.p99_ms, limit, "ms", False)
    yield Bar("slow clients: memory of each", slow.kib_a_stream, ONE, "KiB", False)
    yield Bar("slow clients: never closed", slow.streams_open + slow.requests_open, 0, "", False)
    yield Bar("slow clients: streams that are not read, cut after", slow.streams_cut, STREAM_CUT, "s", False)
    yield Bar("slow clients: heads half sent, cut after", slow.heads_cut, HEAD_CUT, "s", False)
    yield Bar("slow clients: bodies half sent, cut after", slow.bodies_cut, BODY_CUT, "s", False)
