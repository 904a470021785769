"""Permission decisions: who is in time, what is told to who is not."""

from datetime import datetime, timedelta

import pytest

from shared.effects import RequestSettled
from shared.events import PermissionDecision, UserInterrupt
from shared.ids import RequestId
from shared.models import RequestState, RunStatus
from shared.reports import RequestExpired, RunExpired, RunResumed
from tests.unit.ledger import NOON, number
from tests.unit.story import Story, codes, logged, some

SOON = NOON + timedelta(minutes=1)


@pytest.mark.parametrize(("allow", "state"), [(True, RequestState.ALLOWED), (False, RequestState.REJECTED)])
def test_a_decision_settles_a_pending_request_and_keeps_its_note(allow: bool, state: RequestState) -> None:
    story = Story()
    run, [request] = story.waiting()
    done = story.tell(PermissionDecision(request, allow, "as discussed"))
    assert done.result.run == run
    assert codes(done) == []
    assert done.effects == (RequestSettled(story.request(request), story.now),)
    assert (story.request(request).state, story.request(request).note) == (state, "as discussed")
    assert story.thread.updated_at == story.now


def test_a_request_is_found_in_either_case() -> None:
    story = Story()
    _, [request] = story.waiting()
    assert codes(story.tell(PermissionDecision(request.lower(), allow=True))) == []


@pytest.mark.parametrize("name", [number(9), "what?", "x" * 255])
def test_a_decision_of_an_unknown_request_warns(name: str) -> None:
    story = Story()
    story.waiting()
    done = story.tell(PermissionDecision(name, allow=True))
    assert done.result.run is None
    assert [(w.code, w.run) for w in done.result.warnings] == [("permission_not_found", None)]
    assert done.effects == ()


@pytest.mark.parametrize("again", [True, False])
def test_the_first_decision_stands(again: bool) -> None:
    story = Story()
    run, [request] = story.waiting()
    story.tell(PermissionDecision(request, allow=True))
    done = story.tell(PermissionDecision(request, again))
    assert done.result.run == run
    assert [(w.code, w.run) for w in done.result.warnings] == [("permission_already_decided", run.id)]
    assert done.effects == ()
    assert story.request(request).state == RequestState.ALLOWED


def test_a_decision_of_a_superseded_request_returns_the_run_that_ended() -> None:
    story = Story()
    run, [request] = story.waiting()
    story.tell(UserInterrupt())
    done = story.tell(PermissionDecision(request, allow=True))
    assert done.result.run == story.run(run.id)
    assert some(done.result).status == RunStatus.CANCELLED
    assert codes(done) == ["permission_already_decided"]


def test_a_decision_accepted_in_time_counts_however_late_it_is_applied() -> None:
    story = Story()
    _, [request] = story.waiting(SOON)
    story.now = SOON + timedelta(hours=1)
    done = story.tell(PermissionDecision(request, allow=True), accepted_at=SOON - timedelta(milliseconds=1))
    assert codes(done) == []
    assert story.request(request).state == RequestState.ALLOWED


def test_a_decision_accepted_too_late_warns_and_leaves_the_request_to_the_clock() -> None:
    story = Story()
    run, [request] = story.waiting(SOON)
    done = story.tell(PermissionDecision(request, allow=True), accepted_at=SOON)
    assert done.result.run == run
    assert [(w.code, w.run) for w in done.result.warnings] == [("permission_expired", run.id)]
    assert done.effects == ()
    assert story.request(request).state == RequestState.PENDING


def test_a_request_past_its_time_expires_and_its_run_can_go_on() -> None:
    story = Story()
    run, [request] = story.waiting(SOON)
    story.now = SOON
    done = story.tell(RequestExpired(request))
    assert done.result.run == run
    assert done.effects == (RequestSettled(story.request(request), story.now),)
    assert story.request(request).state == RequestState.EXPIRED
    assert codes(story.tell(PermissionDecision(request, allow=True))) == ["permission_expired"]
    assert some(story.tell(RunResumed(run.id)).result).status == RunStatus.RUNNING


@pytest.mark.parametrize("expires_at", [None, SOON])
def test_a_request_does_not_expire_before_its_time(expires_at: datetime | None) -> None:
    story = Story()
    _, [request] = story.waiting(expires_at)
    assert story.tell(RequestExpired(request)).effects == ()


def test_a_decided_request_does_not_expire() -> None:
    story = Story()
    _, [request] = story.waiting(SOON)
    story.tell(PermissionDecision(request, allow=True))
    story.now = SOON
    assert story.tell(RequestExpired(request)).effects == ()
    assert story.tell(RequestExpired(RequestId(number(9)))).effects == ()


def test_a_run_that_expires_while_it_waits_supersedes_its_requests() -> None:
    story = Story()
    run, [request] = story.waiting()
    done = story.tell(RunExpired(run.id))
    assert story.request(request).state == RequestState.SUPERSEDED
    assert logged(done.effects) == [("run.failed", run.id), ("session.status", None)]
