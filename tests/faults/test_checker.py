"""The checker finds nothing in a history that is right, and each kind of wrong in one that is not."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.faults.checker import check, check_known
from tests.faults.clients import read
from tests.faults.history import Reply, Request
from tests.faults.right_history import (
    BEHIND,
    FIRST,
    HISTORY,
    SECOND,
    T0,
    THIRD,
    THREAD,
    answer,
    event,
    outcome,
    run,
    said,
    stored,
    tables,
)
from tests.faults.tables import Message, Run, Thread
from tests.faults.violations import Kind


def found(history: list[Request], **changes: Any) -> set[Kind]:
    return {violation.kind for violation in check(history, replace(tables(), **changes))}


def test_a_history_that_is_right_has_no_violation() -> None:
    assert check(HISTORY, tables()) == []


def test_an_acknowledged_batch_that_is_not_stored_is_lost() -> None:
    lost = Request(THREAD, "m1-9", (said("m1-9"),), None, [answer(6, 7, outcome("R9"))])
    assert Kind.LOST in found([*HISTORY, lost])


def test_a_batch_of_which_nobody_knows_may_be_there_or_not() -> None:
    unknown = Request(THREAD, "m1-9", (said("m1-9"),), None, [Reply(6, 7, None)])
    assert found([*HISTORY, unknown]) == set()
    silent = replace(SECOND, replies=[Reply(2, 3, None)])
    assert found([FIRST, silent, THIRD]) == set()
    assert found([FIRST, replace(SECOND, replies=[]), THIRD]) == set(), "its client was gone before the answer"


def test_a_batch_that_is_stored_twice_is_duplicated() -> None:
    twice = (*tables().batches, replace(stored(SECOND, 9), id=9))
    assert Kind.DUPLICATED in found(HISTORY, batches=twice)


def test_a_message_that_stands_twice_in_the_log_is_duplicated() -> None:
    again = (*tables().events[:2], event("E25", "user.message", "R1", "say m1-1", at=2), tables().events[2])
    assert found(HISTORY, events=again) == {Kind.DUPLICATED}


def test_a_message_that_was_reported_and_is_not_in_the_log_is_lost() -> None:
    events = (tables().events[0], tables().events[2])
    assert found(HISTORY, events=events) == {Kind.LOST}


def test_a_message_that_began_nothing_and_was_not_warned_about_is_lost() -> None:
    dropped = Request(THREAD, "m1-9", (said("m1-9"),), "d", [answer(6, 7, outcome(None))])
    assert found([*HISTORY, dropped], batches=(*tables().batches, stored(dropped, 3))) == {Kind.LOST}


def test_an_interrupt_that_cancelled_another_run_too_is_seen() -> None:
    runs = (run("R0", 1, "cancelled"), run("R1", 2, "cancelled"))
    events = (*tables().events, event("E4", "run.completed", "R1", "R1", at=4))
    threads = (Thread(THREAD, "IDLE", 0, "R1", "E4", held=False),)
    assert found(HISTORY, runs=runs, events=events, threads=threads) == {Kind.UNASKED}


def test_a_batch_that_is_applied_before_one_that_was_answered_first_is_reordered() -> None:
    events = (
        event("E1", "user.message", "R1", "say m1-1", at=1),
        event("E2", "user.message", "R0", "say m1-0", at=2),
        tables().events[2],
    )
    assert Kind.REORDERED in found(HISTORY, events=events)


def the_other_way(first: list[Reply]) -> set[Kind]:
    """The second message was applied before the first one, whose answers these are, and the interrupt ended its run."""
    behind = {**BEHIND, "runId": "R1"}
    told = [replace(r, body={**r.body, **outcome("R0", warnings=[behind])}) if r.acknowledged else r for r in first]
    second, third = replace(SECOND, replies=[answer(2, 3, outcome("R1"))]), answer(4, 5, outcome("R1"))
    history = [replace(FIRST, replies=told), second, replace(THIRD, replies=[third])]
    return found(
        history,
        batches=tuple(stored(request, n) for n, request in enumerate(history)),
        events=(
            event("E1", "user.message", "R1", "say m1-1", at=1),
            event("E2", "user.message", "R0", "say m1-0", at=2),
            event("E3", "run.completed", "R1", "R1", at=3),
        ),
        runs=(run("R1", 1, "cancelled"), run("R0", 2)),
        messages=tables().messages[::-1],
        threads=(Thread(THREAD, "RUNNING", 1, "R0", "E3", held=False),),
    )


def test_batches_that_were_under_way_together_may_be_applied_in_either_order() -> None:
    assert the_other_way([answer(0, 2.5, {})]) == set()
    assert the_other_way([answer(0, 1, {})]) == {Kind.REORDERED}, "these were not"


def test_a_retry_counts_from_when_it_was_first_sent() -> None:
    assert the_other_way([Reply(0, 1, None), answer(2.4, 2.6, {})]) == set()


def test_batches_whose_effects_mingle_are_reordered() -> None:
    two = replace(FIRST, events=(said("m1-0"), said("more m1-0")), replies=[answer(0, 9, outcome("R0", "R2"))])
    second = replace(SECOND, replies=[answer(0, 9, outcome("R1"))])
    third = replace(THIRD, replies=[answer(0, 9, outcome("R0"))])
    history = [two, second, third]
    events = (*tables().events, event("E4", "user.message", "R2", "say more m1-0", at=4))
    assert Kind.REORDERED in found(
        history,
        events=events,
        batches=tuple(stored(request, n) for n, request in enumerate(history)),
        runs=(*tables().runs, run("R2", 3)),
        messages=(*tables().messages, Message(THREAD, "R2", "say more m1-0")),
        threads=(Thread(THREAD, "RUNNING", 2, "R2", "E4", held=False),),
    )


def test_a_repeat_that_hears_something_else_is_unequal() -> None:
    other = replace(FIRST, replies=[*FIRST.replies, answer(6, 7, outcome("R7"))])
    assert found([other, SECOND, THIRD]) == {Kind.UNEQUAL}
    later = replace(FIRST, replies=[*FIRST.replies, answer(6, 7, outcome("R0"), accepted="later")])
    assert found([later, SECOND, THIRD]) == {Kind.UNEQUAL}


def test_an_answer_that_is_pending_is_no_outcome() -> None:
    warning = {"code": "apply_pending", "message": "", "eventIndex": 0}
    pending = replace(FIRST, replies=[answer(0, 1, outcome("R0", warnings=[warning])), *FIRST.replies])
    assert found([pending, SECOND, THIRD]) == set()


@pytest.mark.parametrize("status", [400, 404, 500])
def test_an_answer_that_no_good_request_may_get_is_seen(status: int) -> None:
    refused = Request(THREAD, "m1-9", (said("m1-9"),), None, [Reply(6, 7, status)])
    assert found([*HISTORY, refused]) == {Kind.REFUSED}


@pytest.mark.parametrize("status", [200, 409, 500, 503])
def test_an_answer_that_cannot_be_read_is_one_that_no_good_request_may_get(status: int) -> None:
    unread = Reply(6, 7, status, read(b"Internal Server Error"), retry_after="1")
    refused = Request(THREAD, "m1-9", (said("m1-9"),), None, [unread])
    assert found([*HISTORY, refused]) == {Kind.REFUSED}


UNDER_WAY = Reply(6, 7, 409, {"error": {"code": "idempotency_conflict"}}, retry_after="1")
NOT_NOW = Reply(6, 7, 503, {"error": {"code": "service_inactive"}}, retry_after="1")
PENDING = {"code": "apply_pending", "message": "", "eventIndex": 0}


@pytest.mark.parametrize(
    "reply",
    [UNDER_WAY, NOT_NOW, Reply(6, 7, None), answer(6, 7, outcome("R0", warnings=[PENDING]))],
    ids=["under way", "not now", "silence", "pending"],
)
def test_who_asks_with_a_key_and_never_hears_the_outcome_is_stuck(reply: Reply) -> None:
    unheard = replace(FIRST, replies=[reply] * 240)
    assert [violation.kind for violation in check_known([unheard, replace(unheard, key=None)])] == [Kind.STUCK]
    assert list(check_known([replace(unheard, replies=[*unheard.replies, *FIRST.replies])])) == []


def test_what_was_refused_and_is_stored_all_the_same_is_unasked() -> None:
    refused = replace(SECOND, replies=[Reply(2, 3, 400)])
    assert found([FIRST, refused, THIRD]) == {Kind.REFUSED, Kind.UNASKED}


def test_what_is_left_over_after_quiet_is_stuck() -> None:
    waiting = replace(stored(FIRST, 0), outcome=None)
    assert Kind.STUCK in found(HISTORY, batches=(waiting, *tables().batches[1:]))
    parked = replace(stored(FIRST, 0), parked=True)
    assert Kind.STUCK in found(HISTORY, batches=(parked, *tables().batches[1:]))
    assert found(HISTORY, waiting=1) == {Kind.STUCK}
    assert found(HISTORY, threads=(replace(tables().threads[0], held=True),)) == {Kind.STUCK}


@pytest.mark.parametrize(
    "thread",
    [
        Thread(THREAD, "RUNNING", 2, "R1", "E3", held=False),
        Thread(THREAD, "IDLE", 1, "R1", "E3", held=False),
        Thread(THREAD, "RUNNING", 1, "R0", "E3", held=False),
        Thread(THREAD, "RUNNING", 1, "R1", "E2", held=False),
    ],
    ids=["its count", "its status", "its last run", "its last event"],
)
def test_a_thread_that_contradicts_its_rows_is_inconsistent(thread: Thread) -> None:
    assert found(HISTORY, threads=(thread,)) == {Kind.INCONSISTENT}


@pytest.mark.parametrize(
    "other",
    [
        replace(run("R1", 2), completed_at=T0),
        replace(run("R1", 2), started_at=T0),
        replace(run("R1", 2), created_at=T0 + timedelta(seconds=1)),
        run("R1", 1),
    ],
    ids=["ended and active", "started and queued", "created after its change", "two in one place"],
)
def test_a_run_that_contradicts_itself_is_inconsistent(other: Run) -> None:
    assert Kind.INCONSISTENT in found(HISTORY, runs=(run("R0", 1, "cancelled"), other))


def test_two_runs_that_execute_are_inconsistent() -> None:
    both = [replace(run(f"R{n}", n, "running"), started_at=T0) for n in (3, 4)]
    assert Kind.INCONSISTENT in found(HISTORY, runs=(*tables().runs, *both))


def test_a_log_whose_times_run_backwards_is_inconsistent() -> None:
    events = (*tables().events[:2], replace(tables().events[2], occurred_at=T0))
    assert found(HISTORY, events=events) == {Kind.INCONSISTENT}
