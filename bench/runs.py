"""Whole runs: a message is sent, a worker executes `echo`, the client hears on its stream that it is over.

Each client has a thread and a stream of its own and one message under way. One api, one worker that applies and
executes. A figure counts only where the tables say the same as the clients: so many runs, all of them completed.
"""

from dataclasses import dataclass
from typing import Any

from bench import cpu
from bench.crowd import crowd
from bench.measure import PATIENCE, Say, warm_up
from bench.subjects import Service
from bench.verify import Unsound

CLIENTS = (1, 16)
LEAD = 1.0  # seconds of talk that nobody measures


@dataclass(frozen=True, slots=True)
class Talked:
    """The figures of one conversation of so many clients; times in ms from the POST to its run's last event."""

    clients: int
    runs: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_us: dict[str, float]  # a run: api, worker, postgres, redis, generator
    others: float  # cores that strangers kept busy

    @property
    def per_second(self) -> float:
        return self.runs / self.seconds

    @property
    def cpu_a_run(self) -> float:
        """api, worker, Postgres and Redis together, µs."""
        return sum(value for name, value in self.cpu_us.items() if name != "generator")

    def line(self) -> str:
        parts = " + ".join(f"{name} {value:,.0f}" for name, value in self.cpu_us.items())
        return (
            f"echo, {self.clients:>2} clients: {self.per_second:,.0f} runs/s, completed {self.p50_ms:.1f} /"
            f" {self.p99_ms:.1f} ms, slowest {self.max_ms:.0f} ms, {self.cpu_a_run:,.0f} CPU-µs a run ({parts})"
        )

    def document(self) -> dict[str, Any]:
        return {
            "clients": self.clients,
            "runs": self.runs,
            "runs/s": round(self.per_second, 1),
            "p50": round(self.p50_ms, 3),
            "p99": round(self.p99_ms, 3),
            "slowest": round(self.max_ms, 3),
            "cpu": round(self.cpu_a_run, 1),
            **{name: round(value, 1) for name, value in self.cpu_us.items()},
            "others": round(self.others, 3),
        }


async def measure_runs(service: Service, seconds: float, rounds: int, say: Say) -> list[Talked]:
    """Interleaved, at each number of clients. Raises Unsound, LoadError, TimeoutError."""
    await service.reset()
    threads = await service.add_threads(max(CLIENTS))
    found: list[Talked] = []
    await service.start("all")
    try:
        await warm_up(service)
        await _talk(service, threads, LEAD)
        for _ in range(rounds):
            for clients in CLIENTS:
                found.append(await _talk(service, threads[:clients], seconds))
                say(found[-1].line())
    finally:
        await service.stop()
        await service.reset()
    return found


async def _talk(service: Service, threads: list[str], seconds: float) -> Talked:
    """One conversation, from empty tables."""
    await service.until_executed(PATIENCE)
    await service.reset()
    given = {"port": service.port, "token": service.token, "threads": threads, "seconds": seconds}
    async with crowd("bench.talkers", given) as talkers:
        before = cpu.snapshot(service.roots)
        said = await talkers.line(seconds + PATIENCE)
        spent = cpu.snapshot(service.roots).since(before)
    await _verify(service, said)
    groups = {**spent.groups, "generator": said["cpu_seconds"]}
    return Talked(
        clients=len(threads),
        runs=said["runs"],
        seconds=said["seconds"],
        p50_ms=said["p50_ms"],
        p99_ms=said["p99_ms"],
        max_ms=said["max_ms"],
        cpu_us={name: value / said["runs"] * 1e6 for name, value in groups.items()},
        others=max(0.0, spent.machine - sum(groups.values())) / said["seconds"],
    )


async def _verify(service: Service, said: dict[str, Any]) -> None:
    await service.until_executed(PATIENCE)
    rows = await service.ends()
    if said["broken"] or said["failed"] or not said["runs"] or rows != {"completed": said["runs"]}:
        raise Unsound(f"clients heard of {said}, the tables say {rows}")
