"""Answers of the AIML / OpenAI dialect. Ids are ULIDs as everywhere else, times are whole seconds.

Source: the wire contract, section 3; which fields an object has follows the published seed page and what OpenAI's own
clients read.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from shared.events import MessageAdded
from shared.ids import AgentId, MessageId, ThreadId
from shared.views import MessageView

Document = dict[str, Any]

# Why a message is not whole, in the words that clients know. What is not here failed.
_INCOMPLETE = {
    "cancelled": "run_cancelled",
    "session.archived": "run_cancelled",
    "run.expired": "run_expired",
    "permission.expired": "run_expired",
}


def seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())


def thread(id_: ThreadId, created_at: datetime, metadata: Mapping[str, str]) -> Document:
    return {
        "id": id_,
        "object": "thread",
        "created_at": seconds(created_at),
        "metadata": metadata,
        "tool_resources": {},
    }


def message(view: MessageView, thread: ThreadId, agent: AgentId | None) -> Document:
    """`agent` is the thread's. Only what a run said names the run: clients find a run's answer by that."""
    said = view.run is not None and view.role == "assistant"
    at, whole = seconds(view.created_at), view.incomplete is None
    return _message(
        view,
        thread,
        created_at=at,
        assistant_id=agent if said else None,
        run_id=view.run if said else None,
        status="completed" if whole else "incomplete",
        completed_at=at if whole else None,
        incomplete_at=None if whole else at,
        incomplete_details=None if whole else {"reason": _INCOMPLETE.get(str(view.incomplete), "run_failed")},
    )


def expected(event: MessageAdded, thread: ThreadId, accepted_at: datetime) -> Document:
    """A message that is accepted and not in the thread yet."""
    return _message(event, thread, created_at=seconds(accepted_at), status="in_progress")


def _message(source: MessageView | MessageAdded, thread: ThreadId, **known: Any) -> Document:
    return {
        "id": source.id if isinstance(source, MessageView) else source.message,
        "object": "thread.message",
        "thread_id": thread,
        "role": source.role,
        "content": [text(part["text"]) for part in source.parts if part.get("type") == "text"],
        "attachments": [],
        "metadata": source.metadata,
        "assistant_id": None,
        "run_id": None,
        "completed_at": None,
        "incomplete_at": None,
        "incomplete_details": None,
    } | known


def text(value: str) -> Document:
    return {"type": "text", "text": {"value": value, "annotations": []}}


def page(entries: Sequence[Document], more: bool) -> Document:
    """A page of OpenAI's lists."""
    return {
        "object": "list",
        "data": entries,
        "first_id": entries[0]["id"] if entries else None,
        "last_id": entries[-1]["id"] if entries else None,
        "has_more": more,
    }


def deleted(id_: ThreadId | MessageId, kind: str) -> bytes:
    return to_json({"id": id_, "object": f"{kind}.deleted", "deleted": True})
