"""That a soak passes only where everything was looked at, and enough happened meanwhile."""

from dataclasses import replace
from typing import Any

import pytest

from tests.soak.run import PROCESSES, Plan, Soak
from tests.soak.verdict import WHAT, Check, grown, left
from tests.unit.soaked import reading, series

WHOLE = Plan(2_100.0, pace=2.0)  # behind 5 minutes


def soak() -> Soak:
    """As measured, about."""
    return Soak(
        WHOLE,
        checks=[Check(process, what, 1.0, 3.0) for process in PROCESSES for what in WHAT],
        done={"batches": 33_000, "native": 2_000, "files": 900},
        disturbed={"batches": 900, "native": 90},
        faults={"cut link": 150, "flush redis": 150, "kill": 71},
        readings=dict.fromkeys(PROCESSES, 890),
    )


def test_a_soak_in_which_enough_happened_passes() -> None:
    assert soak().passed
    assert replace(soak(), plan=replace(WHOLE, faults=False), faults={}).passed


@pytest.mark.parametrize(
    ("lacking", "figures"),
    [
        ("only 0 batches, at least 16800 were wanted", {"done": {"batches": 0, "native": 2_000}}),
        ("only 149 faults, at least 150 were wanted", {"faults": {"cut link": 149, "kill": 71}}),
        ("only 2 kills, at least 30 were wanted", {"faults": {"cut link": 300, "kill": 2}}),
        (
            "only 9 readings of worker-1, at least 450 were wanted",
            {"readings": {**dict.fromkeys(PROCESSES, 890), "worker-1": 9}},
        ),
        (
            "not known of api-0: tasks grew",
            {"checks": [c for c in soak().checks if (c.process, c.what) != ("api-0", "tasks grew")]},
        ),
    ],
)
def test_a_soak_in_which_too_little_happened_says_so_and_fails(lacking: str, figures: dict[str, Any]) -> None:
    found = replace(soak(), **figures)
    assert found.lacking == [lacking]
    assert not found.passed
    assert found.document()["lacking"] == [lacking]


def test_a_soak_of_which_nothing_is_known_fails() -> None:
    assert not Soak(WHOLE).passed
    assert len(Soak(WHOLE).lacking) == 1 + len(PROCESSES) + 2 + len(PROCESSES) * len(WHAT)


def test_a_sort_of_client_that_came_to_nothing_is_dry() -> None:
    assert replace(soak(), done={"batches": 33_000, "native": 0, "files": 900}, disturbed={}).dry == ["native"]
    assert replace(soak(), disturbed={"files": 901}).dry == ["files"]


@pytest.mark.parametrize(("told", "known"), [(2, True), (3, False)])
def test_tasks_are_judged_where_half_of_the_readings_tell_them(told: int, known: bool) -> None:
    of_one = series(lambda _: 30, "tasks")["api-0"]
    some = [(at, entry if n % told == 0 else replace(entry, tasks=None)) for n, (at, entry) in enumerate(of_one)]
    assert ("tasks grew" in {check.what for check in grown({"api-0": some}, 0)}) == known


def test_what_checks_are_made_of_a_process_are_all_that_are_wanted() -> None:
    made = [*grown(series(lambda _: 30, "tasks"), 0), *left({"api-0": reading()}, {"api-0": reading()})]
    assert [check.what for check in made] == list(WHAT)
