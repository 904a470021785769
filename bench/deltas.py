"""How old a piece of an answer is when its client has it: 200 runs at once, each with a client that listens.

The runner says what time it is (`bench.runners.ticks`), the client looks at its watch: both are on one machine. What
counts is only the time in which all of them run. Nothing counts where a client did not hear every tick, in order.
"""

from dataclasses import asdict, dataclass
from typing import Any

from bench import cpu
from bench.crowd import crowd
from bench.measure import PATIENCE, Say, warm_up
from bench.subjects import Service
from bench.verify import Unsound

TICKS = "bench.runners:ticks"
STREAMS = 200
RATE = 10  # ticks a second of each: a model's pace, where its words come in pieces
LONGER = 2  # times the usual length: 200 runs begin one after another
ROOM = {"THREADMILL_CONCURRENCY": "256"}  # one worker is to have them all; its default is 100


@dataclass(frozen=True, slots=True)
class Ages:
    """Of the ticks while all streams ran; ms from yielded to here."""

    streams: int
    ticks: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    cores: dict[str, float]  # that each part kept busy, from the first message to the last run's end

    def line(self) -> str:
        busy = ", ".join(f"{name} {value:.2f}" for name, value in self.cores.items())
        return (
            f"Deltas, {self.streams} streams of {RATE}/s: runner to client {self.p50_ms:.1f} / {self.p99_ms:.1f} ms,"
            f" slowest {self.max_ms:.0f} ms, of {self.ticks:,}; cores busy: {busy}"
        )

    def document(self) -> dict[str, Any]:
        return asdict(self)


async def measure_deltas(service: Service, seconds: float, say: Say) -> Ages:
    """Raises Unsound, LoadError, TimeoutError."""
    await service.reset()
    threads = await service.add_threads(STREAMS, function=TICKS, rate=RATE, seconds=LONGER * seconds)
    await service.start("all", **ROOM)
    try:
        await warm_up(service)
        await service.until_executed(PATIENCE)
        await service.reset()
        found = await _listen(service, threads, LONGER * seconds)
        say(found.line())
    finally:
        await service.stop()
        await service.reset()
    return found


async def _listen(service: Service, threads: list[str], seconds: float) -> Ages:
    given = {"port": service.port, "token": service.token, "threads": threads, "seconds": seconds + PATIENCE}
    async with crowd("bench.listeners", given) as listeners:
        before = cpu.snapshot(service.roots)
        await service.say_to(threads)
        heard = await listeners.line(seconds + PATIENCE)
        spent = cpu.snapshot(service.roots).since(before)
    ticks = round(RATE * seconds)
    if heard["lost"] or not heard["ordered"] or heard["heard"] != [ticks] * len(threads) or not heard["ticks"]:
        raise Unsound(f"listeners: {ticks} ticks a stream, but {heard}")
    await service.until_executed(PATIENCE)
    if (rows := await service.ends()) != {"completed": len(threads)}:
        raise Unsound(f"{len(threads)} runs, but {rows}")
    cores = {**spent.groups, "generator": heard["cpu_seconds"]}
    cores = {name: value / seconds for name, value in cores.items()}
    return Ages(len(threads), heard["ticks"], heard["p50_ms"], heard["p99_ms"], heard["max_ms"], cores)
