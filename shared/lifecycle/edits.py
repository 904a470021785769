"""What is changed about runs from outside: the text of one that is queued still, and one run more for a finished one.

Both go under the thread's lock, as a lease does: an edit is either what the runner reads, or it is refused.
"""

from shared.effects import InputEdited, Result, WarningCode
from shared.events import RunEdited, RunRetried
from shared.lifecycle.draft import Draft
from shared.lifecycle.messages import queue_is_full
from shared.lifecycle.table import RUN_EDITED
from shared.lifecycle.warnings import warned
from shared.models import RunStatus, Trigger


def edit(draft: Draft, event: RunEdited) -> Result:
    """The title stays, also where it came from the old text. A retry's messages are those of a run before it."""
    run = draft.find(event.run)
    if run is None:
        return Result(None, (warned(WarningCode.RUN_NOT_FOUND, event.run),))
    edited = None if run.trigger == Trigger.RETRY else draft.move(run, RUN_EDITED, RunStatus.QUEUED)
    if edited is None:
        return Result(run, (warned(WarningCode.RUN_STARTED, run.id),))
    draft.effects.append(InputEdited(run.id, event.text))
    return Result(edited)


def retry(draft: Draft, event: RunRetried) -> Result:
    """A run of its own, at the end of the queue, as a message with policy `queue` starts one."""
    of = draft.find(event.of)
    if of is None:
        return Result(None, (warned(WarningCode.RUN_NOT_FOUND, event.of),))
    if not of.terminal:
        return Result(of, (warned(WarningCode.RUN_NOT_FINISHED, of.id),))
    current = draft.current
    if current is None:
        return Result(draft.create(event.run, retries=of.id))
    if queue_is_full(draft, current):
        return Result(None, (warned(WarningCode.QUEUE_FULL),))
    return Result(draft.create(event.run, retries=of.id), (warned(WarningCode.QUEUED_BEHIND, current.id),))
