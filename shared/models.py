"""The records of the domain, frozen: Thread, Run, PermissionRequest, Steer and their vocabularies.

All times are aware datetimes in UTC, of Postgres' clock. No I/O here, and no behaviour beyond what a record
says of itself: states move in `shared.lifecycle` only.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from shared.ids import AccountId, AgentId, EventId, RequestId, RunId, ThreadId, TokenId, Ulid

METADATA_LIMIT = 16  # pairs of one message, thread or run: OpenAI's number
# Of a thread's messages that wait for a run: one run answers them all, and its worker holds all of their text.
UNANSWERED_LIMIT = 10_000
UNANSWERED_SIZE = 4 << 20  # bytes of them as they are stored


class RunStatus(StrEnum):
    QUEUED = "queued"
    BOOTING = "booting"
    RUNNING = "running"
    WAITING_INPUT = "waiting_input"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


EXECUTING = frozenset({RunStatus.BOOTING, RunStatus.RUNNING, RunStatus.WAITING_INPUT})
TERMINAL = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.EXPIRED})


class ThreadStatus(StrEnum):
    IDLE = "IDLE"
    RUNNING = "RUNNING"
    RESCHEDULING = "RESCHEDULING"
    TERMINATED = "TERMINATED"


class Trigger(StrEnum):
    USER_PROMPT = "user_prompt"
    RETRY = "retry"
    RESUME = "resume"
    SYSTEM = "system"


class BusyPolicy(StrEnum):
    """What a user message does on a thread that has a run which is not terminal."""

    QUEUE = "queue"
    REJECT = "reject"
    INTERRUPT = "interrupt"
    STEER = "steer"


class OnExpired(StrEnum):
    """What a run does when nobody decided its permission request in time: its runner is told, or it ends."""

    CONTINUE = "continue"
    EXPIRE = "expire"


class RequestState(StrEnum):
    PENDING = "pending"
    ALLOWED = "allowed"
    REJECTED = "rejected"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"


class TokenKind(StrEnum):
    HUMAN_PAT = "human_pat"
    SERVICE_TOKEN = "service_token"  # noqa: S105 - a kind of token, not one
    ADMIN = "admin"
    VIEWER = "viewer"


OPERATORS = frozenset({TokenKind.ADMIN, TokenKind.VIEWER})  # they belong to no account, and have no threads


@dataclass(frozen=True, slots=True)
class RunError:
    code: str
    message: str
    retryable: bool


class Run(NamedTuple):
    """A tuple, as Thread is: thousands are made a second, and a frozen dataclass takes six times as long."""

    id: RunId
    seq: int  # place in the thread's order of execution
    status: RunStatus
    trigger: Trigger
    created_at: datetime
    started_at: datetime | None
    updated_at: datetime
    completed_at: datetime | None
    error: RunError | None = None
    attempt: int = 0  # how often a worker has taken it

    @property
    def terminal(self) -> bool:
        return self.status in TERMINAL


@dataclass(frozen=True, slots=True)
class PermissionRequest:
    id: RequestId
    run: RunId
    state: RequestState
    expires_at: datetime | None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Steer:
    """A message offered to the running runner: it counts once the runner acknowledges it."""

    run: RunId  # the run it becomes if the current one ends first
    target: RunId  # the run it was offered to
    event: EventId  # its user.message in the log
    text: str
    settled: bool = False


class Thread(NamedTuple):
    partition: int
    id: ThreadId
    account: AccountId
    agent: AgentId | None
    kind: str
    title: str | None
    user_id: str | None
    client_external_ref: str | None
    attributed_user: Ulid | None
    created_by: TokenId
    created_by_kind: TokenKind
    status: ThreadStatus
    active_runs: int  # runs that are not terminal
    last_run_id: RunId | None
    last_run_seq: int
    last_event_id: EventId | None
    held: bool
    archived_at: datetime | None
    deleted_at: datetime | None
    created_at: datetime
    updated_at: datetime
    ready_at: datetime | None = None  # since when its current run waits for a worker; None: it has one, or needs none
