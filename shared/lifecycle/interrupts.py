"""A user interrupts a run: the named one, or the current one, queued or executing."""

from shared.effects import Result, WarningCode
from shared.events import UserInterrupt
from shared.lifecycle.draft import Draft
from shared.lifecycle.endings import end
from shared.lifecycle.table import USER_INTERRUPT
from shared.lifecycle.warnings import warned
from shared.models import RunStatus


def interrupt(draft: Draft, event: UserInterrupt) -> Result:
    """Terminal at once for the caller; a runner that still works is told by whoever drives it."""
    run = draft.current if event.run is None else draft.find(event.run)
    if run is None and event.run is None:
        return Result(None, (warned(WarningCode.NO_ACTIVE_RUN),))
    if run is None:
        return Result(None, (warned(WarningCode.RUN_NOT_FOUND, event.run),))
    cancelled = end(draft, run, USER_INTERRUPT, RunStatus.CANCELLED)
    if cancelled is None:
        return Result(run, (warned(WarningCode.RUN_ALREADY_FINISHED, run.id),))
    return Result(cancelled)
