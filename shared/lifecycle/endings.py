"""How a run ends: its open requests are superseded, its end is logged, its steering messages become runs."""

from datetime import timedelta

from shared.effects import SteerSettled
from shared.ids import MessageId
from shared.lifecycle.draft import Draft
from shared.lifecycle.table import RUN_ENDED
from shared.models import RequestState, Run, RunError, RunStatus, Steer

_WELL = frozenset({RunStatus.COMPLETED, RunStatus.CANCELLED})


def end(draft: Draft, run: Run, by: str, target: RunStatus, error: RunError | None = None) -> Run | None:
    """The run in its terminal status; None where the table has no such move, and then nothing changed."""
    ended = draft.move(run, by, target, error=error)
    if ended is None:
        return None
    if draft.requests:
        for request in draft.open_requests(run.id):
            draft.settle(request, RUN_ENDED, RequestState.SUPERSEDED)
    took = _duration(run, ended)
    if target in _WELL:
        draft.log("run.completed", run.id, run.id, duration_ms=took)
    else:
        draft.log("run.failed", run.id, error.message if error else None, "error", duration_ms=took)
    if draft.steers:
        _release_steers(draft, run)
    return ended


def _duration(before: Run, ended: Run) -> int | None:
    """Milliseconds from its start to its end; None for a run that never started."""
    if before.started_at is None or ended.completed_at is None:
        return None
    return (ended.completed_at - before.started_at) // timedelta(milliseconds=1)


def drop_steers(draft: Draft) -> None:
    """The thread closes: what was not acknowledged starts nothing."""
    draft.effects.extend(SteerSettled(_settled(steer)) for steer in draft.steers)
    draft.steers = ()


def settle_steer(draft: Draft, steer: Steer) -> None:
    draft.steers = tuple(other for other in draft.steers if other.run != steer.run)
    draft.effects.append(SteerSettled(_settled(steer)))


def _release_steers(draft: Draft, ended: Run) -> None:
    for steer in draft.steers:
        if steer.target == ended.id:
            settle_steer(draft, steer)
            draft.create(steer.run, MessageId(steer.event))


def _settled(steer: Steer) -> Steer:
    return Steer(steer.run, steer.target, steer.event, steer.text, settled=True)
