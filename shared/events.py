"""What can happen to a thread: the events of a batch, and what the runners and the clock report of a run.

A dialect turns a request into events; the inbox stores them as one JSON array a batch, one object an event;
the worker reads them back; `shared.lifecycle.step` applies them. `dump` and `load` are inverse. What cannot
be read raises ValueError: such a batch is poison, not bad input. Reports never pass the inbox: whoever drives
the run hands them to `step`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, NamedTuple

from pydantic_core import from_json, to_json

from shared.ids import AgentId, EventId, MessageId, RequestId, RunId
from shared.models import BusyPolicy, RunError


@dataclass(frozen=True, slots=True)
class UserMessage:
    run: RunId  # minted where the batch was accepted: the run this message starts, if it starts one
    text: str
    client_request_id: str | None = None
    on_busy: BusyPolicy | None = None  # None: the agent's policy
    type: ClassVar[str] = "user_message"


@dataclass(frozen=True, slots=True)
class PermissionDecision:
    request: str  # any string of 1..255; one that names no request is a warning
    allow: bool
    note: str | None = None
    type: ClassVar[str] = "permission_decision"


@dataclass(frozen=True, slots=True)
class UserInterrupt:
    run: RunId | None = None  # None: the current run
    type: ClassVar[str] = "user_interrupt"


@dataclass(frozen=True, slots=True)
class RunEdited:
    """The message of a run that is queued still gets another text."""

    run: RunId
    text: str
    type: ClassVar[str] = "run_edited"


@dataclass(frozen=True, slots=True)
class RunRetried:
    """The messages of a finished run are answered once more, by a new run."""

    run: RunId  # minted where the batch was accepted
    of: RunId
    type: ClassVar[str] = "run_retried"


@dataclass(frozen=True, slots=True)
class MessageAdded:
    """A message without a run, which other dialects need. A user's is answered by the next run that is requested."""

    message: MessageId
    role: str
    parts: list[dict[str, Any]]
    metadata: dict[str, str] = field(default_factory=dict)
    request_id: str | None = None
    type: ClassVar[str] = "message_added"


@dataclass(frozen=True, slots=True)
class RunRequested:
    """A run that no message of its own starts: it answers the user's messages that no run has answered yet, `messages`
    among them, which are added with it. On a busy thread it is refused, and they are not.
    """

    run: RunId  # minted where the batch was accepted
    agent: AgentId | None = (
        None  # becomes the thread's where that has none yet; another one than the thread's is refused
    )
    messages: tuple[MessageAdded, ...] = ()
    parent: int | None = None  # the number of the message that it goes on from, 0 for none; None: from the last one
    type: ClassVar[str] = "run_requested"


@dataclass(frozen=True, slots=True)
class MessageEdited:
    """Other metadata of a message: what is named is set, or removed where it is null."""

    message: MessageId
    metadata: dict[str, str | None]
    type: ClassVar[str] = "message_edited"


@dataclass(frozen=True, slots=True)
class MessageDeleted:
    message: MessageId
    type: ClassVar[str] = "message_deleted"


@dataclass(frozen=True, slots=True)
class ThreadEdited:
    """Another name, where one is given; other metadata, as of a message."""

    name: str | None = None
    metadata: dict[str, str | None] = field(default_factory=dict)
    type: ClassVar[str] = "thread_edited"


@dataclass(frozen=True, slots=True)
class ThreadArchived:
    type: ClassVar[str] = "thread_archived"


@dataclass(frozen=True, slots=True)
class ThreadUnarchived:
    type: ClassVar[str] = "thread_unarchived"


@dataclass(frozen=True, slots=True)
class ThreadDeleted:
    type: ClassVar[str] = "thread_deleted"


Event = (
    UserMessage
    | PermissionDecision
    | UserInterrupt
    | RunEdited
    | RunRetried
    | MessageAdded
    | RunRequested
    | MessageEdited
    | MessageDeleted
    | ThreadEdited
    | ThreadArchived
    | ThreadUnarchived
    | ThreadDeleted
)


@dataclass(frozen=True, slots=True)
class RunLeased:
    """A worker took the run: a queued one boots, one whose permissions are settled is about to go on."""

    run: RunId
    type: ClassVar[str] = "run_leased"


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The runner works."""

    run: RunId
    type: ClassVar[str] = "run_started"


@dataclass(frozen=True, slots=True)
class Ask:
    """One permission that a runner wants before it goes on. Without a time it waits for ever."""

    id: RequestId
    title: str
    tool: str | None = None
    input: dict[str, Any] | None = None
    expires_at: datetime | None = None
    key: str | None = None  # the runner's own name of it
    expires_in: float | None = None  # seconds from when it is asked; instead of `expires_at`


class Entry(NamedTuple):
    """One event that a runner adds to the log; `message` names the message that a delta belongs to."""

    type: str
    content: str | None = None
    status: str = "available"
    tool_call_id: str | None = None
    tool_name: str | None = None
    tool_input: dict[str, Any] | None = None
    tokens: int | None = None
    duration_ms: int | None = None
    message: EventId | None = None


class Spoken(NamedTuple):
    """An assistant's message that is over; `incomplete` says why it is not whole."""

    id: MessageId
    text: str
    incomplete: str | None = None


class Tokens(NamedTuple):
    """All that a run has used so far."""

    input: int
    output: int


@dataclass(frozen=True, slots=True)
class RunOutput:
    """What a runner yielded since the last report, in order. `checkpoint` is a JSON text."""

    run: RunId
    entries: tuple[Entry, ...] = ()
    messages: tuple[Spoken, ...] = ()
    checkpoint: str | None = None
    usage: Tokens | None = None
    type: ClassVar[str] = "run_output"


@dataclass(frozen=True, slots=True)
class RunReleased:
    """The worker that has the run is about to stop; another one goes on from the last checkpoint."""

    run: RunId
    type: ClassVar[str] = "run_released"


@dataclass(frozen=True, slots=True)
class RunWaits:
    """The runner stopped at a checkpoint until its requests are settled."""

    run: RunId
    requests: tuple[Ask, ...]
    type: ClassVar[str] = "run_waits"


@dataclass(frozen=True, slots=True)
class RunResumed:
    """The runner goes on from its checkpoint: every request is settled."""

    run: RunId
    type: ClassVar[str] = "run_resumed"


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The runner is done; `error` says why it failed, None that it did not."""

    run: RunId
    error: RunError | None = None
    type: ClassVar[str] = "run_finished"


@dataclass(frozen=True, slots=True)
class RunExpired:
    """The run's deadline has passed; or a permission's has, and `error` says so."""

    run: RunId
    error: RunError | None = None
    type: ClassVar[str] = "run_expired"


@dataclass(frozen=True, slots=True)
class AttemptLost:
    """The worker that had the run is gone. At `limit` attempts since the last checkpoint the run fails."""

    run: RunId
    limit: int = 3
    type: ClassVar[str] = "attempt_lost"


@dataclass(frozen=True, slots=True)
class RequestExpired:
    """A permission request is past its time, and no batch accepted before that is still to be applied."""

    request: RequestId
    type: ClassVar[str] = "request_expired"


@dataclass(frozen=True, slots=True)
class SteerAcknowledged:
    """The runner took a steering message into account; `run` is the id that was minted for it."""

    run: RunId
    type: ClassVar[str] = "steer_acknowledged"


RunnerEvent = (
    RunLeased
    | RunStarted
    | RunOutput
    | RunReleased
    | RunWaits
    | RunResumed
    | RunFinished
    | RunExpired
    | AttemptLost
    | RequestExpired
    | SteerAcknowledged
)

_KINDS: dict[str, type[Event]] = {
    kind.type: kind
    for kind in (
        UserMessage,
        PermissionDecision,
        UserInterrupt,
        RunEdited,
        RunRetried,
        MessageAdded,
        RunRequested,
        MessageEdited,
        MessageDeleted,
        ThreadEdited,
        ThreadArchived,
        ThreadUnarchived,
        ThreadDeleted,
    )
}


def dump(events: Iterable[Event]) -> str:
    """The inbox's text of a batch: `type` and every field that is set."""
    return to_json([_record(event) for event in events]).decode()


def load(text: str) -> list[Event]:
    """The events of a batch, in order. Raises ValueError on what `dump` would not have written."""
    try:
        return [_event(record) for record in from_json(text)]
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"not a batch of events: {error}") from error


def _record(event: Event) -> dict[str, Any]:
    record: dict[str, Any] = {"type": event.type}
    for name in event.__slots__:
        value = getattr(event, name)
        if value is not None:
            record[name] = value
    return record


def _event(record: dict[str, Any]) -> Event:
    kind = _KINDS[record.pop("type")]
    if (on_busy := record.get("on_busy")) is not None:
        record["on_busy"] = BusyPolicy(on_busy)
    if kind is RunRequested:
        record["messages"] = tuple(MessageAdded(**message) for message in record.get("messages", ()))
    return kind(**record)
