"""How fast a backlog drains, what it costs the workers' memory, and what somebody who comes meanwhile feels of it.

The backlog is made by one set-based insert while no worker runs, and told to Redis as accepts would have: a million of
them would take minutes and end in like rows, on the disk: there is a checkpoint behind the insert. Live peak and drain
are of as many workers. While it drains somebody else sends 100 batches/s for a while; the rate of the drain is that of
the time before and behind.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from redis.asyncio import Redis

from bench import cpu
from bench.big import ring
from bench.fleet import Fleet, together
from bench.load import Answers, Load, drive
from bench.measure import ASYNC, PATIENCE, Say, load_of, measure, warm_up
from bench.subjects import Owner, Service
from bench.verify import Tally, Unsound, tally
from shared.keys import Keys

WORKERS = {1: 4, 2: 1}  # and by how much the backlog is divided: one worker has no bar, and takes its time
DRAINED_FOR = 400.0  # seconds at most; at half the bar's rate a million takes less
CLIENTS = 128  # of the live peak
RATE = 100.0  # batches/s of somebody else
OTHERS = 50  # their threads
LONGER = 3  # times the usual length: at 100 batches/s a p99 is that of a few
FIRST = timedelta(seconds=1)  # in which the workers meet the others
REACHED = 0.15  # share of the backlog that is drained when they begin


@dataclass(frozen=True, slots=True)
class Backlog:
    """`live` and `drained` are batches/s; `beside` is the rate of the drain while others send."""

    batches: int
    workers: int
    live: float
    drained: float
    beside: float
    worker_peak_mib: float  # of the one that had most
    cpu_us: dict[str, float]  # a batch
    answers: Answers  # of the others
    rows: Tally  # of the others
    later: Tally  # the same without those that came in the `FIRST` second

    @property
    def ratio(self) -> float:
        return self.drained / self.live

    def line(self) -> str:
        parts = ", ".join(f"{name} {value:.0f}" for name, value in self.cpu_us.items())
        others, rows = self.answers, self.rows
        return (
            f"Backlog of {self.batches:,}, {self.workers} workers: drained at {self.drained:,.0f}/s, {self.ratio:.2f}x"
            f" the live peak of {self.live:,.0f}/s; a worker at most {self.worker_peak_mib:.0f} MiB; CPU-µs a batch"
            f" {parts}. Beside it somebody's {RATE:.0f}/s: answers {others.p50_ms:.1f} / {others.p99_ms:.1f} ms,"
            f" applied {rows.p50_ms:.0f} / {rows.p99_ms:.0f} ms, at most {rows.max_ms:.0f}, and behind the first second"
            f" {self.later.p50_ms:.0f} / {self.later.p99_ms:.0f} ms; the drain goes at {self.beside:,.0f}/s"
        )

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": round(self.ratio, 3)}


async def drain_backlogs(service: Service, batches: int, seconds: float, rounds: int, say: Say) -> list[Backlog]:
    """With each number of workers. Raises Unsound, LoadError, NotReady, TimeoutError."""
    peaks: dict[int, list[float]] = {workers: [] for workers in WORKERS}
    for _ in range(rounds):
        for workers in WORKERS:
            peaks[workers].append(await _live_peak(service, workers, seconds))
            say(f"live, {workers} workers: {peaks[workers][-1]:.0f} batches/s")
    found = []
    for workers, share in WORKERS.items():
        part = max(1, batches // share)
        found.append(await _drain(service, part, workers, seconds, median(peaks[workers]), say))
        say(found[-1].line())
    return found


async def _live_peak(service: Service, workers: int, seconds: float) -> float:
    fleet = Fleet(service)
    try:
        await fleet.start_all(1, workers)
        await warm_up(fleet)
        return (await measure(fleet, ASYNC, load_of(fleet, CLIENTS, seconds, ASYNC))).applied_per_second
    finally:
        await fleet.stop()


async def _drain(service: Service, batches: int, workers: int, seconds: float, live: float, say: Say) -> Backlog:
    """Fills the inbox, starts api and workers, waits until it is empty."""
    fleet, other = Fleet(service), await service.add_owner("another")
    threads = await service.add_threads(OTHERS, other)
    await _fill(fleet, batches)
    say(f"backlog: {batches} batches are waiting")
    try:
        await fleet.start_apis(1)
        load = Load(fleet.port, other.token, threads, 16, LONGER * seconds, ASYNC, rate=RATE)
        before = cpu.snapshot(fleet.roots)
        await fleet.start_workers(workers)
        answers, window = await _beside(fleet, load, batches)
        await fleet.until_applied(DRAINED_FOR)
        spent = _since(before, cpu.snapshot(fleet.roots))
        peak = max(cpu.peak_mib(program.pid) for name, program in fleet.programs.items() if name.startswith("worker"))
    finally:
        await fleet.stop()
    rates = await _rates(fleet, service.owner, window, batches)
    rows, later = await tally(fleet.db, threads), await tally(fleet.db, threads, window[0] + FIRST)
    if answers.refused or answers.broken or rows.applied != answers.answers:
        raise Unsound(f"beside the backlog: {answers}, {rows}")
    cost = {name: value / (batches + rows.rows) * 1e6 for name, value in together(spent.groups).items()}
    return Backlog(batches, workers, live, *rates, peak, cost, answers, rows, later)


def _since(before: cpu.Snapshot, after: cpu.Snapshot) -> cpu.Snapshot:
    """Of programs that were started in between, all that they spent."""
    return after.since(replace(before, groups={**dict.fromkeys(after.groups, 0.0), **before.groups}))


async def _fill(fleet: Fleet, batches: int) -> None:
    await fleet.reset()
    await fleet.stack.empty_redis()
    await fleet.db.execute(fleet.tables["add_backlog"], fleet.owner.account, fleet.owner.token_id, batches)
    await fleet.db.execute("vacuum analyze batches")
    await fleet.db.execute("checkpoint")  # accepts take minutes: their pages are on the disk by then
    async with Redis.from_url(fleet.stack.redis.url) as redis:
        await ring(fleet.db, redis, Keys(""))


async def _beside(fleet: Fleet, load: Load, batches: int) -> tuple[Answers, Sequence[datetime]]:
    """Somebody else, once a part of the backlog is drained; and when that began and ended, by Postgres' clock."""
    await fleet.until_drained(round(batches * REACHED), PATIENCE)
    began = await fleet.db.fetchval("select clock_timestamp()")
    answers = await drive(load)
    ended = await fleet.db.fetchval("select clock_timestamp()")
    if not await fleet.busy():
        raise Unsound("the backlog was drained before the others had sent all: take a longer one")
    return answers, (began, ended)


async def _rates(fleet: Fleet, owner: Owner, window: Sequence[datetime], batches: int) -> tuple[float, float]:
    """Batches/s of the backlog while nobody else sent, and while somebody did. Raises Unsound."""
    found = await fleet.db.fetchrow(fleet.tables["backlog_progress"], owner.account, *window)
    if found["applied"] != batches or found["parked"]:
        raise Unsound(f"backlog: {found['applied']} of {batches} applied, {found['parked']} parked")
    within = (window[1] - window[0]).total_seconds()
    return (found["applied"] - found["within"]) / (found["seconds"] - within), found["within"] / within
