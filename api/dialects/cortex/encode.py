"""Answers of Cortex: threads and messages by number, times in integer milliseconds.

Two shapes of two of them: `documented`, as the published pages have them, and `live`, as the service answers that
clients were written against. Source: the wire contract, section 2.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple

from pydantic_core import to_json

from api.dialects.cortex.errors import document
from api.dialects.cortex.outcomes import Made
from shared.ids import RunId
from shared.models import RunStatus
from shared.views import Described, MessagePage, MessageView, OpenRequest, RunAnswer

Document = dict[str, Any]
Shapes = Literal["documented", "live"]

_NO_ANSWER = 409  # the state of things is not what was asked for; see `failure`
_CANCELLED = ("run.cancelled", "The run was cancelled.")  # by a user, who leaves no error


class Failure(NamedTuple):
    """Why a run has no answer: a status, and its own code and words."""

    status: int
    code: str
    message: str


def created(made: Made, num: int, origin_application: str | None, shapes: Shapes) -> str | Document:
    """The id of a new thread, or its metadata: as it was made, also where it has another name by now."""
    if shapes == "documented":
        return str(num)
    return _metadata(num, None, origin_application, made.created_at, made.updated_at)


def metadata(thread: Described) -> Document:
    return _metadata(thread.num, thread.name, thread.origin_application, thread.created_at, thread.updated_at)


def updated(num: int) -> Document:
    return {"status": f"Thread {num} successfully updated."}


def deleted() -> Document:
    return {"success": True}


def page(thread: Described, found: MessagePage, requests: Mapping[RunId, str], shapes: Shapes) -> Document:
    """A thread with some of its messages, newest first; the last of them follows the next one."""
    before = [*(one.num for one in found.messages[1:]), found.next.num if found.next else None]
    messages = [_message(one, earlier, requests, shapes) for one, earlier in zip(found.messages, before, strict=False)]
    return {"metadata": metadata(thread), "messages": messages}


def response(answer: RunAnswer, thread: int, run: RunId) -> Document:
    """What an agent answered: its texts, and what it waits for a decision on."""
    texts = [{"type": "text", "text": one.text} for one in answer.said]
    return {
        "role": "assistant",
        "content": texts + [_tool_use(request) for request in answer.requests],
        "metadata": {
            "run_id": run,
            "thread_id": thread,
            "user_message_id": answer.question,
            "assistant_message_id": answer.said[-1].num if answer.said else None,
            "usage": answer.usage,
        },
    }


def failure(answer: RunAnswer) -> Failure | None:
    """Why a run has no answer; None where it has one, or may still get one.

    Never 5xx, whatever the agent failed of: the request was taken and done, and clients of this dialect repeat what is
    5xx on their own and without a key. Each time would be one more message, and one more run.
    """
    if answer.status not in (RunStatus.FAILED, RunStatus.EXPIRED, RunStatus.CANCELLED):
        return None
    error = answer.error
    return Failure(_NO_ANSWER, error.code, error.message) if error else Failure(_NO_ANSWER, *_CANCELLED)


def failed(why: Failure, request_id: str) -> Document:
    return document(why.status, why.code, why.message, request_id)


def _metadata(
    num: int, name: str | None, application: str | None, created_at: datetime, updated_at: datetime
) -> Document:
    return {
        "thread_id": num,
        "thread_name": name or "",
        "origin_application": application or "",
        "created_on": _milliseconds(created_at),
        "updated_on": _milliseconds(updated_at),
    }


def _message(one: MessageView, earlier: int | None, requests: Mapping[RunId, str], shapes: Shapes) -> Document:
    return {
        "message_id": one.num,
        "parent_id": (one.parent or None) if one.parent is not None else earlier,
        "created_on": _milliseconds(one.created_at),
        "role": one.role,
        "message_payload": one.text if shapes == "documented" else _payload(one),
        "request_id": one.request_id or (requests.get(one.run) if one.run else None) or "",
    }


def _payload(one: MessageView) -> str:
    """As the live service keeps it: JSON in a string."""
    texts = [{"type": "text", "text": part["text"]} for part in one.parts if part.get("type") == "text"]
    return to_json({"role": one.role, "content": texts}).decode()


def _tool_use(request: OpenRequest) -> Document:
    """An open permission request; its id is what a `tool_result` answers."""
    return {
        "type": "tool_use",
        "tool_use": {
            "tool_use_id": request.id,
            "type": "request_permission",
            "name": request.tool or "request_permission",
            "input": {"title": request.title} | ({} if request.input is None else {"input": request.input}),
        },
    }


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
