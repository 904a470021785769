"""What slow clients cost: 1,000 streams of busy threads that nobody reads, and 1,000 requests that never become whole.

100 batches a second are accepted meanwhile, and their answers are judged; so is the memory that the slow ones take, and
whether each was closed when the documentation says so (docs/api.md, "Limits").
"""

import asyncio
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from bench import cpu
from bench.crowd import crowd
from bench.deltas import TICKS
from bench.idle import LONGER, paced
from bench.load import Answers
from bench.measure import ASYNC, PATIENCE, Say, warm_up
from bench.sockets import server_sides
from bench.subjects import Service

STREAMS = 1_000
REQUESTS = 1_000
BUSY = 20  # threads that the streams are of
# What they say: enough to fill what lies between an api and a client within some seconds, for as long as it takes until
# the last one is cut.
RATE, SIZE, SECONDS = 2, 16 << 10, 40
LOOK = 0.25  # seconds between looks at the server's side of the streams
LIMIT = 40.0  # seconds after which what is still open was not closed in time


@dataclass(frozen=True, slots=True)
class Slow:
    alone: Answers
    beside: Answers
    kib_a_stream: float  # of the api and of what the system keeps for it, at most, as if the requests cost nothing
    streams_open: int  # that were never cut
    streams_cut: float  # seconds for which the slowest one had taken nothing when it was
    requests_open: int
    heads_cut: float  # seconds since the last byte of a request, of the slowest one that stopped in its head
    bodies_cut: float  # … and of the slowest one that stopped in its body

    def line(self) -> str:
        beside, alone = self.beside, self.alone
        return (
            f"{STREAMS:,} streams that nobody reads, {REQUESTS:,} requests half sent: {self.kib_a_stream:.0f} KiB a"
            f" stream, cut after {self.streams_cut:.1f} s; heads after {self.heads_cut:.1f} s, bodies after"
            f" {self.bodies_cut:.1f} s; left open {self.streams_open} and {self.requests_open}; accepts"
            f" {beside.p50_ms:.1f} / {beside.p99_ms:.1f} ms, without them {alone.p50_ms:.1f} / {alone.p99_ms:.1f} ms"
        )

    def document(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(slots=True)
class Watch:
    """Looks at the server's side of streams until all are cut: how long each had stood still, and what all take."""

    port: int
    pid: int  # of the server
    ends: set[int]  # the ports at the clients' ends
    peak: float = 0.0  # MiB: resident and queued
    slowest: float = 0.0  # seconds
    _queued: dict[int, int] = field(default_factory=dict)
    _moved: dict[int, float] = field(default_factory=dict)

    async def run(self) -> None:
        """At most `LIMIT` seconds."""
        until = time.monotonic() + LIMIT
        while self.ends and time.monotonic() < until:
            self.look(time.monotonic())
            await asyncio.sleep(LOOK)

    def look(self, now: float) -> None:
        sides = server_sides(self.port)
        queued = sum(side.queued for side in sides.values()) / (1 << 20)
        self.peak = max(self.peak, cpu.resident_mib(self.pid) + queued)
        for end in list(self.ends):
            side = sides.get(end)
            if side is None or not side.open:
                self.ends.remove(end)
                self.slowest = max(self.slowest, now - self._moved.get(end, now))
            elif side.queued != self._queued.get(end):
                self._queued[end], self._moved[end] = side.queued, now


async def measure_slow(service: Service, seconds: float, say: Say) -> Slow:
    """Raises Unsound, LoadError, TimeoutError."""
    await service.reset()
    busy = await service.add_threads(BUSY, function=TICKS, rate=RATE, size=SIZE, seconds=SECONDS)
    await service.start("all")
    try:
        await warm_up(service)
        alone = await paced(service, LONGER * seconds, ASYNC)
        found = await _beside(service, busy, alone, LONGER * seconds)
        await service.interrupt(busy)
        await service.until_executed(PATIENCE)
    finally:
        await service.stop()
        await service.reset()
    say(found.line())
    return found


async def _beside(service: Service, busy: list[str], alone: Answers, seconds: float) -> Slow:
    given = {"port": service.port, "token": service.token, "threads": busy, "seconds": LIMIT}
    given |= {"streams": STREAMS, "requests": REQUESTS}
    pid = service.programs["api"].pid
    before = cpu.resident_mib(pid)
    async with crowd("bench.idlers", given) as idlers:
        watch = Watch(service.port, pid, set(idlers.ready["ports"]))
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch.run())
            loading = group.create_task(paced(service, seconds, ASYNC))
            await service.say_to(busy)
            await watching
        said = await idlers.end(PATIENCE)
    return Slow(
        alone=alone,
        beside=loading.result(),
        kib_a_stream=(watch.peak - before) * 1024 / STREAMS,
        streams_open=len(watch.ends),
        streams_cut=watch.slowest,
        requests_open=REQUESTS - said["closed"],
        heads_cut=said["head"],
        bodies_cut=said["body"],
    )
