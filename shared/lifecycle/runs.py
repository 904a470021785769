"""What runners, and the clock that watches them, report. A report that comes too late changes nothing."""

from shared.effects import RequestOpened, Result
from shared.events import (
    AttemptLost,
    RunExpired,
    RunFinished,
    RunLeased,
    RunResumed,
    RunStarted,
    RunWaits,
    SteerAcknowledged,
)
from shared.ids import RunId
from shared.lifecycle.draft import Draft
from shared.lifecycle.endings import end, settle_steer
from shared.lifecycle.table import (
    ATTEMPT_LOST,
    RUN_EXPIRED,
    RUN_FINISHED,
    RUN_LEASED,
    RUN_RESUMED,
    RUN_STARTED,
    RUN_WAITS,
)
from shared.models import PermissionRequest, RequestState, Run, RunError, RunStatus

_LOST = RunError("runtime.lost", "The workers that executed the run were lost.", retryable=True)
_EXPIRED = RunError("run.expired", "The run did not finish before its deadline.", retryable=True)


def lease(draft: Draft, event: RunLeased) -> Result:
    """A worker has the thread's current run. Each lease is an attempt until the run gets to a checkpoint."""
    run = _current(draft, event.run)
    if run is None or draft.open_requests(run.id):
        return Result(draft.find(event.run))
    waits = run.status == RunStatus.WAITING_INPUT
    target = RunStatus.WAITING_INPUT if waits else RunStatus.BOOTING
    leased = draft.move(run, RUN_LEASED, target, attempt=run.attempt + 1)
    if run.status == RunStatus.QUEUED:
        draft.log("run.started", run.id, run.id)
    return Result(leased or run)


def start(draft: Draft, event: RunStarted) -> Result:
    run = _current(draft, event.run)
    moved = draft.move(run, RUN_STARTED, RunStatus.RUNNING) if run else None
    return Result(moved or draft.find(event.run))


def wait(draft: Draft, event: RunWaits) -> Result:
    """A checkpoint: attempts count anew from here, so that a long talk does not use them up."""
    run = _current(draft, event.run)
    moved = draft.move(run, RUN_WAITS, RunStatus.WAITING_INPUT, attempt=0) if run else None
    if moved is None:
        return Result(draft.find(event.run))
    for ask in event.requests:
        request = PermissionRequest(ask.id, moved.id, RequestState.PENDING, ask.expires_at)
        draft.requests = {**draft.requests, request.id: request}
        draft.effects.append(RequestOpened(request, ask.title, ask.tool, ask.input, draft.at))
        draft.log(
            "tool.confirmation.required",
            moved.id,
            ask.title,
            request=ask.id,
            tool_name=ask.tool,
            tool_input=ask.input,
        )
    return Result(moved)


def resume(draft: Draft, event: RunResumed) -> Result:
    run = _current(draft, event.run)
    if run is None or draft.open_requests(run.id):
        return Result(draft.find(event.run))
    return Result(draft.move(run, RUN_RESUMED, RunStatus.RUNNING) or run)


def finish(draft: Draft, event: RunFinished) -> Result:
    run = _current(draft, event.run)
    target = RunStatus.FAILED if event.error else RunStatus.COMPLETED
    ended = end(draft, run, RUN_FINISHED, target, event.error) if run else None
    return Result(ended or draft.find(event.run))


def expire(draft: Draft, event: RunExpired) -> Result:
    run = draft.find(event.run)
    ended = end(draft, run, RUN_EXPIRED, RunStatus.EXPIRED, _EXPIRED) if run else None
    return Result(ended or run)


def lose(draft: Draft, event: AttemptLost) -> Result:
    """The run waits for another worker, or fails where it has had its attempts."""
    run = _current(draft, event.run)
    if run is None:
        return Result(draft.find(event.run))
    if run.attempt >= event.limit:
        return Result(end(draft, run, ATTEMPT_LOST, RunStatus.FAILED, _LOST) or run)
    return Result(draft.move(run, ATTEMPT_LOST, RunStatus.BOOTING) or run)


def acknowledge(draft: Draft, event: SteerAcknowledged) -> Result:
    """The message counts for the run it was offered to; it becomes no run of its own."""
    for steer in draft.steers:
        if steer.run == event.run:
            settle_steer(draft, steer)
            return Result(draft.find(steer.target))
    return Result(draft.find(event.run))


def _current(draft: Draft, run: RunId) -> Run | None:
    """The run, if it is the thread's current one: no other executes."""
    current = draft.queue[0] if draft.queue else None
    return current if current is not None and current.id == run else None
