"""What runners and the clock report of a run."""

import pytest

from shared.effects import EventLogged, RunMoved
from shared.events import PermissionDecision
from shared.ids import RequestId, RunId
from shared.models import RequestState, RunError, RunStatus, ThreadStatus
from shared.reports import (
    Ask,
    AttemptLost,
    RunExpired,
    RunFinished,
    RunLeased,
    RunnerEvent,
    RunResumed,
    RunStarted,
    RunWaits,
)
from tests.unit.ledger import number
from tests.unit.story import Story, logged, some

ALIVE = [RunStatus.QUEUED, RunStatus.BOOTING, RunStatus.RUNNING, RunStatus.WAITING_INPUT]
FAILED = RunError("runner.failed", "It failed.", retryable=False)
NO_RUN = RunId(number(9))


def test_a_leased_run_boots_and_has_started() -> None:
    story = Story()
    queued = story.queued()
    done = story.tell(RunLeased(queued.id))
    run = some(done.result)
    assert (run.status, run.started_at, run.attempt) == (RunStatus.BOOTING, story.now, 1)
    assert logged(done.effects) == [("run.started", run.id)]


def test_a_runner_that_works_makes_its_run_running() -> None:
    story = Story()
    booting = story.booting()
    done = story.tell(RunStarted(booting.id))
    run = some(done.result)
    assert (run.status, run.started_at, run.updated_at) == (RunStatus.RUNNING, booting.started_at, story.now)
    assert done.effects == (RunMoved(run),)


def test_only_the_current_run_can_be_leased() -> None:
    story = Story()
    story.queued()
    behind = story.queued()
    done = story.tell(RunLeased(behind.id))
    assert (done.result.run, done.effects) == (behind, ())


def test_a_completed_run_says_so_and_leaves_its_thread_idle() -> None:
    story = Story()
    running = story.running()
    done = story.tell(RunFinished(running.id))
    run = some(done.result)
    assert (run.status, run.completed_at, run.error) == (RunStatus.COMPLETED, story.now, None)
    assert logged(done.effects) == [("run.completed", run.id), ("session.status", None)]
    assert [event.content for event in story.ledger.log[-2:]] == [run.id, "IDLE"]
    assert story.thread.status == ThreadStatus.IDLE


@pytest.mark.parametrize("status", [RunStatus.BOOTING, RunStatus.RUNNING])
def test_a_failed_run_keeps_its_error_and_logs_it(status: RunStatus) -> None:
    story = Story()
    run = story.in_status(status)
    done = story.tell(RunFinished(run.id, FAILED))
    assert (some(done.result).status, some(done.result).error) == (RunStatus.FAILED, FAILED)
    event = done.effects[1]
    assert isinstance(event, EventLogged)
    assert (event.type, event.status, event.content) == ("run.failed", "error", "It failed.")


def test_a_run_that_never_ran_does_not_complete() -> None:
    story = Story()
    run = story.booting()
    assert story.tell(RunFinished(run.id)).effects == ()


def test_the_end_of_a_run_with_others_behind_it_leaves_the_thread_running() -> None:
    story = Story()
    running = story.running()
    behind = story.queued()
    done = story.tell(RunFinished(running.id))
    assert logged(done.effects) == [("run.completed", running.id)]
    assert story.ledger.active == [behind]
    assert some(story.tell(RunLeased(behind.id)).result).status == RunStatus.BOOTING


def test_a_run_that_asks_waits_and_opens_its_requests_in_order() -> None:
    story = Story()
    running = story.running()
    asks = (
        Ask(RequestId(number(11)), "Run ls?", "shell", {"cmd": "ls"}, story.now),
        Ask(RequestId(number(12)), "Send it?"),
    )
    done = story.tell(RunWaits(running.id, asks))
    assert some(done.result).status == RunStatus.WAITING_INPUT
    assert logged(done.effects) == [("tool.confirmation.required", running.id)] * 2
    first = story.ledger.log[-2]
    assert (first.content, first.request_id, first.tool_call_id) == ("Run ls?", number(11), number(11))
    assert (first.tool_name, first.tool_input) == ("shell", {"cmd": "ls"})
    request = story.request(RequestId(number(11)))
    assert (request.run, request.state, request.expires_at) == (running.id, RequestState.PENDING, asks[0].expires_at)


@pytest.mark.parametrize("kind", [RunLeased, RunResumed])
def test_a_waiting_run_goes_on_only_when_every_request_is_settled(kind: type[RunLeased | RunResumed]) -> None:
    story = Story()
    run, [one, two] = story.waiting(None, None)
    story.tell(PermissionDecision(one, allow=True))
    assert story.tell(kind(run.id)).effects == ()
    story.tell(PermissionDecision(two, allow=False))
    assert story.tell(kind(run.id)).effects != ()


def test_a_decided_run_is_leased_again_and_goes_on() -> None:
    story = Story()
    run, [request] = story.waiting()
    story.tell(PermissionDecision(request, allow=True))
    leased = some(story.tell(RunLeased(run.id)).result)
    assert (leased.status, leased.attempt) == (RunStatus.WAITING_INPUT, 1)
    resumed = some(story.tell(RunResumed(run.id)).result)
    assert (resumed.status, resumed.started_at) == (RunStatus.RUNNING, run.started_at)


@pytest.mark.parametrize("status", [RunStatus.BOOTING, RunStatus.RUNNING])
def test_a_run_whose_worker_died_waits_for_another_one(status: RunStatus) -> None:
    story = Story()
    before = story.in_status(status)
    lost = some(story.tell(AttemptLost(before.id)).result)
    assert (lost.status, lost.attempt, lost.started_at) == (RunStatus.BOOTING, 1, before.started_at)
    again = story.tell(RunLeased(before.id))
    assert (some(again.result).status, some(again.result).attempt) == (RunStatus.BOOTING, 2)
    assert logged(again.effects) == []


@pytest.mark.parametrize("status", [RunStatus.BOOTING, RunStatus.RUNNING])
def test_after_three_lost_attempts_a_run_fails_and_may_be_tried_again(status: RunStatus) -> None:
    story = Story()
    run = story.booting()
    for _ in range(2):
        story.tell(AttemptLost(run.id))
        story.tell(RunLeased(run.id))
    if status == RunStatus.RUNNING:
        story.tell(RunStarted(run.id))
    failed = some(story.tell(AttemptLost(run.id)).result)
    assert (failed.status, failed.attempt) == (RunStatus.FAILED, 3)
    assert failed.error is not None
    assert (failed.error.code, failed.error.retryable) == ("runtime.lost", True)


def test_a_checkpoint_gives_a_run_its_attempts_back() -> None:
    story = Story()
    run = story.running()
    for n in range(5):
        request = RequestId(number(11 + n))
        story.tell(RunWaits(run.id, (Ask(request, "And now?"),)))
        story.tell(PermissionDecision(request, allow=True))
        story.tell(RunLeased(run.id))
        story.tell(RunResumed(run.id))
    assert some(story.tell(AttemptLost(run.id)).result).status == RunStatus.BOOTING


def test_a_run_that_kills_its_worker_when_it_resumes_fails_in_the_end() -> None:
    story = Story()
    run, [request] = story.waiting()
    story.tell(PermissionDecision(request, allow=True))
    for _ in range(2):
        story.tell(RunLeased(run.id))
        assert story.tell(AttemptLost(run.id)).effects == ()
    story.tell(RunLeased(run.id))
    failed = some(story.tell(AttemptLost(run.id)).result)
    assert (failed.status, failed.error and failed.error.code) == (RunStatus.FAILED, "runtime.lost")


@pytest.mark.parametrize("status", ALIVE)
def test_a_run_past_its_deadline_expires_wherever_it_stands(status: RunStatus) -> None:
    story = Story()
    run = story.in_status(status)
    done = story.tell(RunExpired(run.id))
    expired = some(done.result)
    assert (expired.status, expired.completed_at) == (RunStatus.EXPIRED, story.now)
    assert expired.error is not None
    assert (expired.error.code, expired.error.retryable) == ("run.expired", True)
    assert ("run.failed", run.id) in logged(done.effects)
    assert story.ledger.open_requests == []


def test_a_queued_run_can_expire_behind_the_current_one() -> None:
    story = Story()
    current = story.running()
    behind = story.queued()
    story.tell(RunExpired(behind.id))
    assert story.ledger.active == [current]


@pytest.mark.parametrize(
    "report",
    [
        RunLeased(NO_RUN),
        RunStarted(NO_RUN),
        RunWaits(NO_RUN, (Ask(RequestId(number(11)), "May I?"),)),
        RunResumed(NO_RUN),
        RunFinished(NO_RUN),
        RunExpired(NO_RUN),
        AttemptLost(NO_RUN),
    ],
    ids=lambda report: report.type,
)
def test_a_report_about_a_run_that_is_not_there_changes_nothing(report: RunnerEvent) -> None:
    story = Story()
    before = story.ledger.load([])
    assert story.tell(report).state == before
