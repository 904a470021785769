"""What runners, and the clock that watches them, report. A report that comes too late changes nothing."""

from datetime import timedelta

from shared.effects import EventLogged, FileAnnounced, MessageWritten, RequestOpened, Result, RunKept
from shared.ids import RunId
from shared.lifecycle.draft import Draft
from shared.lifecycle.endings import end, settle_steer
from shared.lifecycle.table import (
    ATTEMPT_LOST,
    RUN_EXPIRED,
    RUN_FINISHED,
    RUN_LEASED,
    RUN_RELEASED,
    RUN_RESUMED,
    RUN_STARTED,
    RUN_WAITS,
)
from shared.models import PermissionRequest, RequestState, Run, RunError, RunStatus
from shared.reports import (
    AttemptLost,
    Entry,
    RunExpired,
    RunFinished,
    RunLeased,
    RunOutput,
    RunReleased,
    RunResumed,
    RunStarted,
    RunWaits,
    SteerAcknowledged,
    Tokens,
)

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
    if leased is not None:
        draft.ready_at = None
    if run.status == RunStatus.QUEUED:
        draft.log("run.started", run.id, run.id)
    return Result(leased or run)


def start(draft: Draft, event: RunStarted) -> Result:
    run = _current(draft, event.run)
    moved = draft.move(run, RUN_STARTED, RunStatus.RUNNING) if run else None
    return Result(moved or draft.find(event.run))


def output(draft: Draft, event: RunOutput) -> Result:
    """What a runner yields counts while its run is running."""
    run = _current(draft, event.run)
    if run is None or run.status != RunStatus.RUNNING:
        return Result(draft.find(event.run))
    for entry in event.entries:
        draft.effects.append(_logged(draft, run.id, entry))
    for message in event.messages:
        parts = [{"type": "text", "text": message.text}]
        draft.effects.append(
            MessageWritten(message.id, "assistant", parts, draft.at, run.id, incomplete=message.incomplete)
        )
    draft.effects += [FileAnnounced(made.id, made.sha256) for made in event.files]
    if event.checkpoint is not None or event.usage is not None:
        place = None if event.checkpoint is None else draft.last_event_id
        draft.effects.append(RunKept(run.id, event.checkpoint, place, _usage(event.usage)))
    return Result(run)


def release(draft: Draft, event: RunReleased) -> Result:
    """The run waits for another worker. Nobody was lost with it: this lease counts no attempt."""
    run = _current(draft, event.run)
    moved = draft.move(run, RUN_RELEASED, RunStatus.BOOTING, attempt=max(run.attempt - 1, 0)) if run else None
    if moved is not None:
        draft.ready_at = draft.at
    return Result(moved or draft.find(event.run))


def wait(draft: Draft, event: RunWaits) -> Result:
    """A checkpoint: attempts count anew from here, so that a long talk does not use them up."""
    run = _current(draft, event.run)
    moved = draft.move(run, RUN_WAITS, RunStatus.WAITING_INPUT, attempt=0) if run else None
    if moved is None:
        return Result(draft.find(event.run))
    for ask in event.requests:
        expires_at = ask.expires_at if ask.expires_in is None else draft.at + timedelta(seconds=ask.expires_in)
        request = PermissionRequest(ask.id, moved.id, RequestState.PENDING, expires_at)
        draft.keep_request(request)
        draft.effects.append(RequestOpened(request, ask.title, ask.tool, ask.input, draft.at, ask.key))
        draft.log(
            "tool.confirmation.required",
            moved.id,
            ask.title,
            request=ask.id,
            tool_name=ask.tool,
            tool_input=ask.input,
        )
    draft.effects.append(RunKept(moved.id, None, draft.last_event_id, None))
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
    ended = end(draft, run, RUN_EXPIRED, RunStatus.EXPIRED, event.error or _EXPIRED) if run else None
    return Result(ended or run)


def lose(draft: Draft, event: AttemptLost) -> Result:
    """The run waits for another worker, or fails where it has had its attempts."""
    run = _current(draft, event.run)
    if run is None:
        return Result(draft.find(event.run))
    if run.attempt >= event.limit:
        return Result(end(draft, run, ATTEMPT_LOST, RunStatus.FAILED, _LOST) or run)
    moved = draft.move(run, ATTEMPT_LOST, RunStatus.BOOTING)
    if moved is not None or (run.status is RunStatus.WAITING_INPUT and not draft.open_requests(run.id)):
        draft.ready_at = draft.at  # one that was about to resume stays as it is
    return Result(moved or run)


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


def _logged(draft: Draft, run: RunId, entry: Entry) -> EventLogged:
    return EventLogged(
        draft.next_event_id(),
        entry.type,
        draft.at,
        run,
        entry.content,
        entry.status,
        entry.tool_call_id,
        entry.tool_name,
        entry.tool_input,
        None,
        entry.tokens,
        entry.duration_ms,
        entry.message,
    )


def _usage(used: Tokens | None) -> dict[str, int] | None:
    if used is None:
        return None
    return {"input_tokens": used.input, "output_tokens": used.output, "total_tokens": used.input + used.output}
