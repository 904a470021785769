"""What a warning says: one row a code, its message, the run it names, and when it is given."""

from dataclasses import dataclass
from types import MappingProxyType

from shared.effects import Warned, WarningCode
from shared.ids import RunId


@dataclass(frozen=True, slots=True)
class Notice:
    message: str
    names: str  # which run `runId` is; empty: the warning has no `runId`
    run: str  # what the event's result holds as `run`
    when: str


NOTICES = MappingProxyType(
    {
        WarningCode.RUN_ACTIVE: Notice(
            "The thread has an active run: the message was not taken.",
            "the current run",
            "null",
            "a user message met a busy thread and the policy is `reject`; or a requested run did",
        ),
        WarningCode.QUEUED_BEHIND: Notice(
            "The run waits in the queue behind an active run.",
            "the current run",
            "the new run",
            "a user message or a retry met a busy thread and was queued",
        ),
        WarningCode.NO_ACTIVE_RUN: Notice(
            "There is no run to interrupt.", "", "null", "an interrupt names no run, and the thread is idle"
        ),
        WarningCode.RUN_ALREADY_FINISHED: Notice(
            "The run had finished before it could be interrupted.",
            "the run of the interrupt",
            "that run",
            "an interrupt names a run that is terminal",
        ),
        WarningCode.RUN_NOT_FOUND: Notice(
            "This thread has no such run.",
            "the id that was sent",
            "null",
            "an interrupt, an edit or a retry names a run that this thread does not have",
        ),
        WarningCode.RUN_STARTED: Notice(
            "The run has started: its text can't be edited any more.",
            "the run of the edit",
            "that run",
            "an edit names a run that has left `queued`, or a retry, whose messages an earlier run has had",
        ),
        WarningCode.RUN_NOT_FINISHED: Notice(
            "The run is not finished: only a finished run can be retried.",
            "the run to retry",
            "that run",
            "a retry names a run that is not terminal",
        ),
        WarningCode.AGENT_BOUND: Notice(
            "The thread has another agent: the run was not started.",
            "",
            "null",
            "a requested run names an agent, and the thread's first run had another one",
        ),
        WarningCode.MESSAGE_NOT_FOUND: Notice(
            "This thread has no such message.",
            "",
            "null",
            "an edit or a deletion of another dialect names a message that this thread does not have any more",
        ),
        WarningCode.MESSAGE_IN_USE: Notice(
            "A run is at work on the message: it can be removed when that is over.",
            "",
            "null",
            "a deletion of another dialect names a message that an executing run answers or has said",
        ),
        WarningCode.UNANSWERED_FULL: Notice(
            "The messages that wait for a run would be more than 10,000, or more than 4 MiB: nothing was added.",
            "",
            "null",
            "another dialect adds a user's message to a thread where too much waits for a run already",
        ),
        WarningCode.METADATA_FULL: Notice(
            "There would be more than 16 pairs of metadata: nothing was changed.",
            "",
            "null",
            "an edit of another dialect would leave more than 16 pairs with a message or a thread",
        ),
        WarningCode.PERMISSION_NOT_FOUND: Notice(
            "This thread has no such permission request.",
            "",
            "null",
            "a decision names a request that this thread does not have",
        ),
        WarningCode.PERMISSION_ALREADY_DECIDED: Notice(
            "The permission request was settled before.",
            "the run that asked",
            "that run",
            "a decision names a request that is allowed, rejected or superseded",
        ),
        WarningCode.PERMISSION_EXPIRED: Notice(
            "The permission request had expired.",
            "the run that asked",
            "that run",
            "a decision's batch was accepted after the request's time",
        ),
        WarningCode.PERMISSION_SUPERSEDED: Notice(
            "The interrupted run was waiting for a permission: its open requests are superseded.",
            "the interrupted run",
            "the new run",
            "a user message with policy `interrupt` ended a run that had open permission requests",
        ),
        WarningCode.QUEUE_FULL: Notice(
            "The thread has 100 queued runs: the message was not taken.",
            "",
            "null",
            "a user message or a retry met a thread whose queue is full",
        ),
        WarningCode.THREAD_ARCHIVED: Notice(
            "The thread is archived: the event had no effect.",
            "",
            "null",
            "the event was applied behind an archive",
        ),
        WarningCode.THREAD_DELETED: Notice(
            "The thread is deleted: the event had no effect.",
            "",
            "null",
            "the event was applied behind a delete",
        ),
        WarningCode.BATCH_DISCARDED: Notice(
            "An operator discarded the batch: the event had no effect.",
            "",
            "null",
            "the batch was a dead letter and was discarded; not given by the core",
        ),
        WarningCode.DUPLICATE_REQUEST: Notice(
            "This clientRequestId was used before in this thread: nothing was started.",
            "its first run",
            "its first run",
            "a user message repeats a `clientRequestId` of the thread",
        ),
        WarningCode.APPLY_PENDING: Notice(
            "The batch is accepted and will be applied; its outcome is not known yet.",
            "",
            "the run that is expected, or null",
            "the time to wait for the outcome was up; not given by the core",
        ),
    }
)


def warned(code: WarningCode, run: RunId | None = None) -> Warned:
    return Warned(code, NOTICES[code].message, run)
