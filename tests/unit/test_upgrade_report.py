"""What a rolling upgrade is judged by: figures that are right are no fault, and each that is not is one."""

from dataclasses import replace
from typing import Any

import pytest

from tests.upgrade.rolling import Plan, Report

THERE = [{"present": 240}, {"present": 240}, {"present": 120, "following": 120}, {"following": 240}]
BACK = [{"present": 120, "following": 120}, {"present": 240}]


def report(*, back: bool = False) -> Report:
    return Report(
        Plan(back=back),
        schemas=[30, 32],
        acknowledged=9_000,
        answers={"200": 9_000, "409": 200},
        applied_by={"present": 5_000, "following": 4_000},
        steps=[*THERE, *BACK] if back else THERE,
        oldest=1.8,
        runs=30,
    )


@pytest.mark.parametrize("back", [False, True])
def test_an_upgrade_that_nobody_noticed_is_no_fault(back: bool) -> None:
    assert report(back=back).faults == []


@pytest.mark.parametrize(
    ("fault", "figures"),
    [
        ("the present version applied nothing in step 6", {"steps": [*THERE, *BACK[:1], {"present": 0}]}),
        ("the following version applied nothing in step 4", {"steps": [*THERE[:3], {"following": 0}, *BACK]}),
        ("4 steps were looked at", {"steps": THERE}),
        ("a batch was applied after 10.5 s", {"oldest": 10.5}),
        ("only 3 runs", {"runs": 3}),
        ("too few batches", {"acknowledged": 900}),
        ("1100 of 10100 answers were 409", {"answers": {"200": 9_000, "409": 1_100}}),
        ("3 answers were 503", {"answers": {"200": 9_000, "503": 3}}),
        ("text is twice there", {"violations": ["text is twice there"]}),
    ],
)
def test_each_figure_that_is_not_as_it_must_be_is_a_fault(fault: str, figures: dict[str, Any]) -> None:
    assert replace(report(back=True), **figures).faults == [fault]
