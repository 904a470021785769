"""Interrupts: of the current run, of a named one, of nothing."""

from datetime import timedelta

import pytest

from shared.events import PermissionDecision, UserInterrupt
from shared.ids import RunId
from shared.models import RequestState, RunStatus
from shared.reports import RunFinished
from tests.unit.ledger import number
from tests.unit.story import Story, codes, logged, some

ALIVE = [RunStatus.QUEUED, RunStatus.BOOTING, RunStatus.RUNNING, RunStatus.WAITING_INPUT]
NO_RUN = RunId(number(9))


@pytest.mark.parametrize("status", ALIVE)
@pytest.mark.parametrize("named", [True, False])
def test_an_interrupt_cancels_the_current_run_wherever_it_stands(status: RunStatus, named: bool) -> None:
    story = Story()
    before = story.in_status(status)
    done = story.tell(UserInterrupt(before.id if named else None))
    run = some(done.result)
    assert (run.status, run.completed_at, run.error) == (RunStatus.CANCELLED, story.now, None)
    assert run.started_at == (before.started_at or story.now)
    assert codes(done) == []
    assert logged(done.effects) == [("run.completed", run.id), ("session.status", None)]
    assert story.ledger.log[-2].content == run.id


def test_an_interrupt_supersedes_the_open_requests_of_its_run() -> None:
    story = Story()
    _, [one, two] = story.waiting(None, None)
    story.tell(PermissionDecision(one, allow=True))
    story.tell(UserInterrupt())
    assert [story.request(asked).state for asked in (one, two)] == [RequestState.ALLOWED, RequestState.SUPERSEDED]


def test_an_interrupt_can_name_a_run_behind_the_current_one() -> None:
    story = Story()
    current = story.running()
    behind, last = story.queued(), story.queued()
    done = story.tell(UserInterrupt(behind.id))
    assert some(done.result).id == behind.id
    assert story.ledger.active == [current, last]


def test_an_interrupt_finds_a_named_run_that_lies_behind_those_loaded() -> None:
    story = Story()
    runs = [story.queued() for _ in range(5)]
    [done] = story.ledger.tell([UserInterrupt(runs[4].id)], story.now, runs=None)
    assert some(done.result).status == RunStatus.CANCELLED
    assert story.ledger.active == runs[:4]


def test_a_run_that_one_batch_names_twice_is_cancelled_once() -> None:
    story = Story()
    run = story.queued()
    first, second = story.ledger.tell([UserInterrupt(run.id)] * 2, story.now)
    assert codes(first) == []
    assert codes(second) == ["run_already_finished"]
    assert second.result.run == first.result.run


def test_a_run_that_was_written_to_after_its_thread_does_not_go_back_in_time() -> None:
    story = Story()
    run = story.running()
    later = story.now + timedelta(hours=1)
    story.ledger.runs[run.id] = run._replace(updated_at=later)
    ended = some(story.tell(RunFinished(run.id)).result)
    assert (ended.updated_at, ended.completed_at) == (later, later)


def test_interrupts_without_a_name_take_one_run_after_the_other() -> None:
    story = Story()
    one, two, three = story.queued(), story.queued(), story.queued()
    steps = story.ledger.tell([UserInterrupt()] * 2, story.now, runs=None)
    assert [some(done.result).id for done in steps] == [one.id, two.id]
    assert story.ledger.active == [three]


def test_an_interrupt_of_an_idle_thread_warns() -> None:
    done = Story().tell(UserInterrupt())
    assert done.result.run is None
    assert [(w.code, w.run) for w in done.result.warnings] == [("no_active_run", None)]


def test_an_interrupt_of_a_run_that_is_not_there_warns_and_names_it() -> None:
    story = Story()
    story.running()
    done = story.tell(UserInterrupt(NO_RUN))
    assert done.result.run is None
    assert [(w.code, w.run) for w in done.result.warnings] == [("run_not_found", NO_RUN)]
    assert done.effects == ()


def test_an_interrupt_of_a_finished_run_warns_and_returns_it() -> None:
    story = Story()
    run = story.completed()
    done = story.tell(UserInterrupt(run.id))
    assert done.result.run == story.run(run.id)
    assert [(w.code, w.run) for w in done.result.warnings] == [("run_already_finished", run.id)]
    assert done.effects == ()
