"""The checker plays logs again and counts what was asked for: each wrong history is found, and its right twin is not.

The first history is `right_history`: two messages, and an interrupt of the first one's run.
"""

from dataclasses import replace
from typing import Any

import pytest

from tests.faults.checker import check
from tests.faults.history import Creation, Document, Reply, Request, created
from tests.faults.right_history import FIRST, HISTORY, SECOND, THIRD, THREAD, answer, outcome, run, stored, tables
from tests.faults.tables import Batch, Run, Tables, Thread
from tests.faults.violations import Kind

INTERRUPT = {"type": "user_interrupt"}
NOTHING = {"code": "no_active_run", "message": "", "eventIndex": 0}
OTHER = "OTHER"


def kinds(history: list[Request], found: Tables, *creations: Creation) -> set[Kind]:
    return {violation.kind for violation in check(history, found, creations=creations)}


def with_one_more(request: Request, **changes: Any) -> set[Kind]:
    """The history with a batch behind it that has no effects."""
    found = replace(tables(), batches=(*tables().batches, stored(request, 3)), **changes)
    return kinds([*HISTORY, request], found)


def idle(sent: float, answered: float, event: Document = INTERRUPT, **warning: Any) -> Request:
    """An interrupt that found nothing to do."""
    replies = [answer(sent, answered, outcome(warning.pop("run", None), warnings=[NOTHING | warning]))]
    return Request(THREAD, "m1-9", (event,), "z", replies)


def test_an_interrupt_that_overtook_a_message_which_was_answered_before_it_is_reordered() -> None:
    assert with_one_more(idle(6, 7)) == {Kind.REORDERED}
    assert with_one_more(idle(1.1, 1.2)) == {Kind.REORDERED}
    assert with_one_more(idle(0.5, 7)) == set(), "it was under way together with the first message"
    assert with_one_more(idle(-2, -1)) == set()


def test_an_interrupt_is_not_applied_before_one_that_was_answered_before_it() -> None:
    """It fits in front of all messages only, and what was answered before it was sent has a place behind that."""
    late = replace(FIRST, replies=[answer(-3, 1, outcome("R0"))])
    request = idle(-2, 7)
    batches = (*tables().batches, stored(request, 3))
    assert kinds([late, SECOND, THIRD, request], replace(tables(), batches=batches)) == set()
    known = replace(late, replies=[answer(-5, -4, outcome("R0"))])
    assert kinds([known, SECOND, THIRD, request], replace(tables(), batches=batches)) == {Kind.REORDERED}


def test_an_interrupt_that_closed_doors_kept_out_says_nothing_about_runs() -> None:
    request = idle(6, 7, code="thread_archived")
    found = replace(tables(), batches=(*tables().batches, stored(request, 3)))
    assert check([*HISTORY, request], found, closed=frozenset({THREAD})) == []
    assert kinds([*HISTORY, request], found) == {Kind.LOST}, "nobody closed them"


@pytest.mark.parametrize(
    ("named", "warning", "sent", "kind"),
    [
        ("R0", {"code": "run_already_finished", "run": "R0"}, 6.0, None),
        ("R1", {"code": "run_already_finished", "run": "R1"}, 6.0, Kind.REORDERED),
        ("R7", {"code": "run_not_found"}, 6.0, None),
        ("R1", {"code": "run_not_found"}, 6.0, Kind.REORDERED),
        ("R1", {"code": "run_not_found"}, -2.0, None),
    ],
)
def test_an_interrupt_of_a_named_run_met_it_as_it_says(
    named: str, warning: dict[str, str], sent: float, kind: Kind | None
) -> None:
    request = idle(sent, sent + 1, {**INTERRUPT, "runId": named}, **warning)
    assert with_one_more(request) == ({kind} if kind else set())


def test_an_interrupt_in_front_of_its_own_message_found_the_thread_as_it_was_there() -> None:
    events = (INTERRUPT, FIRST.events[0])
    told = outcome(None, "R0", warnings=[NOTHING])
    first = replace(FIRST, events=events, replies=[answer(0, 1, told)])
    batches = (stored(first, 0), *tables().batches[1:])
    assert kinds([first, SECOND, THIRD], replace(tables(), batches=batches)) == set()
    behind = {"code": "queued_behind", "message": "", "eventIndex": 1, "runId": "R0"}
    told = outcome(None, "R1", warnings=[NOTHING, behind])
    second = replace(SECOND, events=(INTERRUPT, SECOND.events[0]), replies=[answer(2, 3, told)])
    batches = (tables().batches[0], stored(second, 1), tables().batches[2])
    assert kinds([FIRST, second, THIRD], replace(tables(), batches=batches)) == {Kind.REORDERED}


def test_an_interrupt_batch_that_is_stored_twice_is_unasked() -> None:
    """The second copy has no key: nothing but its number tells it from the first."""
    copy = replace(stored(THIRD, 9), key=None, outcome=outcome(None, warnings=[NOTHING]))
    assert kinds(HISTORY, replace(tables(), batches=(*tables().batches, copy))) == {Kind.UNASKED}


def test_a_batch_that_nobody_sent_is_unasked_and_the_one_that_made_its_thread_is_not() -> None:
    made = Batch(THREAD, -1, None, "[]", outcome(), parked=False, accepted_at="now")
    assert kinds(HISTORY, replace(tables(), batches=(made, *tables().batches))) == set()
    assert kinds(HISTORY, replace(tables(), batches=(made, replace(made, id=8), *tables().batches))) == {Kind.UNASKED}
    decision = replace(made, id=8, events='[{"type":"permission_decision","request":"x","allow":true}]')
    decision = replace(decision, outcome=outcome(None, warnings=[{**NOTHING, "code": "permission_not_found"}]))
    assert kinds(HISTORY, replace(tables(), batches=(*tables().batches, decision))) == {Kind.UNASKED}


def test_a_batch_that_is_stored_for_another_thread_or_with_other_events_is_unasked() -> None:
    first, *rest = tables().batches
    for wrong in (replace(first, thread=OTHER), replace(first, events='[{"type":"user_message","text":"say else"}]')):
        assert Kind.UNASKED in kinds(HISTORY, replace(tables(), batches=(wrong, *rest)), *created(OTHER))


def test_a_request_that_nothing_tells_from_others_is_refused() -> None:
    with pytest.raises(ValueError, match="m1-9 has no key"):
        check([Request(THREAD, "m1-9", (INTERRUPT,))], Tables())


def swapped(*runs: Run) -> tuple[Run, ...]:
    one, other = runs
    return (replace(one, seq=other.seq), replace(other, seq=one.seq))


def test_runs_that_stand_in_another_order_than_their_messages_are_reordered() -> None:
    found = replace(tables(), runs=swapped(*tables().runs), threads=(replace(tables().threads[0], last_run_id="R0"),))
    assert kinds(HISTORY, found) == {Kind.REORDERED}


def test_an_interrupt_that_cancelled_another_run_than_the_current_one_is_inconsistent() -> None:
    told = outcome("R1")
    third = replace(THIRD, replies=[answer(4, 5, told)])
    wrong = replace(
        tables(),
        batches=(*tables().batches[:2], stored(third, 2)),
        events=(*tables().events[:2], replace(tables().events[2], run="R1", content="R1")),
        runs=(run("R0", 1), run("R1", 2, "cancelled")),
    )
    assert kinds([FIRST, SECOND, third], wrong) == {Kind.INCONSISTENT}
    named = replace(third, events=({**INTERRUPT, "runId": "R1"},))
    right = replace(wrong, batches=(*tables().batches[:2], stored(named, 2)))
    assert kinds([FIRST, SECOND, named], right) == set()


def test_a_message_that_was_told_of_another_run_before_it_than_the_current_one_is_inconsistent() -> None:
    second = replace(SECOND, replies=[answer(2, 3, outcome("R1"))])
    batches = (tables().batches[0], stored(second, 1), tables().batches[2])
    assert kinds([FIRST, second, THIRD], replace(tables(), batches=batches)) == {Kind.INCONSISTENT}


def error(status: int, code: str, retry_after: str | None) -> Reply:
    return Reply(-2, -1, status, {"error": {"code": code, "message": ""}}, retry_after=retry_after)


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        (error(503, "service_inactive", "1"), True),
        (error(503, "service_inactive", None), False),
        (error(503, "internal_error", "1"), False),
        (error(409, "idempotency_conflict", "2"), True),
        (error(409, "idempotency_conflict", None), False),  # what another request with the key would hear
        (error(409, "idempotency_key_reused", "2"), False),
        (error(409, "readiness_blocked", "2"), False),
        (Reply(-2, -1, 503, {}, retry_after="1"), False),
    ],
)
def test_a_good_request_may_hear_not_now_in_the_contracts_words_alone(reply: Reply, right: bool) -> None:
    first = replace(FIRST, replies=[reply, *FIRST.replies])
    assert kinds([first, SECOND, THIRD], tables()) == (set() if right else {Kind.REFUSED})


@pytest.mark.parametrize(("promised", "expected"), [("R0", set()), (None, set()), ("R9", {Kind.UNEQUAL})])
def test_a_pending_answer_promises_the_run_that_comes(promised: str | None, expected: set[Kind]) -> None:
    pending = outcome(promised, warnings=[{"code": "apply_pending", "message": "", "eventIndex": 0}])
    first = replace(FIRST, replies=[answer(0, 1, pending)])
    assert kinds([first, SECOND, THIRD], tables()) == expected


def test_a_thread_that_nobody_made_is_unasked_and_one_that_was_answered_for_is_there() -> None:
    found = replace(tables(), threads=(*tables().threads, Thread(OTHER, "IDLE", 0, None, None, held=False)))
    assert kinds(HISTORY, found) == {Kind.UNASKED}
    assert kinds(HISTORY, found, *created(OTHER)) == set()
    assert kinds(HISTORY, tables(), *created(OTHER)) == {Kind.LOST}


def test_a_creation_that_was_asked_for_again_makes_one_thread() -> None:
    one, two = (Thread(name, "IDLE", 0, None, None, held=False) for name in (OTHER, "TWICE"))
    made = Batch(OTHER, 10, "key", "[]", outcome(), parked=False, accepted_at="now")
    by_key = [made, replace(made, thread="TWICE", id=11)]
    found = replace(tables(), threads=(*tables().threads, one), batches=(*tables().batches, by_key[0]))
    answered, unknown = Creation("key", frozenset({OTHER})), Creation("key")
    for creation in (answered, unknown):
        assert kinds(HISTORY, found, creation) == set()
        twice = replace(found, threads=(*found.threads, two), batches=(*found.batches, by_key[1]))
        assert kinds(HISTORY, twice, creation) == {Kind.DUPLICATED}
        keyless = replace(twice, batches=(*found.batches, replace(by_key[1], key=None)))
        assert kinds(HISTORY, keyless, creation) == {Kind.UNASKED}
    assert kinds(HISTORY, found, Creation("another")) == {Kind.UNASKED}


def test_two_answers_to_a_creation_that_name_two_threads_are_one_too_many() -> None:
    two = Thread(OTHER, "IDLE", 0, None, None, held=False)
    found = replace(tables(), threads=(*tables().threads, two))
    assert Kind.DUPLICATED in kinds(HISTORY, found, Creation("key", frozenset({THREAD, OTHER})))
