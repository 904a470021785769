"""What can happen to a thread: the events of a batch.

A dialect turns a request into events; the inbox stores them as one JSON array a batch, one object an event;
the worker reads them back; `shared.lifecycle.step` applies them. `dump` and `load` are inverse. What cannot
be read raises ValueError: such a batch is poison, not bad input. What a run's driver reports is `shared.reports`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic_core import from_json, to_json

from shared.ids import AgentId, FileId, MessageId, RunId
from shared.models import BusyPolicy


@dataclass(frozen=True, slots=True)
class UserMessage:
    run: RunId  # minted where the batch was accepted: the run this message starts, if it starts one
    text: str
    client_request_id: str | None = None
    on_busy: BusyPolicy | None = None  # None: the agent's policy
    files: tuple[FileId, ...] = ()  # attached to it, in their order: claimed when the batch was accepted
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
    agent: AgentId | None = None  # the thread's from now on, where it has none; another one than its own is refused
    messages: tuple[MessageAdded, ...] = ()
    # The number of the message that it goes on from, 0 for none: then it has one message, and answers that alone. None:
    # it goes on from all that there is.
    parent: int | None = None
    metadata: dict[str, str] | None = None  # what its client keeps with it
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
    if isinstance(event, UserMessage) and not event.files:
        del record["files"]
    return record


def _event(record: dict[str, Any]) -> Event:
    kind = _KINDS[record.pop("type")]
    if (on_busy := record.get("on_busy")) is not None:
        record["on_busy"] = BusyPolicy(on_busy)
    if "files" in record:
        record["files"] = tuple(record["files"])
    if kind is RunRequested:
        record["messages"] = tuple(MessageAdded(**message) for message in record.get("messages", ()))
    return kind(**record)
