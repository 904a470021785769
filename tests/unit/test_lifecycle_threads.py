"""Archive, unarchive, delete, and what comes behind them."""

from dataclasses import replace

import pytest

from shared.effects import SteerSettled
from shared.events import (
    Event,
    MessageAdded,
    PermissionDecision,
    ThreadArchived,
    ThreadDeleted,
    ThreadUnarchived,
    UserInterrupt,
    UserMessage,
)
from shared.ids import MessageId, RunId
from shared.models import BusyPolicy, RequestState, RunStatus, ThreadStatus
from shared.reports import RunFinished, RunStarted
from tests.unit.ledger import number
from tests.unit.story import Story, codes, logged, some

CLOSES: list[Event] = [ThreadArchived(), ThreadDeleted()]
ALIVE = [RunStatus.QUEUED, RunStatus.BOOTING, RunStatus.RUNNING, RunStatus.WAITING_INPUT]
WRITES: list[Event] = [
    UserMessage(RunId(number(50)), "hello", "r-1"),
    PermissionDecision("what?", allow=True),
    UserInterrupt(),
    MessageAdded(MessageId(number(51)), "user", [{"type": "text", "text": "hello"}]),
]


def kind(event: Event) -> str:
    return event.type


@pytest.mark.parametrize("close", CLOSES, ids=kind)
@pytest.mark.parametrize("status", ALIVE)
def test_what_closes_a_thread_cancels_every_run_and_says_why(close: Event, status: RunStatus) -> None:
    story = Story()
    current = story.in_status(status)
    behind = story.queued()
    done = story.tell(close)
    for run in (story.run(current.id), story.run(behind.id)):
        assert (run.status, run.completed_at) == (RunStatus.CANCELLED, story.now)
        assert run.error is not None
        assert (run.error.code, run.error.retryable) == ("session.archived", False)
    assert logged(done.effects) == [
        ("run.completed", current.id),
        ("run.completed", behind.id),
        ("session.status", None),
    ]
    assert (story.thread.status, story.thread.active_runs) == (ThreadStatus.IDLE, 0)
    assert done.result.run is None
    assert done.result.warnings == ()


@pytest.mark.parametrize("close", CLOSES, ids=kind)
def test_what_closes_a_thread_drops_its_steers(close: Event) -> None:
    story = Story(BusyPolicy.STEER)
    story.running()
    story.say()
    [steer] = story.ledger.steers.values()
    done = story.tell(close)
    assert SteerSettled(replace(steer, settled=True)) in done.effects
    assert steer.run not in story.ledger.runs


@pytest.mark.parametrize("close", CLOSES, ids=kind)
def test_an_open_request_is_superseded_with_its_thread(close: Event) -> None:
    story = Story()
    _, [request] = story.waiting()
    story.tell(close)
    assert story.request(request).state == RequestState.SUPERSEDED


def test_an_archived_thread_knows_when_and_logs_nothing_where_it_was_idle() -> None:
    story = Story()
    done = story.tell(ThreadArchived())
    assert done.effects == ()
    assert story.thread.archived_at == story.thread.updated_at == story.now


@pytest.mark.parametrize("event", WRITES, ids=kind)
def test_what_comes_behind_an_archive_does_nothing_and_says_so(event: Event) -> None:
    story = Story()
    story.tell(ThreadArchived())
    before = story.thread
    done = story.tell(event)
    assert (done.result.run, codes(done), done.effects) == (None, ["thread_archived"], ())
    assert story.thread is before


@pytest.mark.parametrize("event", [*WRITES, ThreadArchived(), ThreadUnarchived(), ThreadDeleted()], ids=kind)
def test_what_comes_behind_a_delete_does_nothing_and_says_so(event: Event) -> None:
    story = Story()
    story.tell(ThreadDeleted())
    before = story.thread
    done = story.tell(event)
    assert (done.result.run, codes(done), done.effects) == (None, ["thread_deleted"], ())
    assert story.thread is before


def test_archiving_twice_is_archiving_once() -> None:
    story = Story()
    story.tell(ThreadArchived())
    before = story.thread
    done = story.tell(ThreadArchived())
    assert (codes(done), done.effects) == ([], ())
    assert story.thread is before


def test_an_unarchived_thread_takes_messages_again() -> None:
    story = Story()
    story.tell(ThreadArchived())
    done = story.tell(ThreadUnarchived())
    assert (codes(done), done.effects) == ([], ())
    assert (story.thread.archived_at, story.thread.updated_at) == (None, story.now)
    assert some(story.say().result).status == RunStatus.QUEUED


def test_unarchiving_an_open_thread_changes_nothing() -> None:
    story = Story()
    before = story.thread
    done = story.tell(ThreadUnarchived())
    assert (codes(done), done.effects) == ([], ())
    assert story.thread is before


def test_a_delete_is_a_tombstone_and_lifts_the_hold() -> None:
    story = Story()
    story.ledger.thread = story.thread._replace(held=True)
    story.tell(ThreadDeleted())
    assert (story.thread.deleted_at, story.thread.held) == (story.now, False)


@pytest.mark.parametrize("busy", [False, True])
def test_a_deleted_thread_keeps_the_time_that_lists_had_it_by(busy: bool) -> None:
    story = Story()
    if busy:
        story.running()
    before = story.thread
    story.tell(ThreadDeleted())
    assert (story.thread.updated_at, story.thread.deleted_at) == (before.updated_at, story.now)
    assert before.updated_at < story.now


def test_an_archived_thread_can_be_deleted() -> None:
    story = Story()
    story.tell(ThreadArchived())
    assert codes(story.tell(ThreadDeleted())) == []
    assert story.thread.deleted_at == story.now


def test_an_archive_leaves_the_hold_alone() -> None:
    story = Story()
    story.ledger.thread = story.thread._replace(held=True)
    story.tell(ThreadArchived())
    assert story.thread.held


@pytest.mark.parametrize("close", CLOSES, ids=kind)
def test_a_late_report_about_a_run_of_a_closed_thread_changes_nothing(close: Event) -> None:
    story = Story()
    run = story.booting()
    story.tell(close)
    assert story.tell(RunStarted(run.id)).effects == ()
    assert story.tell(RunFinished(run.id)).effects == ()
    assert story.run(run.id).status == RunStatus.CANCELLED
