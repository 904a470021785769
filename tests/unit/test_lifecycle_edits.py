"""Edits of queued runs, and retries of finished ones."""

import pytest

from shared.effects import InputEdited, RunCreated, RunMoved
from shared.events import RunEdited, RunRetried, ThreadArchived, UserInterrupt
from shared.ids import MessageId, RunId
from shared.lifecycle import QUEUE_LIMIT
from shared.models import BusyPolicy, RunError, RunStatus, Trigger
from shared.reports import RunFinished, RunLeased
from tests.unit.ledger import number
from tests.unit.story import Story, codes, logged, some

UNKNOWN = RunId(number(9))


def text_of(story: Story, run: RunId) -> tuple[str, str | None]:
    """What a run answers: as the thread has it, and as the log says it."""
    (message,) = story.ledger.inputs[run]
    (event,) = [event for event in story.ledger.log if MessageId(event.id) == message]
    return str(story.ledger.messages[message].parts[0]["text"]), event.content


def retried(story: Story, of: RunId) -> RunRetried:
    return RunRetried(RunId(story.mint()), of)


def test_an_edit_changes_the_text_of_a_queued_run_and_the_times_of_run_and_thread() -> None:
    story = Story()
    run = story.queued()
    ids = [event.id for event in story.ledger.log]
    done = story.tell(RunEdited(run.id, "better"))
    assert (done.effects, codes(done)) == ((RunMoved(some(done.result)), InputEdited(run.id, "better")), [])
    assert text_of(story, run.id) == ("better", "better")
    assert [event.id for event in story.ledger.log] == ids
    assert some(done.result) == run._replace(updated_at=story.now)
    assert story.thread.updated_at == story.now


def test_the_last_of_several_edits_is_the_text_wherever_the_run_stands_in_the_queue() -> None:
    story = Story()
    runs = [story.queued() for _ in range(3)]
    for text in ("better", "best"):
        for run in runs:
            assert codes(story.tell(RunEdited(run.id, text))) == []
    assert [text_of(story, run.id) for run in runs] == [("best", "best")] * 3
    assert [run.id for run in story.ledger.active] == [run.id for run in runs]


def test_an_edit_never_renames_the_thread_also_where_its_title_came_from_the_old_text() -> None:
    story = Story()
    run = some(story.say("the old text").result)
    story.tell(RunEdited(run.id, "the new text"))
    assert story.thread.title == "the old text"


@pytest.mark.parametrize("status", [RunStatus.BOOTING, RunStatus.RUNNING, RunStatus.WAITING_INPUT])
def test_a_run_that_has_started_keeps_its_text(status: RunStatus) -> None:
    story = Story()
    run = story.in_status(status)
    done = story.tell(RunEdited(run.id, "too late"))
    assert (done.effects, codes(done), done.result.warnings[0].run) == ((), ["run_started"], run.id)
    assert some(done.result) == run
    assert text_of(story, run.id) == ("hello", "hello")


def test_edit_and_interrupt_come_to_an_end_in_either_order() -> None:
    story = Story()
    first, second = story.queued(), story.queued()
    assert codes(story.tell(RunEdited(second.id, "edited"))) == []
    assert some(story.tell(UserInterrupt(second.id)).result).status == RunStatus.CANCELLED
    assert codes(story.tell(RunEdited(second.id, "again"))) == ["run_started"]
    assert text_of(story, second.id) == ("edited", "edited")
    assert [run.id for run in story.ledger.active] == [first.id]


def test_a_message_that_was_offered_to_a_runner_and_became_a_run_can_be_edited() -> None:
    story = Story(BusyPolicy.STEER)
    running = story.running()
    story.say("steer")
    story.tell(RunFinished(running.id))
    (run,) = story.ledger.active
    assert codes(story.tell(RunEdited(run.id, "edited"))) == []
    assert text_of(story, run.id) == ("edited", "edited")


def test_an_edit_or_a_retry_of_an_unknown_run_finds_none() -> None:
    story = Story()
    for done in (story.tell(RunEdited(UNKNOWN, "text")), story.tell(retried(story, UNKNOWN))):
        assert (done.effects, codes(done), done.result.run) == ((), ["run_not_found"], None)
        assert done.result.warnings[0].run == UNKNOWN


def test_an_archived_thread_takes_neither_edit_nor_retry() -> None:
    story = Story()
    run = story.queued()
    story.tell(ThreadArchived())
    for event in (RunEdited(run.id, "text"), retried(story, run.id)):
        done = story.tell(event)
        assert (done.effects, codes(done)) == ((), ["thread_archived"])


def ended(story: Story, status: RunStatus) -> RunId:
    if status == RunStatus.COMPLETED:
        return story.completed().id
    run = story.running().id
    event = UserInterrupt(run) if status == RunStatus.CANCELLED else RunFinished(run, RunError("x", "y", True))
    story.tell(event)
    return run


@pytest.mark.parametrize("status", [RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED])
def test_a_retry_answers_the_messages_of_a_finished_run_with_a_run_of_its_own(status: RunStatus) -> None:
    story = Story()
    of = ended(story, status)
    before, events = story.run(of), len(story.ledger.messages)
    done = story.tell(retried(story, of))
    run = some(done.result)
    assert (run.trigger, run.status, run.attempt, run.error) == (Trigger.RETRY, RunStatus.QUEUED, 0, None)
    assert (codes(done), story.thread.last_run_id, story.run(of)) == ([], run.id, before)
    assert story.ledger.inputs[run.id] == story.ledger.inputs[of]
    assert (logged(done.effects), len(story.ledger.messages)) == ([("session.status", None)], events)


def test_a_retry_queues_behind_what_is_under_way_whatever_the_policy() -> None:
    story = Story(BusyPolicy.INTERRUPT)
    of = story.completed().id
    current = story.running()
    done = story.tell(retried(story, of))
    assert (codes(done), done.result.warnings[0].run) == (["queued_behind"], current.id)
    assert [run.id for run in story.ledger.active] == [current.id, some(done.result).id]


def test_a_full_queue_takes_no_retry() -> None:
    story = Story()
    of = story.completed().id
    for _ in range(QUEUE_LIMIT):
        story.queued()
    done = story.tell(retried(story, of))
    assert (done.effects, codes(done), done.result.run) == ((), ["queue_full"], None)


def test_only_a_finished_run_is_retried() -> None:
    story = Story()
    for begin in (story.queued, story.booting):
        run = begin()
        done = story.tell(retried(story, run.id))
        assert (done.effects, codes(done), some(done.result)) == ((), ["run_not_finished"], run)


def test_a_retry_of_a_retry_answers_the_same_and_cannot_be_edited() -> None:
    story = Story()
    first = story.completed().id
    second = some(story.tell(retried(story, first)).result)
    assert codes(story.tell(RunEdited(second.id, "other words"))) == ["run_started"]
    story.tell(RunLeased(second.id))
    story.tell(UserInterrupt())
    done = story.tell(retried(story, second.id))
    (made,) = [effect for effect in done.effects if isinstance(effect, RunCreated)]
    assert made.retries == second.id
    assert story.ledger.inputs[made.run.id] == story.ledger.inputs[first] != ()
    assert text_of(story, made.run.id) == ("hello", "hello")
