"""What a step of the lifecycle asks the edges to do: values, written down set-based by whoever calls it.

Effects carry the whole new record, so that of several effects on one record the last one is the truth.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from shared.ids import EventId, FileId, MessageId, RunId
from shared.models import PermissionRequest, Run, Steer


class WarningCode(StrEnum):
    """Why an event of a batch had no effect, or another one than its sender may expect."""

    RUN_ACTIVE = "run_active"
    QUEUED_BEHIND = "queued_behind"
    NO_ACTIVE_RUN = "no_active_run"
    RUN_ALREADY_FINISHED = "run_already_finished"
    RUN_NOT_FOUND = "run_not_found"
    RUN_STARTED = "run_started"
    AGENT_BOUND = "agent_bound"
    MESSAGE_NOT_FOUND = "message_not_found"
    MESSAGE_IN_USE = "message_in_use"
    METADATA_FULL = "metadata_full"
    UNANSWERED_FULL = "unanswered_full"
    RUN_NOT_FINISHED = "run_not_finished"
    PERMISSION_NOT_FOUND = "permission_not_found"
    PERMISSION_ALREADY_DECIDED = "permission_already_decided"
    PERMISSION_EXPIRED = "permission_expired"
    PERMISSION_SUPERSEDED = "permission_superseded"
    QUEUE_FULL = "queue_full"
    THREAD_ARCHIVED = "thread_archived"
    THREAD_DELETED = "thread_deleted"
    BATCH_DISCARDED = "batch_discarded"
    DUPLICATE_REQUEST = "duplicate_request"
    APPLY_PENDING = "apply_pending"


class Warned(NamedTuple):
    code: WarningCode
    message: str
    run: RunId | None = None


class Result(NamedTuple):
    """What one event came to: the run as it was right after it, and at most a few warnings; of an edit the metadata."""

    run: Run | None
    warnings: tuple[Warned, ...] = ()
    metadata: Mapping[str, str] | None = None


class RunCreated(NamedTuple):
    run: Run
    input: tuple[MessageId, ...]  # the messages it answers
    retries: RunId | None = None  # or those of this run
    collects: bool = False  # or all of the user's that no run has answered yet
    overtaken: bool = False  # of those, what the tables hold is history: an assistant's message was added since
    metadata: dict[str, str] | None = None


class RunMoved(NamedTuple):
    """Its status, its times, its place in the order or its attempt changed."""

    run: Run


class InputEdited(NamedTuple):
    """The message that a run answers, and its event in the log, have another text; their ids stay."""

    run: RunId
    text: str


class EventLogged(NamedTuple):
    id: EventId
    type: str
    occurred_at: datetime
    run: RunId | None = None
    content: str | None = None
    status: str = "available"
    tool_call_id: str | None = None
    tool_name: str | None = None
    tool_input: dict[str, Any] | None = None
    request_id: str | None = None
    tokens: int | None = None
    duration_ms: int | None = None
    message: EventId | None = None  # of a delta: the message it belongs to


class MessageWritten(NamedTuple):
    id: MessageId
    role: str
    parts: list[dict[str, Any]]
    created_at: datetime
    run: RunId | None = None
    metadata: dict[str, str] | None = None
    request_id: str | None = None
    incomplete: str | None = None  # why its run could not finish it
    parent: int | None = None  # the number of the message it follows, 0 for none; None: the one before it


class MessageAmended(NamedTuple):
    """A message has other metadata, which are these."""

    id: MessageId
    metadata: Mapping[str, str]


class MessageRemoved(NamedTuple):
    """A message goes, and what the log holds of it; what followed it follows what it followed."""

    id: MessageId


class ThreadAmended(NamedTuple):
    """What its owner calls a thread, and its metadata, each where it changes."""

    name: str | None
    metadata: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class RequestOpened:
    request: PermissionRequest
    title: str
    tool_name: str | None
    tool_input: dict[str, Any] | None
    at: datetime
    key: str | None = None


@dataclass(frozen=True, slots=True)
class RequestSettled:
    """A permission request left `pending`."""

    request: PermissionRequest
    at: datetime


@dataclass(frozen=True, slots=True)
class SteerOffered:
    steer: Steer


@dataclass(frozen=True, slots=True)
class SteerSettled:
    """Acknowledged by the runner, or become a run of its own, or dropped with its thread."""

    steer: Steer


@dataclass(frozen=True, slots=True)
class RunKept:
    """What a runner leaves with its run: its checkpoint (a JSON text) and what it used, where they changed."""

    run: RunId
    checkpoint: str | None
    place: EventId | None  # the last event before a checkpoint or a wait
    usage: dict[str, int] | None


class FileAnnounced(NamedTuple):
    """A file that a run made is its thread's from now on."""

    file: FileId
    sha256: bytes


@dataclass(frozen=True, slots=True)
class ClientRequestSeen:
    client_request_id: str
    run: RunId


Effect = (
    RunCreated
    | RunMoved
    | RunKept
    | FileAnnounced
    | InputEdited
    | EventLogged
    | MessageWritten
    | MessageAmended
    | MessageRemoved
    | ThreadAmended
    | RequestOpened
    | RequestSettled
    | SteerOffered
    | SteerSettled
    | ClientRequestSeen
)
