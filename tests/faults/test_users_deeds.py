"""Decisions and interrupts: what was done though it was refused or not asked for, and what was not done, is found."""

from dataclasses import replace

import pytest

from tests.faults.history import Document, Reply, Request
from tests.faults.right_users import (
    ALLOWED,
    CANCEL,
    DECIDED,
    again,
    changed,
    found,
    frames,
    with_calls,
)
from tests.faults.violations import Kind

LATE = {"error": {"code": "readiness_blocked"}}
CONFLICT = {"error_code": "idempotency_conflict"}
SUPERSEDED = changed("requests", 1, state="superseded")


def test_a_decision_or_a_cancel_that_did_not_count_is_lost() -> None:
    assert Kind.LOST in found(with_calls(DECIDED, again(DECIDED, allow=True)))
    assert Kind.LOST in found(with_calls(CANCEL, again(CANCEL, run="R1")))


def test_a_cancel_that_is_under_way_may_come_too_late() -> None:
    pending = again(CANCEL, Reply(4, 5, 200, {"object": "thread.run", "id": "R1", "status": "cancelling"}), run="R1")
    assert found(with_calls(CANCEL, CANCEL, pending)) == {Kind.STUCK}, "who asks again is to hear what came of it"
    assert found(with_calls(CANCEL, CANCEL, replace(pending, key=None))) == set()
    assert found(with_calls(CANCEL, CANCEL, replace(pending, replies=[*pending.replies, REFUSED]))) == set()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(1, 2, 409, CONFLICT),
        Reply(1, 2, 400, {"error_code": "readiness_blocked"}),
        Reply(1, 2, 200, frames(("error", {"code": "399404", "error_code": "not_found"}))),
    ],
    ids=["a key used for something else", "another status", "in a stream"],
)
def test_a_decision_may_only_be_refused_as_too_late(reply: Reply) -> None:
    assert Kind.REFUSED in found(with_calls(DECIDED, again(DECIDED, reply)))


def test_a_cancel_may_only_be_refused_as_too_late() -> None:
    assert Kind.REFUSED in found(with_calls(CANCEL, again(CANCEL, Reply(4, 5, 409, LATE))))
    assert Kind.REFUSED in found(with_calls(CANCEL, again(CANCEL, Reply(4, 5, 400, {"error": {"code": "not_found"}}))))


REFUSED = Reply(1, 2, 400, LATE)


def test_a_decision_that_was_refused_is_not_what_became_of_its_request() -> None:
    refused = again(ALLOWED, REFUSED)
    assert found(with_calls(ALLOWED, refused)) == {Kind.UNASKED}
    assert found(with_calls(ALLOWED, refused), SUPERSEDED) == set()
    assert found(with_calls(ALLOWED, ALLOWED, refused)) == set(), "another one was first"
    after = again(ALLOWED, Reply(1, 2, None), REFUSED)
    assert found(with_calls(ALLOWED, after)) == set(), "which of its tries was the first is not known"


def test_a_cancel_that_was_refused_did_not_cancel() -> None:
    refused = again(CANCEL, Reply(4, 5, 400, LATE))
    assert found(with_calls(CANCEL, refused)) == {Kind.UNASKED}
    assert found(with_calls(CANCEL, again(CANCEL, Reply(4, 5, None), Reply(5, 6, 400, LATE)))) == set()


def interrupted(*replies: Reply, **named: str) -> set[Kind]:
    """With a native interrupt in place of the cancel."""
    one = Request("O", "m1-20", ({"type": "user_interrupt", **named},), None, list(replies))
    return found(replace(with_calls(CANCEL), requests=(one,)))


def hit(run: str | None, *codes: str) -> Reply:
    warnings = [{"code": code, "eventIndex": 0} for code in codes]
    outcome: Document = {"events": [{"run": run and {"id": run}}], "thread": {"id": "O"}, "warnings": warnings}
    return Reply(4, 5, 200, {"acceptedAt": "now", **outcome})


def test_a_run_is_cancelled_by_an_interrupt_that_named_it_or_hit_it() -> None:
    assert found(with_calls(CANCEL)) == {Kind.UNASKED}
    assert interrupted(hit("R4")) == set()
    assert interrupted(hit("R1")) == {Kind.UNASKED}
    assert interrupted(hit(None, "no_active_run")) == {Kind.UNASKED}
    assert interrupted(hit("R4", "run_already_finished")) == {Kind.UNASKED}
    assert interrupted(Reply(4, 5, None), runId="R4") == set()
    assert interrupted(Reply(4, 5, None), runId="R1") == {Kind.UNASKED}
    assert interrupted(Reply(4, 5, None)) == set(), "it may have hit whichever was under way"
