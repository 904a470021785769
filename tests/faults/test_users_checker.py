"""The users' checker finds nothing in a history that is right, and each kind of wrong in one that is not."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from tests.contract.dialects.wire import UNREADABLE
from tests.faults.clients import read
from tests.faults.executions.rows import Rows
from tests.faults.history import Document, Reply
from tests.faults.right_users import (
    ANSWERED,
    CANCEL,
    CANCELLED,
    FIRST,
    FOLDED,
    HISTORY,
    LIVE,
    LOG,
    QUESTION,
    ROWS,
    SECOND,
    STOP,
    STREAMED,
    T0,
    TOLD,
    again,
    changed,
    copied,
    delta,
    entry,
    failure,
    found,
    frames,
    with_calls,
)
from tests.faults.users.calls import is_open
from tests.faults.users.checker import check
from tests.faults.users.history import History
from tests.faults.violations import Kind


def test_a_history_that_is_right_has_no_violation() -> None:
    assert check(HISTORY, ROWS) == []


def test_a_call_of_which_nobody_knows_may_have_happened_or_not() -> None:
    silent = Reply(0, 9, None)
    assert found(with_calls(SECOND, again(SECOND, silent, key=None))) == set()
    never = again(SECOND, silent, key=None, marker="m1-10", text="say m1-10")
    assert found(with_calls(SECOND, SECOND, never)) == set()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(0, 1, None),
        Reply(0, 1, 503, {"error": {"code": "service_inactive"}}, retry_after="2"),
        Reply(0, 1, 409, {"error": {"code": "idempotency_conflict"}}, retry_after="2"),
    ],
    ids=["silence", "not now", "under way"],
)
def test_who_asks_with_a_key_and_never_knows_is_stuck(reply: Reply) -> None:
    assert found(with_calls(SECOND, again(SECOND, *[reply] * 90))) == {Kind.STUCK}
    assert found(with_calls(SECOND, again(SECOND, *[reply] * 90, *SECOND.replies))) == set()


WRONG_CALLS: dict[str, tuple[Kind, Callable[[], History]]] = {
    "an answer that is not there": (
        Kind.LOST,
        lambda: with_calls(FIRST, FIRST, again(FIRST, marker="m1-10", text="say m1-10")),
    ),
    "refused and done": (Kind.UNASKED, lambda: with_calls(FIRST, again(FIRST, Reply(0, 1, 404)))),
    "what can't be read": (
        Kind.REFUSED,
        lambda: with_calls(ANSWERED, again(ANSWERED, Reply(2, 3, 200, read(b"Internal")), *ANSWERED.replies)),
    ),
    "503 that can't be read": (
        Kind.REFUSED,
        lambda: with_calls(ANSWERED, again(ANSWERED, Reply(2, 3, 503, read(b""), retry_after="2"), *ANSWERED.replies)),
    ),
    "a line that can't be read": (
        Kind.REFUSED,
        lambda: with_calls(STREAMED, again(STREAMED, Reply(0, 1, 200, frames((UNREADABLE, "{"))), *STREAMED.replies)),
    ),
    "a stream that ends as nothing may": (
        Kind.REFUSED,
        lambda: with_calls(
            STREAMED,
            again(STREAMED, Reply(0, 1, 200, frames(("error", {"error_code": "internal_error"}))), *STREAMED.replies),
        ),
    ),
    "a verdict on no run": (
        Kind.REFUSED,
        lambda: with_calls(FIRST, again(FIRST, Reply(0, 1, 409, {"error_code": "run.cancelled"}), *FIRST.replies)),
    ),
    "500": (Kind.REFUSED, lambda: with_calls(ANSWERED, again(ANSWERED, Reply(2, 3, 500), *ANSWERED.replies))),
    "503 without a time": (
        Kind.REFUSED,
        lambda: with_calls(ANSWERED, again(ANSWERED, Reply(2, 3, 503), *ANSWERED.replies)),
    ),
    "a message that nobody said": (Kind.UNASKED, lambda: with_calls(FIRST)),
    "in another thread": (Kind.UNASKED, lambda: with_calls(QUESTION, again(QUESTION, thread="C"))),
    "answered before the other was sent, and behind it": (
        Kind.REORDERED,
        lambda: with_calls(SECOND, again(SECOND, Reply(-3, -2, 200))),
    ),
    "one run for two calls": (Kind.LOST, lambda: with_calls(CANCELLED, again(CANCELLED, run="R1"))),
    "a run that is not there": (Kind.LOST, lambda: with_calls(ANSWERED, again(ANSWERED, run="R9"))),
    "more runs than were asked for": (Kind.DUPLICATED, lambda: with_calls(ANSWERED)),
}


@pytest.mark.parametrize("what", WRONG_CALLS)
def test_each_wrong_answer_is_found(what: str) -> None:
    kind, history = WRONG_CALLS[what]
    assert kind in found(history())


WRONG_ROWS: dict[str, tuple[Kind, Callable[[], Rows]]] = {
    "a message twice": (
        Kind.DUPLICATED,
        lambda: replace(ROWS, said=(*ROWS.said, replace(ROWS.said[0], id="m9", num=9))),
    ),
    "answered twice": (Kind.DUPLICATED, lambda: changed("runs", 3, input=("m6", "m0"))),
    "answered by nobody": (Kind.LOST, lambda: changed("runs", 0, input=("m0",))),
    "a text cut": (Kind.GARBLED, lambda: changed("events", 7, content="say m1-0")),
    "a text doubled": (Kind.GARBLED, lambda: changed("events", 2, content="say say ")),
    "no beginning of its text": (Kind.GARBLED, lambda: changed("events", 10, content="stay")),
    "failed": (Kind.INCONSISTENT, lambda: changed("runs", 3, status="failed", error="runner.failed")),
    "lost too soon": (
        Kind.INCONSISTENT,
        lambda: changed("runs", 3, status="failed", error="runtime.lost", attempt=3, losses=2),
    ),
    "at work for ever": (Kind.INCONSISTENT, lambda: changed("runs", 3, status="running")),
    "allowed otherwise": (Kind.LOST, lambda: changed("requests", 0, state="allowed")),
    "open": (Kind.INCONSISTENT, lambda: changed("requests", 0, state="pending")),
    "times that run backwards": (
        Kind.INCONSISTENT,
        lambda: changed("said", 0, created_at=T0 + timedelta(seconds=1)),
    ),
    "numbers out of the log's order": (Kind.INCONSISTENT, lambda: changed("events", 5, content="say m1-1")),
    "another message in a list": (Kind.GARBLED, lambda: changed("messages", 1, num=1)),
}


@pytest.mark.parametrize("what", WRONG_ROWS)
def test_each_wrong_row_is_found(what: str) -> None:
    kind, rows = WRONG_ROWS[what]
    assert kind in found(rows=rows())


@pytest.mark.parametrize(
    "entries",
    [
        LIVE[:4],
        [*LIVE[:2], *LIVE[3:]],
        [LIVE[0], *LIVE[2:]],
        [*LIVE[:3], LIVE[2], *LIVE[3:]],
        [*LIVE[:2], LIVE[3], LIVE[2], LIVE[4]],
        [*LIVE[:3], entry(LOG[3], "m1-4"), LIVE[4]],
        [*FOLDED[:2], entry(LOG[2], "say m1-3"), *FOLDED[2:]],
    ],
    ids=["its end", "a delta", "another event", "twice", "backwards", "other words", "words too early"],
)
def test_a_reader_who_had_less_or_more_than_the_log_so_far_is_seen(entries: list[Document]) -> None:
    assert found(replace(HISTORY, copies=(copied(*entries),))) == {Kind.GARBLED}


@pytest.mark.parametrize(("attempt", "losses"), [(3, 3), (3, 9), (1, 10)])
def test_three_lost_workers_may_cost_a_run_its_end_and_so_may_ten_in_all(attempt: int, losses: int) -> None:
    lost = changed("runs", 3, status="failed", error="runtime.lost", attempt=attempt, losses=losses)
    history = replace(with_calls(CANCEL), stops=())
    assert check(history, lost) == []


def test_an_interrupt_that_was_answered_otherwise_is_unequal() -> None:
    other = replace(STOP, result={"run": {"id": "R4", "status": "completed"}})
    assert found(replace(HISTORY, stops=(other,))) == {Kind.UNEQUAL}


@pytest.mark.parametrize(
    ("reply", "still_open"),
    [
        (Reply(0, 1, None), True),
        (Reply(0, 1, 503), True),
        (Reply(0, 1, 409, {"error": {"code": "idempotency_conflict"}}, retry_after="2"), True),
        (Reply(0, 1, 409, {"error": {"code": "idempotency_conflict"}}), False),
        (Reply(0, 1, 409, {"error_code": "run.cancelled"}), False),
        (Reply(0, 1, 200, frames(delta("say "))), True),
        (Reply(0, 1, 200, frames(("error", {"error_code": "service_inactive"}))), True),
        (Reply(0, 1, 200, frames(failure("run.cancelled"))), False),
        (Reply(0, 1, 200, frames(("error", {"error_code": "internal_error"}))), False),
        (Reply(0, 1, 200, frames((UNREADABLE, "{"), delta("say "))), False),
        (Reply(0, 1, 200, TOLD), False),
    ],
)
def test_a_call_is_sent_again_until_somebody_knows(reply: Reply, *, still_open: bool) -> None:
    assert is_open(reply) is still_open
