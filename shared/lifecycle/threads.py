"""Archive, unarchive, delete: a thread closes behind everything that was accepted before. What its owner calls it."""

from shared.effects import Result, ThreadAmended, WarningCode
from shared.events import ThreadEdited
from shared.lifecycle.draft import Draft
from shared.lifecycle.endings import drop_steers, end
from shared.lifecycle.messages import merged
from shared.lifecycle.state import Note
from shared.lifecycle.table import THREAD_ARCHIVED, THREAD_DELETED
from shared.lifecycle.warnings import warned
from shared.models import METADATA_LIMIT, RunError, RunStatus

_ARCHIVED = RunError("session.archived", "The thread was archived.", retryable=False)
_DELETED = RunError("session.archived", "The thread was deleted.", retryable=False)


def archive(draft: Draft) -> Result:
    """Twice is once: the second one changes nothing."""
    if draft.archived_at is None:
        _cancel_all(draft, THREAD_ARCHIVED, _ARCHIVED)
        draft.archived_at = draft.at
    return Result(None)


def amend(draft: Draft, event: ThreadEdited) -> Result:
    metadata = None
    if event.metadata:
        metadata = merged(draft.notes[None].metadata, event.metadata)
        if len(metadata) > METADATA_LIMIT:
            return Result(None, (warned(WarningCode.METADATA_FULL),))
        draft.notes = {**draft.notes, None: Note(metadata)}
    draft.effects.append(ThreadAmended(event.name, metadata))
    return Result(None, metadata=metadata)


def unarchive(draft: Draft) -> Result:
    draft.archived_at = None
    return Result(None)


def delete(draft: Draft) -> Result:
    """A tombstone; the rows are purged later. Lifts the hold: nothing of this thread waits any more."""
    _cancel_all(draft, THREAD_DELETED, _DELETED)
    draft.deleted_at = draft.at
    draft.held = False
    return Result(None)


def _cancel_all(draft: Draft, by: str, reason: RunError) -> None:
    if not draft.whole:
        raise ValueError("a thread that closes needs every run that is not terminal")
    drop_steers(draft)
    for run in draft.queue:
        end(draft, run, by, RunStatus.CANCELLED, reason)
