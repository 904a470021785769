"""What a cut host's run is judged by: figures that are right are no fault, and a cut that cuts nothing is one."""

from dataclasses import replace
from typing import Any

import pytest

from tests.hosts.network import Cut
from tests.hosts.outage import Plan, Report
from tests.hosts.watch import PARTS


def report(cut: Cut = Cut.BACK) -> Report:
    """As of a cut that did what it should."""
    return Report(
        Plan(cut),
        acknowledged=1_500,
        answers={"200": 100, "none": 30} if cut is Cut.ALL else {"200": 100, "503": 90, "409": 1},
        slowest=9.0 if cut is Cut.ALL else 7.0,
        taken=[5.7, 6.5],
        kept=[0.1],
        oldest=0.2,
        back=dict.fromkeys(PARTS, 1.5),
        runs=20,
        refused=2,
    )


@pytest.mark.parametrize("cut", Cut)
def test_a_host_that_was_cut_off_and_came_back_is_no_fault(cut: Cut) -> None:
    assert report(cut).faults == []


@pytest.mark.parametrize(
    ("fault", "figures"),
    [
        ("lost no run", {"taken": []}),
        ("ended a run 4.2 s after", {"kept": [4.2]}),
        ("went on after 10.1 s", {"taken": [5.7, 10.1]}),
        ("learned of 1", {"refused": 1}),
        ("executor did not come back", {"back": dict.fromkeys(PARTS - {"executor"}, 1.5)}),
        ("came back after 21.0 s", {"back": dict.fromkeys(PARTS, 21.0)}),
        ("applied after 11.0 s", {"oldest": 11.0}),
        ("too few batches", {"acknowledged": 400}),
        ("text is twice there", {"violations": ["text is twice there"]}),
    ],
)
@pytest.mark.parametrize("cut", Cut)
def test_each_figure_that_is_not_as_it_must_be_is_a_fault(cut: Cut, fault: str, figures: dict[str, Any]) -> None:
    found = replace(report(cut), **figures).faults
    assert found
    assert all(fault in one for one in found)


@pytest.mark.parametrize("cut", [cut for cut in Cut if cut is not Cut.ALL])
def test_an_api_that_clients_reach_answers_503_in_time(cut: Cut) -> None:
    right = report(cut)
    assert replace(right, answers={"200": 190}).faults == ["the cut hit nothing: no answer was 503"]
    assert replace(right, slowest=8.0).faults == ["an answer took 8.0 s"]
    assert len(replace(right, slowest=8.0, answers={"none": 300}).faults) == 3


def test_an_api_that_nobody_reaches_answers_nothing() -> None:
    assert replace(report(Cut.ALL), answers={"200": 190}).faults == ["the cut hit nothing: every request was answered"]


def test_nothing_at_all_is_no_right_run() -> None:
    assert len(Report(Plan()).faults) >= 3 + len(PARTS)
