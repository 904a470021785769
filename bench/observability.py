"""What metrics and logs cost: the same processes with them and without, in turns of a quarter of a second.

Two starts of one build differ by up to 5 % of a batch's CPU, as pairs of equal builds showed, which is as much as is
looked for. So `bench.toggled` leaves out what measures and logs in a drawn half of a run's slices, in api and worker at
once, and keeps the CPU and the batches of each. The difference of neighbouring slices is the cost; its standard error
says how well it is known. Logs are JSON lines at `info` in a file; both `/metrics` are scraped every five seconds of
the half with them, three times as often as usual, and samples are added in that half alone, as often as in all of it.
"""

import asyncio
import json
import math
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from statistics import mean, stdev
from typing import Any

import aiohttp

from bench.measure import ASYNC, Run, Say, line, load_of, measure, warm_up
from bench.subjects import Service
from bench.toggled import PROGRAMS, SLICE, measuring, number_of

LOADS = (("async", 128, ASYNC), ("waited", 16, ""))
SCRAPE = 10.0  # seconds, of which half are with metrics and logs

Slice = tuple[int, float, int]  # its number, seconds of CPU, batches


@dataclass(frozen=True, slots=True)
class Share:
    """What of a batch's CPU one load spends on metrics and logs, and the standard error of that, 0..1."""

    variant: str
    share: float
    error: float
    pairs: int  # of slices, over both programs

    @property
    def most(self) -> float:
        """Per cent, two standard errors above what was found."""
        return 100 * (self.share + 2 * self.error)


@dataclass(frozen=True, slots=True)
class Cost:
    shares: Sequence[Share]

    def of(self, variant: str) -> Share:
        return next(one for one in self.shares if one.variant == variant)

    def document(self) -> dict[str, Any]:
        """Per cent of a batch's CPU."""
        return {
            one.variant: {
                "share": round(100 * one.share, 2),
                "error": round(100 * one.error, 2),
                "pairs": one.pairs,
            }
            for one in self.shares
        }

    def line(self) -> str:
        told = [
            f"{variant}, {clients} clients: {100 * one.share:+.1f} % of a batch's CPU,"
            f" standard error {100 * one.error:.1f} ({one.pairs:,} pairs of slices)"
            for variant, clients, _ in LOADS
            for one in (self.of(variant),)
        ]
        return "Metrics and logs. " + ". ".join(told)


async def measure_observability(service: Service, seconds: float, rounds: int, say: Say) -> Cost:
    """Each load for twelve times `seconds`, over `rounds` starts. Raises Unsound, LoadError, TimeoutError, NotReady."""
    found: dict[str, list[tuple[Run, dict[str, list[Slice]]]]] = {variant: [] for variant, _, _ in LOADS}
    for round_ in range(rounds):
        for load in LOADS:
            found[load[0]].append(await _run(service, load, 12 * seconds / rounds, round_, say))
    return Cost([share_of(variant, runs) for variant, runs in found.items()])


def share_of(variant: str, runs: Sequence[tuple[Run, dict[str, list[Slice]]]]) -> Share:
    """The sum over both programs of what a batch costs more in slices with metrics and logs."""
    cost, variance, pairs = 0.0, 0.0, 0
    for program in PROGRAMS:
        differences = [one for _, slices in runs for one in differences_of(slices[program])]
        cost += mean(differences)
        variance += stdev(differences) ** 2 / len(differences)
        pairs += len(differences)
    whole = mean(run.cpu_a_batch for run, _ in runs) / 1e6 + cost / 2  # what was measured is with them half of the time
    return Share(variant, cost / whole, math.sqrt(variance) / whole, pairs)


def differences_of(slices: Sequence[Slice]) -> list[float]:
    """Of each two neighbours: seconds of CPU a batch with metrics and logs, less without. Idle ones are left out."""
    known = {number: (cpu, batches) for number, cpu, batches in slices}
    usual = mean(batches for _, _, batches in slices)
    found = []
    for number in known:
        pair = (number, number + 1)
        if number % 2 or any(known.get(one, (0.0, 0))[1] < usual / 4 for one in pair):
            continue
        one, other = (known[n][0] / known[n][1] for n in pair)
        found.append(one - other if measuring(number) else other - one)
    return found


async def _run(
    service: Service, load: tuple[str, int, str], seconds: float, round_: int, say: Say
) -> tuple[Run, dict[str, list[Slice]]]:
    """One start of the service, and a run of one load."""
    variant, clients, prefer = load
    service.toggled = True
    await service.start()
    scraping = asyncio.create_task(_scrape(service))
    try:
        await warm_up(service)
        for program in service.programs.values():
            program.process.send_signal(signal.SIGUSR2)
        run = await measure(service, variant, replace(load_of(service, clients, seconds, prefer), seed=round_))
    finally:
        scraping.cancel()
        await service.stop()
        service.toggled = False
    say(line(run))
    return run, {name: json.loads(service.slices_of(name).read_text(encoding="utf-8")) for name in PROGRAMS}


async def _scrape(service: Service) -> None:
    """As Prometheus does, in slices with metrics alone, until it is cancelled."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        while True:
            await asyncio.sleep(_until_measuring(time.time()))
            for port in (service.port, service.worker_port):
                with suppress(aiohttp.ClientError, TimeoutError):
                    async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
                        await answer.read()
            await asyncio.sleep(SCRAPE)


def _until_measuring(now: float) -> float:
    """Seconds until a slice with metrics begins, so that a scrape falls into it as a whole."""
    number = next(n for n in count(number_of(now) + 1) if measuring(n))
    return number * SLICE - now + SLICE / 10
