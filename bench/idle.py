"""What 2,000 streams cost in which nothing happens: memory of the api, and the time of those who send meanwhile.

100 batches a second, answered with their outcome, on other threads: alone, then beside the streams.
"""

import asyncio
from dataclasses import asdict, dataclass
from typing import Any

from bench import cpu
from bench.crowd import crowd
from bench.load import Answers, Load, drive
from bench.measure import PATIENCE, Say, warm_up
from bench.subjects import Service
from bench.verify import Unsound, tally, verify_counts

STREAMS = 2_000
RATE = 100.0  # batches a second
CLIENTS = 16  # so that a slow answer does not hold the next request back
LONGER = 2  # times the usual length: at 100 batches/s a p99 is that of a few
SETTLES = 1.0  # seconds: subscriptions, and the first look at all of them
LIMIT = 600.0  # seconds after which the clients give up


@dataclass(frozen=True, slots=True)
class Idle:
    streams: int
    kib_a_stream: float  # resident, of the api
    alone: Answers
    beside: Answers

    def line(self) -> str:
        return (
            f"{self.streams:,} idle streams: {self.kib_a_stream:.0f} KiB each; answers at {RATE:.0f}/s"
            f" {self.beside.p50_ms:.1f} / {self.beside.p99_ms:.1f} ms, without them {self.alone.p50_ms:.1f} /"
            f" {self.alone.p99_ms:.1f} ms"
        )

    def document(self) -> dict[str, Any]:
        return asdict(self)


async def measure_idle(service: Service, seconds: float, say: Say) -> Idle:
    """Raises Unsound, LoadError, TimeoutError."""
    await service.reset()
    threads = await service.add_threads(STREAMS)
    given = {"port": 0, "token": service.token, "threads": threads, "seconds": LIMIT}
    await service.start("all")
    try:
        await warm_up(service)
        api = service.programs["api"].pid
        alone = await paced(service, LONGER * seconds)
        before = cpu.resident_mib(api)
        async with crowd("bench.listeners", given | {"port": service.port}) as listeners:
            await asyncio.sleep(SETTLES)
            beside = await paced(service, LONGER * seconds)
            rise = cpu.resident_mib(api) - before
            heard = await listeners.end(PATIENCE)
    finally:
        await service.stop()
        await service.reset()
    if heard["lost"]:
        raise Unsound(f"{heard['lost']} of {STREAMS} streams were lost")
    found = Idle(STREAMS, rise * 1024 / STREAMS, alone, beside)
    say(found.line())
    return found


async def paced(service: Service, seconds: float, prefer: str = "") -> Answers:
    """100 batches a second over the usual threads, every one applied. Raises Unsound, LoadError, TimeoutError."""
    await service.forget_batches()
    load = Load(service.port, service.token, service.threads, CLIENTS, seconds, prefer, rate=RATE)
    answers = await drive(load)
    await service.until_applied(PATIENCE)
    verify_counts(await tally(service.db, service.threads), answers, load)
    return answers
