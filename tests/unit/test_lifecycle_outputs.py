"""What a runner yields, what it leaves at a checkpoint, and since when a run waits for a worker."""

import pytest

from shared.effects import MessageWritten, RunKept
from shared.events import PermissionDecision, UserInterrupt
from shared.ids import EventId, MessageId, RequestId, RunId
from shared.models import RequestState, RunError, RunStatus
from shared.reports import (
    Ask,
    AttemptLost,
    Entry,
    RunExpired,
    RunFinished,
    RunLeased,
    RunOutput,
    RunReleased,
    RunStarted,
    RunWaits,
    Spoken,
    Tokens,
)
from tests.unit.ledger import number
from tests.unit.story import Story, logged, some

DELTA = Entry("agent.message.delta", "hel", message=EventId(number(40)))
WHOLE = Spoken(MessageId(number(40)), "hello")
NOBODY = RunError("permission.expired", "Nobody answered its permission request in time.", retryable=True)


def output(run: RunId, checkpoint: str | None = None, usage: Tokens | None = None) -> RunOutput:
    return RunOutput(run, (DELTA, DELTA), (), checkpoint, usage)


def test_what_a_runner_yields_is_logged_in_its_order_and_moves_nothing() -> None:
    story = Story()
    run = story.running()
    done = story.tell(RunOutput(run.id, (DELTA, DELTA), (WHOLE,)))
    assert logged(done.effects) == [("agent.message.delta", run.id)] * 2
    assert (story.run(run.id), done.result.run) == (run, run)
    (written,) = [effect for effect in done.effects if isinstance(effect, MessageWritten)]
    assert (written.id, written.role, written.run, written.incomplete) == (WHOLE.id, "assistant", run.id, None)
    assert written.parts == [{"type": "text", "text": "hello"}]


@pytest.mark.parametrize("end", [RunFinished, RunExpired, UserInterrupt], ids=lambda end: end.__name__)
def test_what_a_runner_yields_after_its_runs_end_is_nothing(
    end: type[RunFinished | RunExpired | UserInterrupt],
) -> None:
    story = Story()
    run = story.running()
    story.tell(end(run.id))
    before = story.ledger.load([], runs=None)
    done = story.tell(output(run.id, "{}", Tokens(1, 2)))
    assert (done.effects, done.state.thread) == ((), before.thread)


@pytest.mark.parametrize("status", [RunStatus.QUEUED, RunStatus.BOOTING, RunStatus.WAITING_INPUT])
def test_what_is_yielded_for_a_run_that_is_not_running_is_nothing(status: RunStatus) -> None:
    story = Story()
    run = story.in_status(status)
    assert story.tell(output(run.id, "{}")).effects == ()


def test_a_checkpoint_lies_behind_what_was_yielded_before_it() -> None:
    story = Story()
    run = story.running()
    story.tell(output(run.id, '{"n":1}', Tokens(3, 4)))
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    assert story.ledger.kept[run.id] == RunKept(run.id, '{"n":1}', story.ledger.log[-1].id, usage)
    place = story.ledger.log[-1].id
    story.tell(output(run.id, usage=Tokens(5, 6)))
    kept = story.ledger.kept[run.id]
    assert (kept.checkpoint, kept.place) == ('{"n":1}', place), "what is not said stays"
    assert kept.usage == {"input_tokens": 5, "output_tokens": 6, "total_tokens": 11}


def test_a_checkpoint_counts_as_the_first_attempt_and_losses_count_from_there() -> None:
    story = Story()
    run = story.running()
    for place in range(5):
        story.tell(AttemptLost(run.id))
        story.running()
        story.tell(output(run.id, f'{{"n":{place}}}'))
    assert story.run(run.id).attempt == 1


def test_the_same_checkpoint_again_counts_no_attempt_anew() -> None:
    story = Story()
    run = story.running()
    story.tell(output(run.id, "{}"))
    story.tell(AttemptLost(run.id))
    story.running()
    story.tell(output(run.id, "{}"))
    assert story.run(run.id).attempt == 2


def test_a_run_that_waits_keeps_the_place_where_it_stopped() -> None:
    story = Story()
    run, _ = story.waiting()
    assert story.ledger.kept[run.id] == RunKept(run.id, None, story.ledger.log[-1].id, None)


def test_a_run_whose_permission_nobody_answered_expires_with_that_error() -> None:
    story = Story()
    run, [request] = story.waiting()
    expired = some(story.tell(RunExpired(run.id, NOBODY)).result)
    assert (expired.status, expired.error) == (RunStatus.EXPIRED, NOBODY)
    assert story.request(request).state == RequestState.SUPERSEDED
    assert story.ledger.log[-2].content == NOBODY.message


def test_a_run_waits_for_a_worker_from_its_message_to_its_lease() -> None:
    story = Story()
    run = story.queued()
    asked_at = story.now
    story.queued()
    assert story.thread.ready_at == asked_at, "what comes behind it changes nothing"
    story.tell(RunLeased(run.id))
    assert story.thread.ready_at is None


@pytest.mark.parametrize("gone", [AttemptLost, RunReleased])
def test_a_run_that_its_worker_lost_or_gave_back_waits_anew(gone: type[AttemptLost | RunReleased]) -> None:
    story = Story()
    run = story.running()
    story.tell(gone(run.id))
    assert (story.thread.ready_at, story.run(run.id).status) == (story.now, RunStatus.BOOTING)
    story.tell(RunLeased(run.id))
    assert story.thread.ready_at is None


def test_a_lease_that_was_given_back_counts_no_attempt() -> None:
    story = Story()
    run = story.running()
    for _ in range(5):
        story.tell(RunReleased(run.id))
        story.tell(RunLeased(run.id))
        story.tell(RunStarted(run.id))
    assert story.run(run.id).attempt == 1
    story.tell(AttemptLost(run.id))
    assert story.run(run.id).status is RunStatus.BOOTING


def test_a_run_waits_for_a_worker_once_its_last_permission_is_settled() -> None:
    story = Story()
    _, [one, two] = story.waiting(None, None)
    story.tell(PermissionDecision(one, allow=True))
    assert story.thread.ready_at is None
    story.tell(PermissionDecision(two, allow=False))
    settled_at = story.now
    assert story.thread.ready_at == settled_at
    story.queued()
    assert story.thread.ready_at == settled_at


def test_a_run_that_is_about_to_resume_is_not_offered_by_what_comes_behind_it() -> None:
    story = Story()
    run, [request] = story.waiting()
    story.tell(PermissionDecision(request, allow=True))
    story.tell(RunLeased(run.id))
    story.queued()
    assert story.thread.ready_at is None


def test_a_run_whose_worker_is_lost_as_it_resumes_waits_for_another_one() -> None:
    story = Story()
    run, [request] = story.waiting()
    story.tell(PermissionDecision(request, allow=True))
    story.tell(RunLeased(run.id))
    story.tell(AttemptLost(run.id))
    assert story.thread.ready_at == story.now


def test_a_run_that_stops_without_a_question_waits_for_a_worker() -> None:
    story = Story()
    run = story.running()
    story.tell(RunWaits(run.id, ()))
    assert story.thread.ready_at == story.now


def test_the_end_of_a_run_makes_the_next_one_wait_for_a_worker() -> None:
    story = Story()
    run = story.running()
    story.queued()
    story.tell(RunFinished(run.id))
    assert story.thread.ready_at == story.now


def test_a_question_that_is_open_is_no_reason_to_look_for_a_worker() -> None:
    story = Story()
    run = story.running()
    story.tell(RunWaits(run.id, (Ask(RequestId(number(60)), "May I?"),)))
    story.tell(AttemptLost(run.id))
    assert story.thread.ready_at is None
