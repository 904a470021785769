"""What metrics and logs cost: the service as in production beside the same build that measures and says nothing.

Pairs are interleaved and turned round (with, without, without, with), so that a machine which drifts favours neither.
With them on, logs are JSON lines at `info` in a file, and both `/metrics` are scraped every five seconds, three times
as often as usual. Judged is the CPU of a batch, all processes of the service, Postgres and Redis together.
"""

import asyncio
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
OWN = ("api", "worker")  # what of a batch is the programs' own


@dataclass(frozen=True, slots=True)
class Pair:
    """The same load with metrics and logs, and without."""

    on: Run
    off: Run

    @property
    def ratio(self) -> float:
        return self.on.cpu_a_batch / self.off.cpu_a_batch

    @property
    def own_ratio(self) -> float:
        """Of api and worker alone."""
        return sum(self.on.cpu_us[name] for name in OWN) / sum(self.off.cpu_us[name] for name in OWN)


@dataclass(frozen=True, slots=True)
class Cost:
    pairs: Sequence[Pair]

    def of(self, variant: str) -> Sequence[Pair]:
        return [pair for pair in self.pairs if pair.on.variant == variant]

    def more(self, variant: str) -> float:
        """By how much a batch costs more CPU, per cent: the median over the pairs."""
        return 100 * (median(pair.ratio for pair in self.of(variant)) - 1)

    def document(self) -> list[dict[str, Any]]:
        """Each pair: CPU µs a batch with metrics and logs, and without."""
        return [
            {"variant": one.on.variant, "on": round(one.on.cpu_a_batch, 1), "off": round(one.off.cpu_a_batch, 1)}
            for one in self.pairs
        ]

    def line(self) -> str:
        told = []
        for variant, clients, _ in LOADS:
            pairs = self.of(variant)
            own = 100 * (median(pair.own_ratio for pair in pairs) - 1)
            spread = ", ".join(f"{100 * (pair.ratio - 1):+.1f}" for pair in pairs)
            whole = f"{variant}, {clients} clients: {self.more(variant):+.1f} % CPU a batch ({spread})"
            told.append(f"{whole}; api and worker alone {own:+.1f} %")
        return f"Metrics and logs, over none of them, {len(self.pairs) // len(LOADS)} pairs. " + ". ".join(told)


async def measure_observability(service: Service, seconds: float, rounds: int, say: Say) -> Cost:
    """Raises Unsound, LoadError, TimeoutError, NotReady."""
    pairs: list[Pair] = []
    for round_ in range(rounds):
        order = (True, False) if round_ % 2 == 0 else (False, True)
        runs = {measured: await _runs(service, measured, seconds, round_, say) for measured in order}
        pairs += [Pair(on, off) for on, off in zip(runs[True], runs[False], strict=True)]
    return Cost(pairs)


async def _runs(service: Service, measured: bool, seconds: float, round_: int, say: Say) -> list[Run]:
    """One start of the service, and a run of each load."""
    runs = []
    service.measured = measured
    await service.start()
    try:
        await warm_up(service)
        for variant, clients, prefer in LOADS:
            load = replace(load_of(service, clients, seconds, prefer), seed=round_)
            scraping = asyncio.create_task(_scrape(service)) if measured else None
            try:
                runs.append(await measure(service, variant, load))
            finally:
                if scraping is not None:
                    scraping.cancel()
            say(f"{'with' if measured else 'without'} metrics and logs: {line(runs[-1])}")
    finally:
        await service.stop()
        service.measured = True
    return runs


async def _scrape(service: Service) -> None:
    """As Prometheus does, until it is cancelled."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        while True:
            for port in (service.port, service.worker_port):
                with suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
                        await answer.read()
            await asyncio.sleep(SCRAPE)
