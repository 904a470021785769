"""The events of a batch, as the inbox stores them: one JSON array a batch, one object an event.

A dialect turns a request into these; the worker reads them back; `shared.lifecycle.step` applies them.
`dump` and `load` are inverse. What cannot be read raises ValueError: such a batch is poison, not bad input.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic_core import from_json, to_json

from shared.ids import MessageId, RunId
from shared.models import BusyPolicy


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
class MessageAdded:
    """A message without a run, which other dialects need."""

    message: MessageId
    role: str
    parts: list[dict[str, Any]]
    metadata: dict[str, str] = field(default_factory=dict)
    request_id: str | None = None
    type: ClassVar[str] = "message_added"


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
    | MessageAdded
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
        MessageAdded,
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
    return kind(**record)
