"""Whether what was read is flat: the growth of each series, and what is held at rest behind the load as before it.

Growth is judged over the time behind the warm-up: of 35 minutes that is the bar's 30 behind the first 5.
At rest nobody asks anything: what is held then more than before was left behind by somebody who went away.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

from tests.soak.readings import COUNTS, Reading
from tests.soak.slopes import Point, growth

MEMORY = 5.0  # MiB that a process may grow by
STEADY = 4.0  # of the others: they come and go with the load, and a slope of a short time has that noise
LEFT = 3  # of the others at rest
# Pools keep as many connections as were once in use at a time, which faults make more: that is bounded, not flat.
POOLED = {"postgres": 8, "redis": 8, "descriptors": 16}
TOLD = 0.5  # share of the readings that must have a figure, least: a process that is stopped does not tell its tasks
WHAT = ("memory grew, MiB", *(f"{name} grew" for name in COUNTS), *(f"{name} left at rest" for name in COUNTS))

Series = Mapping[str, Sequence[tuple[float, Reading]]]


@dataclass(frozen=True, slots=True)
class Check:
    """`value` may be at most `limit`."""

    process: str
    what: str
    value: float
    limit: float

    @property
    def passed(self) -> bool:
        return self.value <= self.limit

    def document(self) -> dict[str, object]:
        return {**asdict(self), "value": round(self.value, 2), "passed": self.passed}


def grown(series: Series, since: float, steady: float = STEADY) -> Iterator[Check]:
    """From the readings behind the warm-up. `since` is of their clock."""
    for process, readings in series.items():
        behind = [(at, reading) for at, reading in readings if at >= since]
        if not behind:
            continue
        seconds = behind[-1][0] - behind[0][0]
        yield Check(process, "memory grew, MiB", growth(points(behind, "memory"), seconds), MEMORY)
        for name in COUNTS:
            if len(known := points(behind, name)) >= TOLD * len(behind):
                yield Check(process, f"{name} grew", growth(known, seconds), steady)


def left(before: Mapping[str, Reading], behind: Mapping[str, Reading]) -> Iterator[Check]:
    """From what each held at rest."""
    for process, first in before.items():
        for name in COUNTS:
            now, then = getattr(behind[process], name), getattr(first, name)
            if now is not None and then is not None:
                yield Check(process, f"{name} left at rest", now - then, POOLED.get(name, LEFT))


def unknown(checks: Iterable[Check], processes: Iterable[str]) -> list[str]:
    """What there is no check of, and must be."""
    made = {(check.process, check.what) for check in checks}
    return [f"{process}: {what}" for process in processes for what in WHAT if (process, what) not in made]


def points(readings: Iterable[tuple[float, Reading]], name: str) -> list[Point]:
    """One figure of a series; what was not said is left out."""
    found = ((at, getattr(reading, name)) for at, reading in readings)
    return [(at, float(value)) for at, value in found if value is not None]


def table(checks: Sequence[Check]) -> str:
    """A row a process: what it grew by, and what it kept. `!` stands where a limit is missed."""
    names = list(dict.fromkeys(check.what for check in checks))
    rows = [["", *names]]
    for process in dict.fromkeys(check.process for check in checks):
        of_it = {check.what: check for check in checks if check.process == process}
        rows.append([process, *(_cell(of_it.get(name)) for name in names)])
    return "\n".join("  ".join(cell.rjust(12) for cell in (row[n] for row in rows)) for n in range(len(rows[0])))


def _cell(check: Check | None) -> str:
    return "" if check is None else f"{check.value:.2f}{'' if check.passed else ' !'}"
