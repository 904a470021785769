"""Every move that a run and a permission request can make: the one table that `step` obeys.

A row is (from, by, to): a status, the `type` of the event that moves it, the status after it. What is not
here does not happen: a late report about a run that has moved on changes nothing.
"""

from dataclasses import dataclass

from shared.models import RequestState, RunStatus

QUEUE_LIMIT = 100  # queued runs a thread; the contract's number. One run more may execute.
ALL_RUNS = QUEUE_LIMIT + 1

USER_MESSAGE = "user_message"
USER_INTERRUPT = "user_interrupt"
RUN_EDITED = "run_edited"
RUN_RETRIED = "run_retried"
RUN_REQUESTED = "run_requested"
PERMISSION_DECISION = "permission_decision"
THREAD_ARCHIVED = "thread_archived"
THREAD_DELETED = "thread_deleted"
RUN_LEASED = "run_leased"
RUN_STARTED = "run_started"
RUN_WAITS = "run_waits"
RUN_RESUMED = "run_resumed"
RUN_RELEASED = "run_released"
RUN_FINISHED = "run_finished"
RUN_EXPIRED = "run_expired"
ATTEMPT_LOST = "attempt_lost"
REQUEST_EXPIRED = "request_expired"
RUN_ENDED = "run_ended"  # no event of its own: whatever ended the run


@dataclass(frozen=True, slots=True)
class RunMove:
    source: RunStatus | None  # None: the run is created
    by: str
    target: RunStatus
    when: str


@dataclass(frozen=True, slots=True)
class RequestMove:
    source: RequestState | None
    by: str
    target: RequestState
    when: str


_QUEUED, _BOOTING, _RUNNING, _WAITING = (
    RunStatus.QUEUED,
    RunStatus.BOOTING,
    RunStatus.RUNNING,
    RunStatus.WAITING_INPUT,
)
_COMPLETED, _FAILED, _CANCELLED, _EXPIRED = (
    RunStatus.COMPLETED,
    RunStatus.FAILED,
    RunStatus.CANCELLED,
    RunStatus.EXPIRED,
)

_ENDED_BY_USERS = {
    USER_MESSAGE: "policy `interrupt`, and the run is the thread's current one",
    USER_INTERRUPT: "the run is named, or is the thread's current one",
    THREAD_ARCHIVED: "error `session.archived`",
    THREAD_DELETED: "error `session.archived`",
}

RUN_MOVES: tuple[RunMove, ...] = (
    RunMove(None, USER_MESSAGE, _QUEUED, "the thread is idle, or its policy lets the message in"),
    RunMove(None, RUN_ENDED, _QUEUED, "a steering message that was not acknowledged becomes a run"),
    RunMove(None, RUN_RETRIED, _QUEUED, "an operator retries a finished run"),
    RunMove(None, RUN_REQUESTED, _QUEUED, "the thread is idle; it answers the messages that wait for a run"),
    RunMove(_QUEUED, RUN_EDITED, _QUEUED, "its message gets another text; no run goes back into the queue"),
    RunMove(_QUEUED, RUN_LEASED, _BOOTING, "it is the thread's current run"),
    RunMove(_BOOTING, RUN_LEASED, _BOOTING, "another attempt, after the last one was lost"),
    RunMove(_WAITING, RUN_LEASED, _WAITING, "every request is settled; it resumes next"),
    RunMove(_BOOTING, RUN_STARTED, _RUNNING, "the runner works"),
    RunMove(_RUNNING, RUN_WAITS, _WAITING, "the runner asks for permissions; attempts count anew"),
    RunMove(_WAITING, RUN_RESUMED, _RUNNING, "every request is settled"),
    RunMove(_RUNNING, RUN_FINISHED, _COMPLETED, "without an error"),
    RunMove(_BOOTING, RUN_FINISHED, _FAILED, "with an error"),
    RunMove(_RUNNING, RUN_FINISHED, _FAILED, "with an error"),
    RunMove(_BOOTING, RUN_RELEASED, _BOOTING, "its worker is about to stop; waits for another one"),
    RunMove(_RUNNING, RUN_RELEASED, _BOOTING, "its worker is about to stop; waits for another one"),
    RunMove(_BOOTING, ATTEMPT_LOST, _BOOTING, "attempts are left; waits for a worker"),
    RunMove(_RUNNING, ATTEMPT_LOST, _BOOTING, "attempts are left; waits for a worker"),
    RunMove(_BOOTING, ATTEMPT_LOST, _FAILED, "no attempt is left: error `runtime.lost`, retryable"),
    RunMove(_RUNNING, ATTEMPT_LOST, _FAILED, "no attempt is left: error `runtime.lost`, retryable"),
    RunMove(_WAITING, ATTEMPT_LOST, _FAILED, "no attempt is left: error `runtime.lost`, retryable"),
    *(
        RunMove(source, RUN_EXPIRED, _EXPIRED, when)
        for source, when in (
            (_QUEUED, "error `run.expired`, retryable"),
            (_BOOTING, "error `run.expired`, retryable"),
            (_RUNNING, "error `run.expired`, retryable"),
            (_WAITING, "error `run.expired`; or `permission.expired`, where its agent wants that"),
        )
    ),
    *(
        RunMove(source, by, _CANCELLED, when)
        for by, when in _ENDED_BY_USERS.items()
        for source in (_QUEUED, _BOOTING, _RUNNING, _WAITING)
    ),
)

_PENDING = RequestState.PENDING
REQUEST_MOVES: tuple[RequestMove, ...] = (
    RequestMove(None, RUN_WAITS, _PENDING, "one request for each permission the runner asks for"),
    RequestMove(_PENDING, PERMISSION_DECISION, RequestState.ALLOWED, "`allow_once`"),
    RequestMove(_PENDING, PERMISSION_DECISION, RequestState.REJECTED, "`reject_once`"),
    RequestMove(_PENDING, REQUEST_EXPIRED, RequestState.EXPIRED, "its time is over"),
    RequestMove(_PENDING, RUN_ENDED, RequestState.SUPERSEDED, "its run ended first"),
)

RUNS_MAY = frozenset((move.source, move.by, move.target) for move in RUN_MOVES)
REQUESTS_MAY = frozenset((move.source, move.by, move.target) for move in REQUEST_MOVES)
