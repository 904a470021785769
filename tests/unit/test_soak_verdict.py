"""That the soak's arithmetic finds a leak under noise, and none where there is none."""

import random
from collections.abc import Callable, Iterator

import pytest

from tests.soak.slopes import growth, medians, slope
from tests.soak.verdict import Check, grown, left, table
from tests.unit.soaked import HALF_AN_HOUR, reading, series


def failed(checks: Iterator[Check]) -> list[str]:
    return [check.what for check in checks if not check.passed]


def noisy(by: float) -> Callable[[float], float]:
    """A value that comes and goes, and spikes now and then."""
    rng = random.Random(7)  # noqa: S311 - no secret
    return lambda _: rng.gauss(0, by) + (100 if rng.random() < 0.02 else 0)


def test_a_straight_line_has_its_slope() -> None:
    assert slope([(x, 3 + 0.5 * x) for x in range(100)]) == pytest.approx(0.5)
    assert growth([(x, 3 + 0.5 * x) for x in range(100)], 10) == pytest.approx(5)


def test_wild_readings_move_a_slope_little() -> None:
    line = [(float(x), 0.5 * x if x % 10 else 10_000.0) for x in range(1, 1_000)]
    assert slope(line) == pytest.approx(0.5, rel=0.05)


def test_little_is_no_slope() -> None:
    assert slope([]) == slope([(1, 1)]) == slope([(1, 1), (1, 9)]) == 0


def test_a_burst_of_readings_counts_as_one_span() -> None:
    assert len(medians([(0.0, 0.0), *((50.0 + n / 100, 7.0) for n in range(100)), (100.0, 1.0)], spans=4)) == 3


def test_noise_is_no_leak() -> None:
    noise = noisy(3)
    assert failed(grown(series(lambda _: 60 + noise(0), "memory"), 0)) == []
    assert failed(grown(series(lambda _: 40 + noise(0), "descriptors"), 0)) == []


def test_six_mebibytes_in_half_an_hour_are_a_leak() -> None:
    noise = noisy(3)
    assert failed(grown(series(lambda at: 60 + 6.5 * at / HALF_AN_HOUR + noise(0), "memory"), 0)) == [
        "memory grew, MiB"
    ]
    assert failed(grown(series(lambda at: 60 + 3.5 * at / HALF_AN_HOUR + noise(0), "memory"), 0)) == []


@pytest.mark.parametrize("name", ["descriptors", "postgres", "redis", "threads", "children", "tasks"])
def test_one_left_open_every_three_minutes_is_a_leak(name: str) -> None:
    assert failed(grown(series(lambda at: 10 + at // 180, name), 0)) == [f"{name} grew"]


def test_what_grows_in_the_warm_up_is_none() -> None:
    assert failed(grown(series(lambda at: min(at, 300) / 3, "memory"), 300)) == []
    assert failed(grown(series(lambda at: min(at, 300) / 3, "memory", 320), 0)) == ["memory grew, MiB"]


def test_tasks_that_were_not_told_are_left_out() -> None:
    told = series(lambda at: 30 + at, "tasks")
    told["api-0"][3] = (6.0, reading(tasks=None))  # type: ignore[arg-type]  # as of a process that is stopped
    assert failed(grown(told, 0)) == ["tasks grew"]


def test_what_is_left_at_rest_is_found() -> None:
    before = {"api-0": reading(), "worker-0": reading()}
    behind = {"api-0": reading(tasks=38), "worker-0": reading(descriptors=42)}
    found = list(left(before, behind))
    assert [(c.process, c.what, c.value) for c in found if not c.passed] == [("api-0", "tasks left at rest", 8)]
    assert "8.00 !" in table(found)
