"""The list of faults: it follows from its seed, every kind comes, and nothing is hit while it is spared."""

from collections.abc import Sequence
from itertools import islice, takewhile

from tests.faults.clients import chance
from tests.faults.run import read_seeds
from tests.faults.schedule import DEALT, KINDS, WEIGHTS, Fault, schedule

APIS, WORKERS = ("api-0", "api-1"), ("worker-0", "worker-1", "worker-2")
REST = {kind.name: kind.rest for kind in DEALT}


def first(count: int, *, seed: int = 1, weights: Sequence[int] = WEIGHTS) -> list[Fault]:
    return list(islice(schedule(chance(seed), APIS, WORKERS, weights), count))


def test_the_same_seed_is_the_same_list_and_another_is_another() -> None:
    assert first(200, seed=3) == first(200, seed=3)
    assert first(200, seed=3) != first(200, seed=4)


def test_every_kind_comes_in_a_run_of_fifty_seconds() -> None:
    """The short form of two seeds asks for one of each."""
    for seed in range(1, 31):
        short = takewhile(lambda fault: fault.at < 50, schedule(chance(seed), APIS, WORKERS))
        assert {fault.kind for fault in short} == set(KINDS), f"seed {seed}"


def test_a_worker_that_executes_nothing_is_not_stopped_past_its_lease() -> None:
    faults = islice(schedule(chance(1), APIS, WORKERS, executors=WORKERS[:2]), 500)
    hit = {fault.target for fault in faults if fault.kind == "stop worker past its lease"}
    assert hit == set(WORKERS[:2])
    assert "stop worker past its lease" not in {
        fault.kind for fault in islice(schedule(chance(1), APIS, WORKERS, executors=()), 500)
    }


def test_nothing_is_hit_while_it_is_spared() -> None:
    free: dict[str, float] = {}
    for fault in first(2_000):
        targets = ("postgres", "disk") if fault.kind == "fill disk" else (fault.target,)
        for target in targets:
            assert free.get(target, 0.0) <= fault.at + 0.001, fault
            free[target] = fault.at + fault.lasts + REST[fault.kind] - 0.001


def test_faults_come_about_once_a_second() -> None:
    assert 1_000 <= len(list(takewhile(lambda fault: fault.at < 1_200, schedule(chance(5), APIS, WORKERS)))) <= 1_500


def test_a_weight_of_nothing_is_never_dealt() -> None:
    only = tuple(int(kind == "kill api") for kind in KINDS)
    assert {fault.kind for fault in first(50, weights=only)} == {"kill api"}
    assert first(1, weights=(0,) * len(KINDS)) == []


def test_seeds_are_read_as_a_list_and_as_a_range() -> None:
    assert read_seeds("1") == [1]
    assert read_seeds("1,2,3") == [1, 2, 3]
    assert read_seeds("1-3,7") == [1, 2, 3, 7]
