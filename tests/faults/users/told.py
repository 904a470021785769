"""What users heard of a run while it went on: the text of its deltas, whichever dialect told it. Pure functions."""

from collections.abc import Iterator, Sequence
from typing import Any

from tests.faults.history import Reply
from tests.faults.users.calls import Call

Frame = tuple[str, Any]


def streams(call: Call) -> Iterator[Sequence[Frame]]:
    """Each stream that was opened for a call, also those that were cut."""
    for reply in call.replies:
        if (frames := frames_of(reply)) is not None:
            yield frames


def frames_of(reply: Reply) -> Sequence[Frame] | None:
    return reply.body.get("frames") if isinstance(reply.body, dict) else None


def heard(frames: Sequence[Frame]) -> str:
    """All deltas."""
    return "".join(_delta(name, data) for name, data in frames)


def run_of(frames: Sequence[Frame]) -> str | None:
    """The run that a stream names; in Cortex only its last event does."""
    for name, data in frames:
        if name == "thread.run.created":
            return str(data["id"])
        if name == "response":
            return str(data["metadata"]["run_id"])
    return None


def _delta(name: str, data: Any) -> str:
    if name == "thread.message.delta":
        return "".join(part["text"]["value"] for part in data["delta"]["content"])
    return str(data["text"]) if name == "response.text.delta" else ""
