"""What metrics and logs cost: the service as in production beside the same build that measures and says nothing.

Pairs are interleaved and turned round (with, without, without, with), so that a machine which drifts favours neither.
With them on, logs are JSON lines at `info` in a file, and both `/metrics` are scraped every five seconds, three times
as often as usual. The difference is of the CPU of a batch, all processes of the service, Postgres and Redis together.

Where strangers use the machine too, a pair differs by more than what is looked for. So a last run of each load has the
programs sample themselves (`bench.sampled`): the share of their CPU time that falls into what measures and logs, as a
share of all that a batch costs. That is what is judged.
"""

import asyncio
import json
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import aiohttp

from bench.measure import ASYNC, Run, Say, line, load_of, measure, warm_up
from bench.subjects import Service

LOADS = (("async", 128, ASYNC), ("waited", 16, ""))
SCRAPE = 5.0  # seconds
OWN = ("api", "worker")  # programs of ours


@dataclass(frozen=True, slots=True)
class Pair:
    """The same load with metrics and logs, and without."""

    on: Run
    off: Run

    @property
    def ratio(self) -> float:
        return self.on.cpu_a_batch / self.off.cpu_a_batch


@dataclass(frozen=True, slots=True)
class Share:
    """What of a batch's CPU the programs of one run spent on measuring and logging, 0..1, and on how many looks."""

    variant: str
    share: float
    samples: int


@dataclass(frozen=True, slots=True)
class Cost:
    pairs: Sequence[Pair]
    shares: Sequence[Share]

    def of(self, variant: str) -> Sequence[Pair]:
        return [pair for pair in self.pairs if pair.on.variant == variant]

    def share(self, variant: str) -> float:
        """Per cent of a batch's CPU that is spent on measuring and logging."""
        return next(100 * one.share for one in self.shares if one.variant == variant)

    def document(self) -> dict[str, Any]:
        """Each pair: CPU µs a batch with metrics and logs, and without; and the shares, per cent."""
        return {
            "pairs": [
                {"variant": one.on.variant, "on": round(one.on.cpu_a_batch, 1), "off": round(one.off.cpu_a_batch, 1)}
                for one in self.pairs
            ],
            "shares": {one.variant: round(100 * one.share, 2) for one in self.shares},
        }

    def line(self) -> str:
        told = []
        for variant, clients, _ in LOADS:
            pairs, sampled = self.of(variant), next(one for one in self.shares if one.variant == variant)
            share = f"{100 * sampled.share:.1f} % of a batch's CPU ({sampled.samples:,} samples)"
            spread = ", ".join(f"{100 * (pair.ratio - 1):+.1f}" for pair in pairs)
            over = f"; with them over without: {100 * (median(pair.ratio for pair in pairs) - 1):+.1f} % ({spread})"
            told.append(f"{variant}, {clients} clients: {share}{over if pairs else ''}")
        return f"Metrics and logs, {len(self.pairs) // len(LOADS)} pairs. " + ". ".join(told)


async def measure_observability(service: Service, seconds: float, rounds: int, say: Say) -> Cost:
    """Raises Unsound, LoadError, TimeoutError, NotReady."""
    pairs: list[Pair] = []
    for round_ in range(rounds):
        order = ("measured", "unmeasured") if round_ % 2 == 0 else ("unmeasured", "measured")
        runs = {how: [await _run(service, how, load, seconds, round_, say) for load in LOADS] for how in order}
        pairs += [Pair(on, off) for on, off in zip(runs["measured"], runs["unmeasured"], strict=True)]
    return Cost(pairs, [await _sample(service, load, seconds, say) for load in LOADS])


async def _run(service: Service, how: str, load: tuple[str, int, str], seconds: float, round_: int, say: Say) -> Run:
    """One start of the service, and a run of one load."""
    variant, clients, prefer = load
    service.how = how
    await service.start()
    scraping = asyncio.create_task(_scrape(service))
    try:
        await warm_up(service)
        for program in service.programs.values() if how == "sampled" else ():
            program.process.send_signal(signal.SIGUSR2)
        run = await measure(service, variant, replace(load_of(service, clients, seconds, prefer), seed=round_))
    finally:
        scraping.cancel()
        await service.stop()
        service.how = "measured"
    say(f"{how:>10}: {line(run)}")
    return run


async def _sample(service: Service, load: tuple[str, int, str], seconds: float, say: Say) -> Share:
    run = await _run(service, "sampled", load, seconds, 0, say)
    counts = {name: json.loads(service.counts_of(name).read_text(encoding="utf-8")) for name in OWN}
    spent = sum(run.cpu_us[name] * counts[name]["measuring"] / max(1, counts[name]["samples"]) for name in OWN)
    return Share(run.variant, spent / run.cpu_a_batch, sum(count["samples"] for count in counts.values()))


async def _scrape(service: Service) -> None:
    """As Prometheus does, until it is cancelled."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        while True:
            for port in (service.port, service.worker_port):
                with suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
                        await answer.read()
            await asyncio.sleep(SCRAPE)
