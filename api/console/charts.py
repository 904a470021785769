"""Small charts of the last hour, as paths of an inline SVG; each with what it shows in words and in a table. Pure.

A step without a sample is a gap, never a zero. Refused here: colours and sizes, which are the stylesheet's.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.inspect.rates import Point, Rates, Series
from shared.words import age

WIDTH, HEIGHT = 300, 72  # of the drawing; it is stretched to its box
ROWS = 12  # of the table
NONE = "\N{EN DASH}"  # where nothing is known
_STEPS = (1, 2, 5)  # what a scale ends with, times a power of ten

Value = Callable[[Rates], float | None]


@dataclass(frozen=True, slots=True)
class Line:
    name: str
    kind: str  # its class in the stylesheet
    path: str  # `d` of an SVG path
    latest: str


@dataclass(frozen=True, slots=True)
class Chart:
    key: str
    title: str
    lines: tuple[Line, ...]
    top: str  # what the upper edge stands for
    summary: str
    begin: datetime
    rows: tuple[tuple[datetime, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Sort:
    """One kind of chart: what its lines are, and how a value is said."""

    key: str
    title: str
    lines: tuple[tuple[str, str, Value], ...]
    say: Callable[[float], str]
    least: float  # that the upper edge stands for, so that a quiet hour looks quiet


def per_second(value: float) -> str:
    return f"{value:,.0f}/s" if value >= 100 or value == 0 else f"{value:.1f}/s" if value >= 1 else f"{value:.2g}/s"


def seconds(value: float) -> str:
    return f"{value * 1_000:.3g} ms" if value < 1 else age(value)


def failures(rates: Rates) -> float:
    """Runs that failed and batches that were parked, a second."""
    return rates.failed + rates.parked


PACE = Sort(
    "pace",
    "Batches a second",
    (("accepted", "one", lambda rates: rates.accepted), ("applied", "two", lambda rates: rates.applied)),
    per_second,
    1.0,
)
FAILURES = Sort("failures", "Failures a second", (("failed", "bad", failures),), per_second, 0.1)
LATENCY = Sort(
    "latency",
    "Accepted to applied",
    (
        ("p50", "one", lambda rates: rates.p50),
        ("p95", "two", lambda rates: rates.p95),
        ("p99", "bad", lambda rates: rates.p99),
    ),
    seconds,
    0.01,
)


def draw(sort: Sort, series: Series) -> Chart:
    columns = [[_value(point, value) for point in series.points] for _, _, value in sort.lines]
    highest = _ceiling(max((one for column in columns for one in column if one is not None), default=0.0), sort.least)
    named = list(zip(sort.lines, columns, strict=True))
    lines = tuple(Line(name, kind, _path(column, highest), _latest(column, sort)) for (name, kind, _), column in named)
    said = "; ".join(f"{name} {_range(column, sort)}" for (name, _, _), column in named)
    return Chart(
        key=sort.key,
        title=sort.title,
        lines=lines,
        top=sort.say(highest),
        summary=f"The last hour: {said}.",
        begin=series.points[0].at,
        rows=_rows(series.points, columns, sort),
    )


def _value(point: Point, value: Value) -> float | None:
    return None if point.rates is None else value(point.rates)


def _ceiling(highest: float, least: float) -> float:
    """The next round number."""
    size = 10.0**-6
    while True:
        for step in _STEPS:
            if step * size >= max(highest, least) * 0.999:
                return step * size
        size *= 10


def _path(values: Sequence[float | None], highest: float) -> str:
    """A line through the values, broken where there is none; a lonely value is a short stroke."""
    across = WIDTH / max(len(values) - 1, 1)
    pieces, drawing = [], False
    for n, value in enumerate(values):
        if value is None:
            drawing = False
            continue
        place = f"{n * across:.1f} {HEIGHT - value / highest * (HEIGHT - 4) - 2:.1f}"
        pieces.append(f"L{place}" if drawing else f"M{place}h1")
        drawing = True
    return "".join(pieces)


def _latest(values: Sequence[float | None], sort: Sort) -> str:
    return NONE if values[-1] is None else sort.say(values[-1])


def _range(values: Iterable[float | None], sort: Sort) -> str:
    known = [one for one in values if one is not None]
    return f"{sort.say(min(known))} to {sort.say(max(known))}" if known else "not known"


def _rows(
    points: Sequence[Point], columns: Sequence[Sequence[float | None]], sort: Sort
) -> tuple[tuple[datetime, tuple[str, ...]], ...]:
    """The highest value of each stretch, line by line."""
    width = max(len(points) // ROWS, 1)
    found = []
    for start in range(0, len(points), width):
        stretches = [[one for one in column[start : start + width] if one is not None] for column in columns]
        found.append((points[start].at, tuple(sort.say(max(one)) if one else NONE for one in stretches)))
    return tuple(found)
