"""The verdict on executed runs finds nothing in rows that are right, and each kind of wrong in rows that are not."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.faults.executions import rows, talks
from tests.faults.executions.answers import ASKED as QUESTION
from tests.faults.executions.kills import check_readers, quantile
from tests.faults.executions.phases import Phase, Stop, check_answers, check_said, check_texts, phases_of
from tests.faults.executions.readers import Copy
from tests.faults.executions.rows import DELTA, Batch, Event, Message, Request, Rows, Run, Thread
from tests.faults.executions.stage import TERMINAL, Document

T0 = datetime(2026, 1, 1, tzinfo=UTC)
TEXT = "two words"


def run(name: str, status: str = "completed", *, attempt: int = 1, error: str | None = None, losses: int = 0) -> Run:
    return Run("T", name, status, attempt, error, T0 if status in TERMINAL else None, losses=losses)


def right() -> Rows:
    """A run that answered, and one that was interrupted in the middle of its answer."""
    return Rows(
        threads=(Thread("T", "IDLE", 0, None),),
        runs=(run("R1"), run("R2", "cancelled")),
        events=(
            Event("1", "run.started", "R1", "R1", None),
            Event("2", DELTA, "R1", "two ", "M1"),
            Event("3", DELTA, "R1", "words", "M1"),
            Event("4", "run.completed", "R1", "R1", None),
            Event("5", "run.started", "R2", "R2", None),
            Event("6", DELTA, "R2", "two ", "M2"),
            Event("7", "run.completed", "R2", "R2", None),
            Event("8", "session.status", None, "IDLE", None),
        ),
        messages=(Message("M1", "R1", TEXT, "completed"), Message("M2", "R2", "two ", "incomplete")),
        requests=(Request("R2", "superseded"),),
    )


ASKED = {"R1": ("echo", TEXT), "R2": ("echo", TEXT)}
WRONG: dict[str, Callable[[Rows], Rows]] = {
    "run R1 is running": lambda r: replace(r, runs=(run("R1", "running"), r.runs[1])),
    "has 0 terminal events": lambda r: replace(r, events=tuple(e for e in r.events if e.id != "4")),
    "has 2 terminal events": lambda r: replace(r, events=(*r.events, Event("9", "run.failed", "R1", None, None))),
    "has events behind its end": lambda r: replace(r, events=(*r.events, Event("9", "usage.updated", "R2", "", None))),
    "has a lease still": lambda r: replace(r, leases=("R1",)),
    "has an open request": lambda r: replace(r, requests=(Request("R2", "pending"),)),
    "with 1 active runs": lambda r: replace(r, threads=(Thread("T", "IDLE", 1, None),)),
    "is RUNNING": lambda r: replace(r, threads=(Thread("T", "RUNNING", 0, None),)),
    "waits for a worker": lambda r: replace(r, threads=(Thread("T", "IDLE", 0, T0),)),
    "its messages are {}": lambda r: replace(r, messages=r.messages[:1]),
    "its messages are {'M2': 'two words'}": lambda r: replace(
        r, messages=(r.messages[0], replace(r.messages[1], text=TEXT))
    ),
    "has incomplete messages": lambda r: replace(
        r, messages=(replace(r.messages[0], status="incomplete"), r.messages[1])
    ),
}


def test_rows_that_are_right_have_no_fault() -> None:
    assert rows.check(right()) == []
    assert check_texts(right(), ASKED) == []


@pytest.mark.parametrize("fault", WRONG)
def test_each_kind_of_wrong_row_is_found(fault: str) -> None:
    assert any(fault in found for found in rows.check(WRONG[fault](right())))


def test_text_that_is_doubled_or_lost_is_found() -> None:
    one = replace(right(), runs=(run("R1"),))
    assert talks.check_texts(one, {"R1": TEXT}, {"R1": TEXT}) == []
    doubled = replace(one, events=(*one.events[:3], *one.events[2:]))
    cut = replace(one, events=(*one.events[:2], *one.events[3:]))
    for wrong in (doubled, cut):
        assert len(talks.check_texts(wrong, {"R1": TEXT}, {"R1": TEXT})) == 1
    assert len(talks.check_texts(one, {"R1": TEXT}, {"R1": "two "})) == 1
    assert talks.check_texts(one, {}, {})[0] == "there are other runs than those asked for"


def test_a_run_may_be_lost_with_its_third_worker_and_with_none_before() -> None:
    def lost(attempt: int, losses: int) -> list[str]:
        failed = run("R1", "failed", attempt=attempt, error="runtime.lost", losses=losses)
        return talks.check_texts(replace(right(), runs=(failed,)), {"R1": TEXT}, {})

    assert lost(3, 3) == []
    assert lost(1, 10) == [], "so many in all are enough, whatever checkpoints there were"
    for attempt, losses in ((2, 2), (3, 2), (2, 9)):
        assert len(lost(attempt, losses)) == 1


def test_a_question_that_is_asked_twice_is_found() -> None:
    log = tuple(Event(str(n), DELTA, "R1", text, f"M{n}") for n, text in enumerate((QUESTION, QUESTION, TEXT)))
    one = replace(right(), runs=(run("R1"),), messages=())
    assert check_said(replace(one, events=log[1:]), {"R1": QUESTION + TEXT}) == []
    assert check_said(replace(one, events=log), {"R1": QUESTION + TEXT})
    assert check_said(one, {})[0] == "there are other runs than those asked for"


def test_an_interrupted_run_that_said_something_is_marked_as_incomplete() -> None:
    unmarked = replace(right().messages[1], status="completed")
    assert len(check_texts(replace(right(), messages=(right().messages[0], unmarked)), ASKED)) == 1


def stop(run: str, *, killed: float | None = None, accepted: float = -1.0, result: str = "cancelled") -> Stop:
    killed_at = None if killed is None else T0 + timedelta(seconds=killed)
    named = {"run": {"id": run, "status": result}}
    return Stop(run, T0 + timedelta(seconds=accepted), named, (), killed_at)


def phase(one: Stop, found: Rows) -> Phase:
    (met,) = phases_of([one], found, ASKED)
    return met


def test_which_phase_an_interrupt_met_is_read_from_the_rows() -> None:
    found = replace(right(), requests=())
    log = found.events

    def without(*places: str) -> Rows:
        return replace(found, events=tuple(event for event in log if event.id not in places))

    whole = replace(found, events=(*log[:6], Event("65", DELTA, "R2", "words", "M2"), *log[6:]))
    assert phase(stop("R2"), found) is Phase.RUNNING
    assert phase(stop("R2"), without("6")) is Phase.STARTING
    assert phase(stop("R2"), without("5", "6")) is Phase.QUEUED
    assert phase(stop("R2"), whole) is Phase.FINISHING
    assert phase(stop("R2"), right()) is Phase.WAITING
    assert phase(stop("R2", killed=-1), found) is Phase.ORPHANED
    assert phase(stop("R2", killed=-5), found) is Phase.RUNNING
    assert phase(stop("R1", accepted=0.01), found) is Phase.FINISHING
    assert phase(stop("R1", accepted=0.5), found) is Phase.LATE


def test_an_interrupt_must_be_answered_with_its_run_as_it_is_and_stays() -> None:
    found = right()
    assert check_answers([stop("R2")], found) == []
    missed = replace(stop("R1"), result={"run": None}, warnings=("no_active_run",))
    assert check_answers([missed], found) == []
    assert len(check_answers([replace(missed, warnings=())], found)) == 1
    for result in ("running", "completed"):
        assert len(check_answers([stop("R2", result=result)], found)) == 1


def entry(place: str, kind: str, content: str) -> Document:
    return {"id": place, "type": kind, "runId": "R1", "content": content}


def read(*entries: Document) -> Copy:
    copy = Copy("T")
    for one in entries:
        copy.take(one)
    return copy


def test_an_interrupt_that_found_nothing_while_a_run_was_there_is_found() -> None:
    def found(place: int, seconds: float) -> list[str]:
        """In which order it was applied, the message being number 2, and how long before the end of its run."""
        missed = Batch(place, "T", T0 - timedelta(seconds=seconds), missed=True)
        message = Batch(2, "T", T0 - timedelta(seconds=9), missed=False, runs=("R1",))
        elsewhere = Batch(3, "T2", T0 - timedelta(seconds=1), missed=True)
        return rows.check(replace(right(), batches=(message, missed, elsewhere)))

    assert found(1, 9.0) == found(3, 0.0) == found(3, -1.0) == []
    assert found(3, 9.1) == [], "they overlapped, and it was applied before"
    assert found(3, 0.1) == ["an interrupt found nothing, and run R1 was there"]


def test_a_client_that_reads_something_else_than_the_log_is_found() -> None:
    began, one, two = entry("1", "run.started", "R1"), entry("2", DELTA, "two "), entry("3", DELTA, "words")
    end = entry("4", "run.completed", "R1")
    log = tuple(replace(event, thread="T") for event in right().events if event.run == "R1")
    found = replace(right(), runs=(run("R1"),), events=log)
    assert check_readers(found, [read(began, one, two, end)]) == []
    assert check_readers(found, [read(began, entry("3", DELTA, TEXT), end)]) == []
    twice = check_readers(found, [read(began, one, two, two, end)])
    assert [fault for fault in twice if "3 came behind 3" in fault]
    late = entry("5", "usage.updated", "")
    for wrong in (
        [began, one, end],
        [one, two, end],
        [began, entry("2", DELTA, TEXT), end],
        [began, one, two, end, late],
    ):
        assert check_readers(found, [read(*wrong)])


def test_of_fifty_values_the_slowest_is_the_99th_percentile() -> None:
    values = [float(n) for n in range(50)]
    assert (quantile(values, 0.5), quantile(values, 0.99)) == (24.0, 49.0)
