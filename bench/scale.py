"""What a batch costs with more apis and workers: every number of each, on the same machine, interleaved.

Two cores that one pair keeps busy give no more to four workers: throughput can't grow here. What must hold is that the
CPU of a batch stays what it was, so that more cores would be more throughput. Full: as fast as 128 clients get answers.
Waited: the same, of clients that wait for outcomes. Paced: a tenth of it, where idle processes and wake-ups would show.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import Any

from bench.fleet import Fleet, together
from bench.measure import ASYNC, Run, Say, line, load_of, measure, warm_up
from bench.subjects import Service

SIZES = ((1, 1), (1, 2), (1, 4), (2, 1), (2, 2), (2, 4))  # apis, workers; the first one is what the others are held to
CLIENTS = 128
PACE = 500.0  # batches a second
FULL, WAITED, FEW, PACED = "full", "waited", "waited, 32", "paced"
LOADS = (FULL, WAITED, FEW, PACED)  # of a round, in this order
KINDS = ("api", "worker", "postgres", "redis")


@dataclass(frozen=True, slots=True)
class Sized:
    """One run of one size; `run.cpu_us` holds kinds of processes."""

    apis: int
    workers: int
    load: str
    round: int
    run: Run


@dataclass(frozen=True, slots=True)
class Scale:
    runs: Sequence[Sized]

    def middle(self, size: tuple[int, int], load: str, figure: Callable[[Run], float]) -> float:
        """The median over the rounds."""
        return median(figure(one.run) for one in self._of(size, load))

    def ratio(self, size: tuple[int, int], load: str, figure: Callable[[Run], float]) -> float:
        """To one api and one worker of the same round, the median over the rounds."""
        base = {one.round: figure(one.run) for one in self._of(SIZES[0], load)}
        return median(figure(one.run) / base[one.round] for one in self._of(size, load))

    def _of(self, size: tuple[int, int], load: str) -> Iterator[Sized]:
        return (one for one in self.runs if (one.apis, one.workers) == size and one.load == load)

    def line(self) -> str:
        """A row for each size and load."""
        names = [("apis", 6), ("workers", 9), ("load", 12), ("applied/s", 11), ("p50/p99 ms", 16)]
        names += [("CPU-µs a batch", 16), ("over 1+1", 10)]
        head = "".join(name.rjust(width) for name, width in names) + "   of which"
        rows = [f"With more apis and workers, medians of {len(self.runs) // len(SIZES) // len(LOADS)}:", head]
        return "\n".join([*rows, *(self._row(size, load) for load in LOADS for size in SIZES)])

    def _row(self, size: tuple[int, int], load: str) -> str:
        def of(figure: Callable[[Run], float]) -> float:
            return self.middle(size, load, figure)

        times = f"{of(lambda run: run.rows.p50_ms):.1f}/{of(lambda run: run.rows.p99_ms):.1f}"
        parts = ", ".join(f"{kind} {of(partial(_spent, kind)):.0f}" for kind in KINDS)
        ratio = self.ratio(size, load, lambda run: run.cpu_a_batch)
        return (
            f"{size[0]:>6}{size[1]:>9}{load:>12}{of(lambda run: run.applied_per_second):>11,.0f}{times:>16}"
            f"{of(lambda run: run.cpu_a_batch):>16.0f}{ratio:>9.2f}x   {parts}"
        )

    def document(self) -> list[dict[str, Any]]:
        return [
            {
                "apis": one.apis,
                "workers": one.workers,
                "load": one.load,
                "applied/s": round(one.run.applied_per_second),
                "applied p50": round(one.run.rows.p50_ms, 2),
                "applied p99": round(one.run.rows.p99_ms, 2),
                "answer p99": round(one.run.answers.p99_ms, 2),
                "cpu": {name: round(value) for name, value in one.run.cpu_us.items()},
                "others": round(one.run.others, 3),
            }
            for one in self.runs
        ]


def _spent(kind: str, run: Run) -> float:
    return run.cpu_us[kind]


async def measure_scale(service: Service, seconds: float, rounds: int, say: Say) -> Scale:
    """Raises Unsound, LoadError, NotReady, TimeoutError."""
    runs: list[Sized] = []
    for round_ in range(rounds):
        for apis, workers in SIZES if round_ % 2 == 0 else SIZES[::-1]:
            for load, run in await _of_size(service, apis, workers, seconds, round_):
                runs.append(Sized(apis, workers, load, round_, run))
                say(f"{apis} apis, {workers} workers, {load}: {line(run)}")
    return Scale(runs)


async def _of_size(service: Service, apis: int, workers: int, seconds: float, round_: int) -> list[tuple[str, Run]]:
    fleet = Fleet(service)
    try:
        await fleet.start_all(apis, workers)
        await warm_up(fleet)
        usual = replace(load_of(fleet, CLIENTS, seconds, ASYNC), ports=fleet.ports, seed=round_)
        waited = replace(load_of(fleet, CLIENTS, seconds), ports=fleet.ports, seed=round_)
        loads = {
            FULL: usual,
            WAITED: waited,
            FEW: replace(waited, clients=32),
            PACED: replace(usual, clients=16, rate=PACE),
        }
        found = {name: await measure(fleet, name, load) for name, load in loads.items()}
    finally:
        await fleet.stop()
    return [(name, replace(run, cpu_us=together(run.cpu_us))) for name, run in found.items()]
