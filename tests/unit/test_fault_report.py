"""The arithmetic of a fault run: how long the service took after a fault, and whether enough happened."""

import json
from collections import Counter
from math import ceil

import pytest

from tests.faults.injector import Hit
from tests.faults.recovery import Recoveries, spread
from tests.faults.report import Report, Summary, least_of
from tests.faults.schedule import KINDS, Fault
from tests.faults.users.verdict import A_MINUTE, CANCELS
from tests.faults.violations import Kind, Violation

# Accepted, applied: two before the fault, of which one waits; two after it.
BATCHES = [(1.0, 1.1), (2.0, 5.0), (4.0, 4.2), (6.0, 6.1)]


@pytest.mark.parametrize(
    ("end", "seconds"),
    [
        (3.0, 2.0),  # what was accepted before it is applied last
        (2.5, 2.5),
        (1.5, 3.5),  # the first one after it waits itself
        (5.0, 1.1),  # nothing waited, and nothing came for a second
        (0.5, 0.6),  # nothing had been accepted yet
        (6.5, None),  # nothing came any more
    ],
)
def test_recovery_is_until_what_was_accepted_is_applied_and_the_next_one_too(end: float, seconds: float | None) -> None:
    assert Recoveries(BATCHES).after(end) == (seconds if seconds is None else pytest.approx(seconds))


def test_without_batches_nobody_can_tell() -> None:
    assert Recoveries([]).after(1.0) is None


def test_percentiles_are_of_the_nearest_rank() -> None:
    assert spread(n / 10 for n in range(200, 0, -1)) == {"count": 200, "p50": 10.0, "p99": 19.8, "max": 20.0}
    assert spread([0.5]) == {"count": 1, "p50": 0.5, "p99": 0.5, "max": 0.5}


def a_report(
    *,
    seed: int = 1,
    wanted: float | None = 60.0,
    kinds: tuple[str, ...] = KINDS,
    each: int = 4,
    users: dict[str, int] | None = None,
    **counts: int,
) -> Report:
    faults = [Fault(n, float(n), kind, "x", 0.0, 0.5) for n, kind in enumerate(kinds * each)]
    return Report(
        seed=seed,
        wanted=wanted,
        violations=(Violation(Kind.LOST, "t", "m1-1 is gone"),) * counts.get("lost", 0),
        sent=6_000,
        acknowledged=counts.get("acknowledged", 5_000),
        unknown=3,
        repeats=50,
        retries=counts.get("retries", 600),
        hits=[Hit(fault, fault.at, fault.at) for fault in faults],
        recoveries={0: 0.1, len(kinds): 0.3, 1: 0.2},
        missed=Counter(),
        seconds=60.2,
        quiet_after=1.0,
        users=users,
    )


def test_what_a_minute_must_bring_is_asked_in_proportion_to_the_minutes_of_all_seeds() -> None:
    assert Summary(reports=[a_report(), a_report(seed=2)]).too_quiet == []
    few = Summary(reports=[a_report(), a_report(seed=2, acknowledged=-1, retries=599, each=1)])
    assert few.too_quiet == [
        "too quiet: acknowledged: 4999 of 5000",
        "too quiet: faults: 80 of 100",
        "too quiet: retries: 1199 of 1200",
    ]


def test_twenty_minutes_ask_for_the_bar_of_the_long_run() -> None:
    nothing = a_report(each=0, acknowledged=0, retries=0)
    asked = Summary(reports=[nothing] * 20).too_quiet
    assert asked[:2] == ["too quiet: acknowledged: 0 of 100000", "too quiet: faults: 0 of 1000"]


def test_a_run_that_is_shorter_than_a_minute_must_bring_its_share_and_one_of_each_at_least() -> None:
    enough = {name: least_of(rate, 0.5) for name, rate in A_MINUTE.items()}
    assert Summary(reports=[a_report(wanted=30.0, users=enough)]).too_quiet == []
    assert Summary(reports=[a_report(wanted=6.0, each=0, acknowledged=0, retries=0, users={})]).too_quiet == [
        "too quiet: acknowledged: 0 of 250",
        "too quiet: faults: 0 of 5",
        "too quiet: retries: 0 of 60",
        *(f"too quiet: {name}: 0 of {ceil(rate / 10)}" for name, rate in A_MINUTE.items() if rate >= 1),
    ]


def test_users_must_have_done_all_that_they_are_there_for() -> None:
    enough = {name: least_of(rate, 2) for name, rate in A_MINUTE.items()}
    assert Summary(reports=[a_report(users=enough)]).too_quiet == []
    assert Summary(reports=[a_report(users=enough), a_report(seed=2, users={})]).too_quiet == []
    idle = Summary(reports=[a_report(users={})]).too_quiet
    assert idle == [f"too quiet: {name}: 0 of {rate}" for name, rate in A_MINUTE.items() if rate >= 1]


def test_what_need_not_come_in_a_minute_must_come_in_several() -> None:
    enough = {name: least_of(rate, 5) for name, rate in A_MINUTE.items()}
    assert enough[CANCELS] == 1
    reports = [a_report(users=enough), *(a_report(seed=seed, users={}) for seed in range(2, 6))]
    assert Summary(reports=reports).too_quiet == []
    reports[0] = a_report(users={**enough, CANCELS: 0})
    assert Summary(reports=reports).too_quiet == [f"too quiet: {CANCELS}: 0 of 1"]


def test_every_kind_must_come_where_there_was_time_for_it_but_those_that_the_machine_cannot_have() -> None:
    without = tuple(kind for kind in KINDS if kind not in ("fill disk", "turn clock"))
    reports = [a_report(kinds=without), a_report(seed=2, kinds=without)]
    assert Summary(reports=reports).too_quiet == [
        "too quiet: fill disk: 0 of 1",
        "too quiet: turn clock: 0 of 1",
    ]
    assert Summary({"fill disk": "no mounts here"}, reports).too_quiet == ["too quiet: turn clock: 0 of 1"]
    assert Summary(reports=[a_report(kinds=without)]).too_quiet == [], "a minute is too short to ask"


def test_a_run_that_counts_batches_asks_for_nothing() -> None:
    assert Summary(reports=[a_report(wanted=None, each=0, acknowledged=0, retries=0)]).too_quiet == []


def test_the_last_line_has_the_totals_of_all_seeds() -> None:
    told = json.loads(Summary({"fill disk": "why"}, [a_report(), a_report(seed=2, lost=2)], clock="a clock").line())
    assert (told["seeds"], told["minutes"], told["acknowledged"], told["faults"]) == (2, 2.0, 10_000, 128)
    assert (told["lost"], told["duplicated"], told["reordered"]) == (2, 0, 0)
    assert told["recovery"]["kill api"] == {"count": 4, "p50": 0.1, "p99": 0.3, "max": 0.3}
    assert (told["skipped"], told["clock"]) == ({"fill disk": "why"}, "a clock")
