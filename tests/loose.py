"""Messages that start nothing, and runs that no message starts: what the other dialects say."""

from typing import Any

from shared import ids
from shared.events import MessageAdded, RunRequested
from shared.ids import MessageId, RunId


def added(text: str, role: str = "user", **given: Any) -> MessageAdded:
    return MessageAdded(MessageId(ids.mint()), role, [{"type": "text", "text": text}], **given)


def requested(*messages: MessageAdded, **given: Any) -> RunRequested:
    return RunRequested(RunId(ids.mint()), messages=messages, **given)
