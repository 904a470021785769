"""The life of threads and runs, as one pure function: `step(state, event, …) -> state, effects, result`.

No await, no clock, no id generator here: they come in as arguments. Which moves are legal stands in one table
(`shared.lifecycle.table`); docs/lifecycle.md is printed from it. The core loads and writes nothing: the
caller loads what `needed_runs` and `names` say, and writes the effects in their order.
"""

from datetime import datetime
from typing import assert_never

from shared.effects import Result, WarningCode
from shared.events import (
    Event,
    MessageAdded,
    MessageDeleted,
    MessageEdited,
    PermissionDecision,
    RunEdited,
    RunRequested,
    RunRetried,
    ThreadArchived,
    ThreadDeleted,
    ThreadEdited,
    ThreadUnarchived,
    UserInterrupt,
    UserMessage,
)
from shared.ids import EventId
from shared.lifecycle import edits, interrupts, messages, permissions, runs, threads
from shared.lifecycle.draft import Draft
from shared.lifecycle.loading import Names, may_meet_requests, names, needed_runs
from shared.lifecycle.messages import title_of
from shared.lifecycle.state import State, Step
from shared.lifecycle.table import ALL_RUNS, QUEUE_LIMIT
from shared.lifecycle.warnings import NOTICES, warned
from shared.reports import (
    AttemptLost,
    RequestExpired,
    RunExpired,
    RunFinished,
    RunLeased,
    RunnerEvent,
    RunOutput,
    RunReleased,
    RunResumed,
    RunStarted,
    RunWaits,
    SteerAcknowledged,
)

__all__ = [
    "ALL_RUNS",
    "NOTICES",
    "QUEUE_LIMIT",
    "Names",
    "State",
    "Step",
    "may_meet_requests",
    "names",
    "needed_runs",
    "step",
    "title_of",
    "warned",
]


def step(
    state: State,
    event: Event | RunnerEvent,
    now: datetime,
    fresh: EventId,
    accepted_at: datetime | None = None,
) -> Step:
    """The state after one event, what is to be written for it, and what its sender is told.

    `now` and `fresh` (an event id) are of Postgres' clock; no time of the thread runs backwards, and its
    event ids only grow. `accepted_at` is when the event's batch was accepted (None: now). Where nothing
    changed, the state is the very same object. Raises ValueError where the state holds less than it must.
    """
    draft = Draft(state, now, fresh, accepted_at)
    result = _refused(draft, event) or _apply(draft, event)
    after = draft.freeze()
    return Step(after, tuple(draft.effects), result)


def _refused(draft: Draft, event: Event | RunnerEvent) -> Result | None:
    """The warning for an event behind an archive or a delete; None where the thread takes it."""
    if draft.deleted_at is not None:
        return Result(None, (warned(WarningCode.THREAD_DELETED),))
    if draft.archived_at is None or isinstance(event, ThreadArchived | ThreadUnarchived | ThreadDeleted):
        return None
    return Result(None, (warned(WarningCode.THREAD_ARCHIVED),))


def _apply(draft: Draft, event: Event | RunnerEvent) -> Result:
    match event:
        case UserMessage():
            return messages.user_message(draft, event)
        case UserInterrupt():
            return interrupts.interrupt(draft, event)
        case RunEdited():
            return edits.edit(draft, event)
        case RunRetried():
            return edits.retry(draft, event)
        case PermissionDecision():
            return permissions.decide(draft, event)
        case MessageAdded() | RunRequested() | MessageEdited() | MessageDeleted():
            return _of_messages(draft, event)
        case ThreadArchived() | ThreadUnarchived() | ThreadDeleted() | ThreadEdited():
            return _of_thread(draft, event)
        case _:
            return _report(draft, event)


def _of_thread(draft: Draft, event: ThreadArchived | ThreadUnarchived | ThreadDeleted | ThreadEdited) -> Result:
    match event:
        case ThreadArchived():
            return threads.archive(draft)
        case ThreadUnarchived():
            return threads.unarchive(draft)
        case ThreadDeleted():
            return threads.delete(draft)
        case ThreadEdited():
            return threads.amend(draft, event)


def _of_messages(draft: Draft, event: MessageAdded | RunRequested | MessageEdited | MessageDeleted) -> Result:
    """What other dialects do with messages: they add them without a run, and request the run by itself."""
    match event:
        case MessageAdded():
            return messages.message_added(draft, event)
        case RunRequested():
            return messages.run_requested(draft, event)
        case MessageEdited():
            return messages.message_edited(draft, event)
        case MessageDeleted():
            return messages.message_deleted(draft, event)


def _report(draft: Draft, event: RunnerEvent) -> Result:
    match event:
        case RunLeased() | RunStarted() | RunOutput() | RunReleased():
            return _work(draft, event)
        case RunWaits():
            return runs.wait(draft, event)
        case RunResumed():
            return runs.resume(draft, event)
        case RunFinished():
            return runs.finish(draft, event)
        case RunExpired():
            return runs.expire(draft, event)
        case AttemptLost():
            return runs.lose(draft, event)
        case RequestExpired():
            return permissions.expire(draft, event)
        case SteerAcknowledged():
            return runs.acknowledge(draft, event)
        case _:
            assert_never(event)


def _work(draft: Draft, event: RunLeased | RunStarted | RunOutput | RunReleased) -> Result:
    """A worker takes a run, drives it, gives it back."""
    match event:
        case RunLeased():
            return runs.lease(draft, event)
        case RunStarted():
            return runs.start(draft, event)
        case RunOutput():
            return runs.output(draft, event)
        case RunReleased():
            return runs.release(draft, event)
