"""Answers of the AIML / OpenAI dialect. Ids are ULIDs as everywhere else, times are whole seconds.

Source: the wire contract, section 3; which fields an object has follows the published seed page and what OpenAI's own
clients read.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from shared.events import MessageAdded
from shared.ids import AgentId, MessageId, RunId, ThreadId
from shared.models import Run, RunError, RunStatus, Trigger
from shared.views import MessageView, OpenRequest, RunRecord

Document = dict[str, Any]

# Why a message is not whole, in the words that clients know. What is not here failed.
_INCOMPLETE = {
    "cancelled": "run_cancelled",
    "session.archived": "run_cancelled",
    "run.expired": "run_expired",
    "permission.expired": "run_expired",
}

_STATUS = {
    RunStatus.QUEUED: "queued",
    RunStatus.BOOTING: "in_progress",
    RunStatus.RUNNING: "in_progress",
    RunStatus.WAITING_INPUT: "requires_action",
    RunStatus.COMPLETED: "completed",
    RunStatus.FAILED: "failed",
    RunStatus.CANCELLED: "cancelled",
    RunStatus.EXPIRED: "expired",
}
PERMISSION = "request_permission"  # the function that a run calls to ask its thread's user
# What every run of OpenAI's has, and its clients read, and is the agent's own affair here.
_UNSET: Document = {
    "object": "thread.run",
    "incomplete_details": None,
    "instructions": "",
    "max_completion_tokens": None,
    "max_prompt_tokens": None,
    "model": "",
    "parallel_tool_calls": True,
    "response_format": "auto",
    "temperature": None,
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation_strategy": {"type": "auto", "last_messages": None},
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
    known = {
        "created_at": at,
        "assistant_id": agent if said else None,
        "run_id": view.run if said else None,
        "status": "completed" if whole else "incomplete",
        "completed_at": at if whole else None,
        "incomplete_at": None if whole else at,
        "incomplete_details": None if whole else {"reason": _INCOMPLETE.get(str(view.incomplete), "run_failed")},
    }
    return unsaid(view, thread, known)


def expected(event: MessageAdded, thread: ThreadId, accepted_at: datetime) -> Document:
    """A message that is accepted and not in the thread yet."""
    return unsaid(event, thread, {"created_at": seconds(accepted_at), "status": "in_progress"})


def added(event: MessageAdded, thread: ThreadId, applied_at: datetime) -> Document:
    """A message that was just added."""
    at = seconds(applied_at)
    return unsaid(event, thread, {"created_at": at, "completed_at": at, "status": "completed"})


def unsaid(source: MessageView | MessageAdded, thread: ThreadId, known: Document) -> Document:
    """A message with what is known of it, and null for the rest."""
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


def queued(run: RunId, created_at: datetime, metadata: dict[str, str] | None) -> RunRecord:
    """A run that is accepted and not made yet."""
    made = Run(run, 0, RunStatus.QUEUED, Trigger.USER_PROMPT, created_at, None, created_at, None)
    return RunRecord(made, None, metadata=metadata)


def as_of(outcome: Document, usage: dict[str, int] | None, metadata: dict[str, str] | None) -> RunRecord:
    """A run as the outcome of a batch shows it, where it asks for nothing."""
    error = outcome["error"]
    run = Run(
        id=outcome["id"],
        seq=0,
        status=RunStatus(outcome["status"]),
        trigger=Trigger(outcome["trigger"]),
        created_at=datetime.fromisoformat(outcome["createdAt"]),
        started_at=_moment(outcome["startedAt"]),
        updated_at=datetime.fromisoformat(outcome["updatedAt"]),
        completed_at=_moment(outcome["completedAt"]),
        error=None if error is None else RunError(**error),
    )
    return RunRecord(run, usage, metadata=metadata)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def run_status(record: RunRecord) -> str:
    """A run whose permissions are all decided waits for a worker, and for no client."""
    if record.run.status is RunStatus.WAITING_INPUT and not record.requests:
        return "queued"
    return _STATUS[record.run.status]


def run(record: RunRecord, thread: ThreadId, agent: AgentId | None, **known: Any) -> Document:
    """`agent` is the thread's. What its agent decides and clients may not (tools, a model) is empty."""
    it, ended = record.run, seconds(record.run.completed_at)
    return (
        _UNSET
        | {
            "id": it.id,
            "created_at": seconds(it.created_at),
            "thread_id": thread,
            "assistant_id": agent,
            "status": run_status(record),
            "started_at": seconds(it.started_at),
            "completed_at": ended if it.status is RunStatus.COMPLETED else None,
            "failed_at": ended if it.status is RunStatus.FAILED else None,
            "cancelled_at": ended if it.status is RunStatus.CANCELLED else None,
            "expires_at": ended if it.status is RunStatus.EXPIRED else None,
            "last_error": _last_error(it),
            "required_action": _required_action(record.requests),
            "usage": _usage(record) if it.terminal else None,
            "metadata": record.metadata or {},
        }
        | known
    )


def _last_error(run: Run) -> Document | None:
    """Clients know three codes; ours stands in the message."""
    if run.error is None:
        return None
    code = "rate_limit_exceeded" if "rate_limit" in run.error.code else "server_error"
    return {"code": code, "message": f"{run.error.code}: {run.error.message}"}


def _required_action(requests: Sequence[OpenRequest]) -> Document | None:
    if not requests:
        return None
    calls = [
        {"id": request.id, "type": "function", "function": {"name": PERMISSION, "arguments": _arguments(request)}}
        for request in requests
    ]
    return {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}}


def _arguments(request: OpenRequest) -> str:
    return to_json({"title": request.title, "tool": request.tool, "input": request.input}).decode()


def _usage(record: RunRecord) -> Document:
    used = record.usage or {}
    prompt, completion = used.get("input_tokens", 0), used.get("output_tokens", 0)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


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
