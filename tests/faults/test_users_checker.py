"""The users' checker finds nothing in a history that is right, and each kind of wrong in one that is not."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.faults.executions.phases import Stop
from tests.faults.executions.readers import Copy
from tests.faults.executions.rows import DELTA, Event, Message, Request, Rows, Run, Said, Thread
from tests.faults.history import Document, Reply
from tests.faults.users.calls import Act, Call, is_open
from tests.faults.users.checker import DENIED, History, check
from tests.faults.violations import Kind

T0 = datetime(2026, 1, 1, tzinfo=UTC)
ASKED = "I would like to answer. May I?"


def call(dialect: str, act: Act, marker: str, sent: float, thread: str, **fields: Any) -> Call:
    status, body = fields.pop("status", 200), fields.pop("body", {})
    made = Call(dialect, act, "/", {}, "key", thread, marker, **fields)
    made.replies.append(Reply(sent, sent + 0.5, status, body))
    return made


def frames(*frames: tuple[str, Any]) -> Document:
    return {"frames": list(frames)}


def response(run: str) -> tuple[str, Document]:
    return ("response", {"metadata": {"run_id": run}})


def delta(text: str) -> tuple[str, Document]:
    return ("response.text.delta", {"text": text})


# In O two messages are answered by one run; in C one run is streamed, and one asks and is denied.
FIRST = call("openai", Act.MESSAGE, "m1-0", 0, "O", text="say m1-0")
SECOND = call("aiml", Act.MESSAGE, "m1-1", 1, "O", text="say m1-1", status=201)
ANSWERED = call("openai", Act.RUN, "m1-2", 2, "O", run="R1")
TOLD = frames(delta("say "), delta("m1-3"), response("R2"))
STREAMED = call("cortex", Act.RUN, "m1-3", 0, "C", text="say m1-3", run="R2", streamed=True, body=TOLD)
QUESTION = call("cortex", Act.RUN, "m1-4", 0, "P", text="say m1-4", run="R3")
DECIDED = call("cortex", Act.DECISION, "m1-5", 1, "P", run="R3", request="Q", allow=False, expected=(409,))
CANCELLED = call("openai", Act.RUN, "m1-6", 3, "O", run="R4", text="say m1-6")
CANCEL = call("openai", Act.INTERRUPT, "m1-7", 4, "O", run="R4", expected=(400,))
CALLS = (FIRST, SECOND, ANSWERED, STREAMED, QUESTION, DECIDED, CANCELLED, CANCEL)


def log(thread: str, *events: tuple[str, str | None, str | None]) -> tuple[Event, ...]:
    return tuple(
        Event(f"{thread}{n}", kind, run, content, f"M{run}" if kind == DELTA else None, thread)
        for n, (kind, run, content) in enumerate(events)
    )


LOG = (
    *log(
        "C",
        ("user.message", "R2", "say m1-3"),
        ("run.started", "R2", "R2"),
        (DELTA, "R2", "say "),
        (DELTA, "R2", "m1-3"),
        ("run.completed", "R2", "R2"),
    ),
    *log(
        "O",
        ("user.message", None, "say m1-0"),
        ("user.message", None, "say m1-1"),
        (DELTA, "R1", "say m1-0\nsay m1-1"),
        ("run.completed", "R1", "R1"),
        ("user.message", "R4", "say m1-6"),
        (DELTA, "R4", "say"),
        ("run.completed", "R4", "R4"),
    ),
    *log(
        "P",
        ("user.message", "R3", "say m1-4"),
        (DELTA, "R3", ASKED + DENIED),
        ("run.completed", "R3", "R3"),
    ),
)
ROWS = Rows(
    threads=tuple(Thread(name, "IDLE", 0, None) for name in "COP"),
    runs=(
        Run("O", "R1", "completed", 1, None, T0, ("m0", "m1")),
        Run("C", "R2", "completed", 1, None, T0, ("m3",)),
        Run("P", "R3", "completed", 1, None, T0, ("m4",)),
        Run("O", "R4", "cancelled", 1, None, T0, ("m6",)),
    ),
    events=LOG,
    messages=(
        Message("MR1", "R1", "say m1-0\nsay m1-1", "completed", "O", 5),
        Message("MR2", "R2", "say m1-3", "completed", "C", 6),
        Message("MR3", "R3", ASKED + DENIED, "completed", "P", 7),
        Message("MR4", "R4", "say", "incomplete", "O", 9),
    ),
    requests=(Request("R3", "rejected", "Q"),),
    said=(
        Said("O", "m0", 1, "say m1-0", T0),
        Said("O", "m1", 2, "say m1-1", T0),
        Said("C", "m3", 3, "say m1-3", T0),
        Said("P", "m4", 4, "say m1-4", T0),
        Said("O", "m6", 8, "say m1-6", T0),
    ),
)


def entry(event: Event, content: str | None = None) -> Document:
    return {"id": event.id, "type": event.type, "runId": event.run, "content": content or event.content}


def copied(*entries: Document) -> Copy:
    copy = Copy("C")
    for one in entries:
        copy.take(one)
    return copy


# Two live deltas of C; then, folded, both as one entry.
LIVE = [entry(event) for event in LOG[:5]]
FOLDED = [*LIVE[:2], entry(LOG[3], "say m1-3"), LIVE[4]]
LISTED = ("openai", "C", (("user", "say m1-3"), ("assistant", "say m1-3")))
STOP = Stop("R4", T0, {"run": {"id": "R4", "status": "cancelled"}}, ())
HISTORY = History(
    calls=CALLS,
    stops=(STOP,),
    copies=(copied(*LIVE), copied(*FOLDED)),
    agents={"O": "echo", "C": "echo", "P": "approve"},
    lists=(LISTED,),
)


def found(history: History = HISTORY, rows: Rows = ROWS) -> set[Kind]:
    return {violation.kind for violation in check(history, rows)}


def with_calls(old: Call, *new: Call) -> History:
    return replace(HISTORY, calls=[two for one in CALLS for two in (new if one is old else (one,))])


def again(old: Call, *replies: Reply, **changes: Any) -> Call:
    return replace(old, replies=list(replies) or old.replies, **changes)


def test_a_history_that_is_right_has_no_violation() -> None:
    assert check(HISTORY, ROWS) == []


def test_a_call_of_which_nobody_knows_may_have_happened_or_not() -> None:
    silent = Reply(0, 9, None)
    assert found(with_calls(SECOND, again(SECOND, silent))) == set()
    never = again(SECOND, silent, marker="m1-9", text="say m1-9")
    assert found(with_calls(SECOND, SECOND, never)) == set()


WRONG_CALLS: dict[str, tuple[Kind, Callable[[], History]]] = {
    "an answer that is not there": (
        Kind.LOST,
        lambda: with_calls(FIRST, FIRST, again(FIRST, marker="m1-9", text="say m1-9")),
    ),
    "refused and done": (Kind.UNASKED, lambda: with_calls(FIRST, again(FIRST, Reply(0, 1, 404)))),
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
    "told otherwise": (
        Kind.GARBLED,
        lambda: with_calls(STREAMED, again(STREAMED, Reply(0, 1, 200, frames(delta("no"), response("R2"))))),
    ),
    "a decision that did not count": (Kind.LOST, lambda: with_calls(DECIDED, again(DECIDED, allow=True))),
    "a cancel that did not count": (Kind.LOST, lambda: with_calls(CANCEL, again(CANCEL, run="R1"))),
}


@pytest.mark.parametrize("what", WRONG_CALLS)
def test_each_wrong_answer_is_found(what: str) -> None:
    kind, history = WRONG_CALLS[what]
    assert kind in found(history())


def changed(name: str, place: int, **changes: Any) -> Rows:
    rows = list(getattr(ROWS, name))
    rows[place] = replace(rows[place], **changes)
    return replace(ROWS, **{name: tuple(rows)})


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
    "lost too soon": (Kind.INCONSISTENT, lambda: changed("runs", 3, status="failed", error="runtime.lost")),
    "at work for ever": (Kind.INCONSISTENT, lambda: changed("runs", 3, status="running")),
    "allowed": (Kind.LOST, lambda: changed("requests", 0, state="allowed")),
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


def test_three_lost_workers_may_cost_a_run_its_end() -> None:
    lost = changed("runs", 3, status="failed", error="runtime.lost", attempt=3)
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
        (Reply(0, 1, 200, frames(("error", {"error_code": "run.cancelled"}))), False),
        (Reply(0, 1, 200, TOLD), False),
    ],
)
def test_a_call_is_sent_again_until_somebody_knows(reply: Reply, *, still_open: bool) -> None:
    assert is_open(reply) is still_open
