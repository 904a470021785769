"""What metrics and logs cost is found in slices of one process, whatever else makes these dearer or cheaper."""

import pytest

from bench.observability import Slice, differences_of
from bench.toggled import measuring
from tests.faults.clients import chance

COST = 12e-6  # seconds a batch


def slices(cost: float, batches: int = 500) -> list[Slice]:
    """A process that slows down by half over a thousand slices, and whose batches cost 250 µs at first."""
    rng = chance(5)
    found = []
    for number in range(1_000):
        each = 250e-6 * (1 + number / 2_000) + rng.gauss(0, 5e-6) + (cost if measuring(number) else 0.0)
        found.append((number, each * batches, batches))
    return found


def test_half_of_all_slices_measure_and_one_of_each_two_neighbours() -> None:
    assert all(measuring(number) != measuring(number + 1) for number in range(0, 1_000, 2))
    assert len({measuring(number) for number in range(0, 100, 2)}) == 2


@pytest.mark.parametrize("cost", [0.0, COST])
def test_the_cost_is_the_mean_difference_of_neighbours(cost: float) -> None:
    found = differences_of(slices(cost))
    assert len(found) == 500
    assert sum(found) / len(found) == pytest.approx(cost, abs=1e-6)


def test_slices_in_which_little_was_done_are_left_out() -> None:
    busy = slices(COST)
    idle = [(1_000 + number, 0.001, 3) for number in range(10)]
    assert differences_of([*busy, *idle]) == differences_of(busy)


def test_a_slice_whose_neighbour_was_not_seen_is_left_out() -> None:
    assert len(differences_of(slices(COST)[1:])) == 499
