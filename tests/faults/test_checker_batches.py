"""The checker reads each batch word by word: what was sent, is stored and was answered, and what each event was told.

Each wrong history is found, and its right twin is not. The first one is `right_history`: two messages, an interrupt.
"""

from dataclasses import replace
from functools import cache

import pytest
from pydantic_core import to_json

from tests.faults.checker import check
from tests.faults.history import Document, Reply, Request, created
from tests.faults.replay import QUEUE
from tests.faults.right_history import (
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
from tests.faults.tables import Message, Run, Tables, Thread
from tests.faults.violations import Kind

INTERRUPT: Document = {"type": "user_interrupt"}
DECISION: Document = {"type": "permission_decision", "requestId": "of m1-9", "decision": "allow_once"}
ALLOWED: Document = {"type": "permission_decision", "request": "of m1-9", "allow": True}


def kinds(history: list[Request], found: Tables, closed: frozenset[str] = frozenset()) -> set[Kind]:
    return {violation.kind for violation in check(history, found, closed=closed)}


def warning(code: str, number: int = 0, **more: str) -> Document:
    return {"code": code, "message": "", "eventIndex": number, **more}


def behind(run: str, number: int = 0) -> Document:
    return warning("queued_behind", number, runId=run)


def sent(*events: Document, runs: tuple[str | None, ...], warnings: list[Document]) -> Request:
    """One more batch, behind all others."""
    return Request(THREAD, "m1-9", events, "z", [answer(6, 7, outcome(*runs, warnings=warnings))])


def with_one_more(request: Request, kept: tuple[Document, ...] = (), closed: frozenset[str] = frozenset()) -> set[Kind]:
    """The history with a batch behind it that has no effects; `kept`: its events as they are stored."""
    batch = stored(request, 3)
    if kept:
        batch = replace(batch, events=to_json(kept).decode())
    return kinds([*HISTORY, request], replace(tables(), batches=(*tables().batches, batch)), closed)


@pytest.mark.parametrize(("kept", "right"), [("R0", True), ("R1", False), (None, False)])
def test_an_interrupt_is_stored_with_the_run_that_it_was_sent_with(kept: str | None, right: bool) -> None:
    """And that run is the one that was cancelled: nothing but the request says which was meant."""
    third = replace(THIRD, events=({**INTERRUPT, "runId": "R0"},))
    batch = replace(stored(third, 2), events=to_json([INTERRUPT | ({"run": kept} if kept else {})]).decode())
    found = replace(tables(), batches=(*tables().batches[:2], batch))
    assert (Kind.UNASKED in kinds([FIRST, SECOND, third], found)) == (not right)
    assert not right or kinds([FIRST, SECOND, third], found) == set()


def test_an_interrupt_that_was_sent_for_one_run_and_cancelled_another_is_unasked() -> None:
    third = replace(THIRD, events=({**INTERRUPT, "runId": "R1"},))
    batch = replace(stored(third, 2), events='[{"type":"user_interrupt","run":"R0"}]')
    assert kinds([FIRST, SECOND, third], replace(tables(), batches=(*tables().batches[:2], batch))) == {Kind.UNASKED}


@pytest.mark.parametrize(
    ("kept", "right"),
    [
        (ALLOWED, True),
        ({**ALLOWED, "allow": False}, False),
        ({**ALLOWED, "request": "of m1-8"}, False),
        ({**ALLOWED, "note": "why"}, False),
    ],
)
def test_a_decision_is_stored_as_it_was_sent(kept: Document, right: bool) -> None:
    request = sent(DECISION, runs=(None,), warnings=[warning("permission_not_found")])
    assert with_one_more(request, (kept,)) == (set() if right else {Kind.UNASKED})


TWO = Request(
    THREAD,
    "m1-1",
    (said("m1-1"), said("more m1-1")),
    "b",
    [answer(2, 3, outcome("R1", "R2", warnings=[behind("R0"), behind("R0", 1)]))],
)


def with_two(request: Request = TWO, first: int = 2, *, kept_reversed: bool = False) -> set[Kind]:
    """A batch of two messages behind a run; its first one stands in the log in this place, and so does its run."""
    batch = stored(request, 1)
    if kept_reversed:
        batch = replace(batch, events=to_json(request.events[::-1]).decode())
    second = 5 - first
    own = (Message(THREAD, "R1", "say m1-1"), Message(THREAD, "R2", "say more m1-1"))
    found = Tables(
        threads=(Thread(THREAD, "RUNNING", 3, "R2" if second == 3 else "R1", "E3", held=False),),
        batches=(stored(FIRST, 0), batch),
        events=(
            event("E1", "user.message", "R0", "say m1-0", at=1),
            event(f"E{first}", "user.message", "R1", "say m1-1", at=first),
            event(f"E{second}", "user.message", "R2", "say more m1-1", at=second),
        ),
        runs=(run("R0", 1), run("R1", first), run("R2", second)),
        messages=(Message(THREAD, "R0", "say m1-0"), *own[:: 1 if first < second else -1]),
    )
    return kinds([FIRST, request], found)


def test_two_messages_of_a_batch_begin_in_its_order_also_where_they_wait_for_the_same_run() -> None:
    assert with_two() == set()
    assert with_two(first=3) == {Kind.REORDERED}


def test_a_batch_that_is_stored_with_its_events_reversed_is_unasked() -> None:
    other = outcome("R2", "R1", warnings=[behind("R0"), behind("R0", 1)])
    found = with_two(replace(TWO, replies=[answer(2, 3, other)]), first=3, kept_reversed=True)
    assert found == {Kind.UNASKED}


@pytest.mark.parametrize(
    "code", ["thread_archived", "thread_deleted", "batch_discarded", "queue_full", "run_active", "no_such_code"]
)
def test_a_message_that_was_dropped_for_a_reason_that_was_not_there_is_lost(code: str) -> None:
    assert with_one_more(sent(said("m1-9"), runs=(None,), warnings=[warning(code)])) == {Kind.LOST}


@pytest.mark.parametrize("code", ["thread_archived", "thread_deleted", "batch_discarded"])
def test_a_message_behind_closed_doors_is_not_lost_where_somebody_closed_them(code: str) -> None:
    request = sent(said("m1-9"), runs=(None,), warnings=[warning(code)])
    assert with_one_more(request, closed=frozenset({THREAD})) == set()
    assert with_one_more(request, closed=frozenset({"another"})) == {Kind.LOST}


@pytest.mark.parametrize("one", [INTERRUPT, DECISION])
def test_an_interrupt_or_a_decision_that_came_to_nothing_says_why(one: Document) -> None:
    assert with_one_more(sent(one, runs=(None,), warnings=[])) >= {Kind.LOST}
    assert with_one_more(sent(one, runs=(None,), warnings=[warning("queue_full")])) >= {Kind.LOST}


@pytest.mark.parametrize(
    ("code", "right"),
    [("run_already_finished", True), ("run_not_found", False), ("no_active_run", False), ("thread_archived", False)],
)
def test_what_found_nothing_has_no_run(code: str, right: bool) -> None:
    request = sent({**INTERRUPT, "runId": "R0"}, runs=("R0",), warnings=[warning(code)])
    assert (with_one_more(request, closed=frozenset({THREAD})) == set()) == right


@cache
def crowd(size: int) -> tuple[list[Request], Tables]:
    """A thread with so many messages, each of which began a run behind the first one."""
    requests = [
        Request(
            THREAD,
            f"m2-{n}",
            (said(f"m2-{n}"),),
            f"k{n}",
            [answer(n, n + 0.5, outcome(f"R{n}", warnings=[behind("R0")] if n else []))],
        )
        for n in range(size)
    ]
    found = Tables(
        threads=(Thread(THREAD, "RUNNING", size, f"R{size - 1}", f"E{size - 1:04}", held=False),),
        batches=tuple(stored(request, n) for n, request in enumerate(requests)),
        events=tuple(event(f"E{n:04}", "user.message", f"R{n}", f"say m2-{n}", at=n) for n in range(size)),
        runs=tuple(run(f"R{n}", n) for n in range(size)),
        messages=tuple(Message(THREAD, f"R{n}", f"say m2-{n}") for n in range(size)),
    )
    return requests, found


@pytest.mark.parametrize(
    ("size", "began", "right"), [(QUEUE, 500, True), (QUEUE - 1, 500, False), (QUEUE, 0, False), (QUEUE + 1, 500, True)]
)
def test_a_message_found_no_room_only_where_the_queue_was_full(size: int, began: float, right: bool) -> None:
    history, found = crowd(size)
    full = Request(THREAD, "m1-9", (said("m1-9"),), "z", [])
    full.replies = [answer(began, began + 1, outcome(None, warnings=[warning("queue_full")]))]
    everything = replace(found, batches=(*found.batches, stored(full, 900)))
    assert kinds([*history, full], everything) == (set() if right else {Kind.LOST})


def test_a_run_that_was_promised_and_did_not_fit_is_not_promised_wrongly() -> None:
    history, found = crowd(QUEUE)
    full = sent(said("m1-9"), runs=(None,), warnings=[warning("queue_full")])
    pending = answer(500, 501, outcome("R900", warnings=[warning("apply_pending")]))
    full = replace(full, replies=[pending, replace(full.replies[0], sent=502, ended=503)])
    assert kinds([*history, full], replace(found, batches=(*found.batches, stored(full, 900)))) == set()


@pytest.mark.parametrize(("place", "right"), [(1, True), (0, False)])
def test_the_second_message_of_a_batch_finds_no_room_behind_the_first(place: int, right: bool) -> None:
    """One fits. The one that does not is the second one: in front of the first there was room."""
    history, found = crowd(QUEUE)
    texts = [said("m2-99"), said("more m2-99")]
    warnings = [behind("R0", 1 - place), warning("queue_full", place)]
    runs = ("R99", None) if place else (None, "R99")
    events = tuple(texts if place else texts[::-1])
    last = Request(THREAD, "m2-99", events, "k99", [answer(99, 99.5, outcome(*runs, warnings=warnings))])
    everything = replace(found, batches=(*found.batches[:-1], stored(last, 99)))
    assert kinds([*history[:-1], last], everything) == (set() if right else {Kind.LOST})


@pytest.mark.parametrize(
    ("status", "ends", "right"),
    [
        ("completed", ["run.completed"], True),
        ("completed", [], False),
        ("completed", ["run.completed", "run.completed"], False),
        ("failed", ["run.failed"], True),
        ("failed", [], False),
        ("expired", ["run.failed"], True),
        ("expired", [], False),
        ("failed", ["run.failed", "run.failed"], False),
        ("running", [], True),
        ("running", ["run.failed"], False),
    ],
)
def test_a_run_that_is_over_has_one_end_in_its_log_and_any_other_none(
    status: str, ends: list[str], right: bool
) -> None:
    over = None if status == "running" else T0
    one = Run(THREAD, "R0", 1, status, T0, T0, T0, over)
    said_so = (event(f"E2{n}", kind, "R0", "R0", at=2) for n, kind in enumerate(ends))
    events = (event("E1", "user.message", "R0", "say m1-0", at=1), *said_so)
    active = int(over is None)
    found = Tables(
        threads=(Thread(THREAD, "RUNNING" if active else "IDLE", active, "R0", events[-1].id, held=False),),
        batches=(stored(FIRST, 0),),
        events=events,
        runs=(one,),
        messages=(Message(THREAD, "R0", "say m1-0"),),
    )
    assert kinds([FIRST], found) == (set() if right else {Kind.INCONSISTENT})


@pytest.mark.parametrize(
    ("thread", "accepted", "right"), [(THREAD, "now", True), ("ELSE", "now", False), (THREAD, "1970", False)]
)
def test_an_answer_that_is_pending_names_its_thread_and_the_time_that_is_stored(
    thread: str, accepted: str, right: bool
) -> None:
    body = {**outcome(None, warnings=[warning("apply_pending")]), "thread": {"id": thread}, "acceptedAt": accepted}
    first = replace(FIRST, replies=[Reply(0, 1, 200, body)])
    assert kinds([first, SECOND, THIRD], tables()) == (set() if right else {Kind.UNEQUAL})


def test_a_batch_is_stored_under_the_key_that_it_was_sent_with() -> None:
    for key in (None, "another"):
        first = replace(tables().batches[0], key=key)
        assert kinds(HISTORY, replace(tables(), batches=(first, *tables().batches[1:]))) == {Kind.UNASKED}
    second = replace(tables().batches[1], key="of nobody")
    found = replace(tables(), batches=(tables().batches[0], second, tables().batches[2]))
    assert kinds(HISTORY, found) == {Kind.UNASKED}


def test_messages_that_are_numbered_in_another_order_than_they_stand_in_the_log_are_reordered() -> None:
    assert kinds(HISTORY, replace(tables(), messages=tables().messages[::-1])) == {Kind.REORDERED}


def test_the_thread_of_a_batch_is_there() -> None:
    assert Kind.LOST in kinds(HISTORY, replace(tables(), threads=()))
    known = created(THREAD)
    assert check(HISTORY, tables(), creations=known) == []
    assert {v.kind for v in check(HISTORY, replace(tables(), threads=()))} == {Kind.LOST}


@pytest.mark.parametrize("others", [[], [Reply(7.5, 7.6, None)], [Reply(7.5, 7.6, 503)]])
def test_a_request_that_was_said_to_be_under_way_is_stored(others: list[Reply]) -> None:
    conflict = {"error": {"code": "idempotency_conflict", "message": ""}}
    only = Request(THREAD, "m1-9", (DECISION,), "z", [Reply(6, 7, 409, conflict, retry_after="2"), *others])
    assert Kind.LOST in kinds([*HISTORY, only], tables())
    told = outcome(None, warnings=[warning("permission_not_found")])
    batch = replace(stored(replace(only, replies=[answer(6, 7, told)]), 3))
    assert Kind.LOST not in kinds([*HISTORY, only], replace(tables(), batches=(*tables().batches, batch)))
