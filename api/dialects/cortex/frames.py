"""The server-sent events of an answer: `event: ` and `data: `, each with its space, in the order of the contract.

What a run logs becomes a frame where this dialect has one: its texts, and a status where something begins. Refused
here: knowing when an answer is over.
"""

from typing import Any

from pydantic_core import to_json

from shared.effects import EventLogged
from shared.ids import EventId

Document = dict[str, Any]

QUEUED = "queued"
_STATUS = {
    QUEUED: "The run waits for its turn.",
    "running": "The agent works.",
    "waiting_input": "The agent waits for a decision.",
}


def frame(name: str, data: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), to_json(data))


def metadata(role: str, thread: int, message: int | None) -> bytes:
    """Which message was taken, or made: as the published pages have it, and once more as clients of the live service
    read it, who look below `metadata`.
    """
    known = {"role": role, "thread_id": thread, "message_id": message}
    return frame("metadata", known | {"metadata": known})


def status(word: str, message: str | None = None) -> bytes:
    return frame("response.status", {"status": word, "message": message or _STATUS[word]})


def text(index: int, whole: str) -> bytes:
    """All of one message; `index` is that of its deltas."""
    return frame("response.text", {"content_index": index, "text": whole})


class Places:
    """Which of an answer's messages is which: they are counted as they begin."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str | None, int] = {}

    def of(self, message: str | None) -> int:
        return self._known.setdefault(message, len(self._known))


def live(event: EventLogged, places: Places) -> bytes:
    """What a client is shown of one event of the run; nothing of most kinds."""
    match event.type:
        case "agent.message.delta":
            return _delta(places.of(_message(event.message)), event.content or "")
        case "run.started":
            return status("running")
        case "tool.use.started":
            return status("executing_tool", event.tool_name or "A tool works.")
        case "tool.confirmation.required":
            return status("waiting_input", event.content)
        case _:
            return b""


def _delta(index: int, piece: str) -> bytes:
    return frame("response.text.delta", {"content_index": index, "text": piece})


def _message(message: EventId | None) -> str | None:
    return None if message is None else str(message)
