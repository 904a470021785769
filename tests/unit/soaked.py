"""Readings of a soak that are made up: one process, one figure of which is what a test says."""

from collections.abc import Callable

from tests.soak.readings import EVERY, Reading

HALF_AN_HOUR = 1_800.0


def reading(**values: float) -> Reading:
    counts = {"clients": 4, "descriptors": 40, "postgres": 8, "redis": 5, "threads": 5, "children": 0, "tasks": 30}
    return Reading(**({"memory": 60, "resident": 90} | counts | values))  # type: ignore[arg-type]  # the series are made of numbers


def series(
    value: Callable[[float], float], name: str, seconds: float = HALF_AN_HOUR
) -> dict[str, list[tuple[float, Reading]]]:
    times = [n * EVERY for n in range(int(seconds / EVERY) + 1)]
    return {"api-0": [(at, reading(**{name: value(at)})) for at in times]}
