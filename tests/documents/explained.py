"""What a document says in words and no schema can say: why a request that fits its schema is refused all the same.

Each row is for its operations, its status, and the field that the answer names. Whatever else is refused is a failure.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from api.reference.files import DIALECTS

_RUN = "/v1/threads/{threadId}/runs"
_CORTEX_RUNS = ("POST /cortex/agent:run", "POST /databases/{database}/schemas/{schema}/agents/{name}:run")
_CREATE, _EVENTS = "POST /agents/{agentId}/threads", "POST /threads/{threadId}/events"
_MESSAGES = ("/v1/threads/{threadId}/messages", "/threads/{threadId}/messages")
_SUBMIT = f"POST {_RUN}/{{runId}}/submit_tool_outputs"
_APPLICATION = ("POST /cortex/threads", "GET /cortex/threads")
_OPEN = tuple(
    f"{one.method.upper()} {one.path}"
    for dialect in DIALECTS.values()
    if dialect.name != "mosoo"  # whose objects are closed, and hold no integers
    for one in dialect.operations
    if one.body is not None
)
# OpenAI's clients want no 409 for the state of things: where it is told as 400, by the codes of the service.
_CODES: Mapping[str, tuple[str, ...]] = {
    "idempotency_conflict": (
        "POST /v1/threads",
        "POST /v1/threads/runs",
        "POST /v1/threads/{threadId}",
        "DELETE /v1/threads/{threadId}",
        f"POST {_RUN}",
        f"POST {_RUN}/{{runId}}/cancel",
        _SUBMIT,
        *(f"POST {path}" for path in _MESSAGES),
        *(f"{verb} {path}/{{messageId}}" for path in _MESSAGES for verb in ("POST", "DELETE")),
    ),
    "readiness_blocked": (
        "POST /v1/threads/{threadId}",
        f"POST {_RUN}",
        f"POST {_RUN}/{{runId}}/cancel",
        _SUBMIT,
        *(f"POST {path}" for path in _MESSAGES),
        *(f"{verb} {path}/{{messageId}}" for path in _MESSAGES for verb in ("POST", "DELETE")),
    ),
    "agent_not_published": ("POST /v1/threads/runs", f"POST {_RUN}"),
}


@dataclass(frozen=True, slots=True)
class Told:
    """`says`: the beginning of the message, with the field; of these operations, with 400."""

    says: str
    operations: tuple[str, ...]


TOLD = (
    Told(r"Attachment \S+ (is named twice|was not found|is attached already)\.", (_CREATE, _EVENTS)),
    Told(r"input\.content: the joined text must be 1 to ", (_CREATE,)),
    Told(r"events\.\d+\.[\w.]*text must not be blank", (_EVENTS,)),
    Told(r"text must not be blank", ("PATCH /threads/{threadId}/runs/{runId}",)),
    Told(r"(thread_id|parent_message_id)\b.*should be a valid integer", _CORTEX_RUNS),  # 1.0 is one to JSON Schema
    Told(r"messages\.0\.content\.\d+\.tool_result\.content: a `decision` is required", _CORTEX_RUNS),
    Told(r"messages\.0\.content: a tool_result stands without text", _CORTEX_RUNS),
    Told(r"messages\.0\.content: a tool_use_id stands in two tool_results", _CORTEX_RUNS),
    Told(r"messages\.0\.content must not be blank", _CORTEX_RUNS),
    Told(r"thread_id is required with", _CORTEX_RUNS),
    Told(r"origin_application\b.* 16 bytes", _APPLICATION),
    Told(r"The thread has another agent", (*_CORTEX_RUNS, f"POST {_RUN}")),
    # What an open body holds beside its fields is ignored, but not an integer that most readers would get wrong.
    Told(r'The integer "-?\d+…?" is beyond 2\^53', _OPEN),
    Told(r"(after|before): there is no such entry in this list", (f"GET {_RUN}", *(f"GET {one}" for one in _MESSAGES))),
    Told(r"tool_outputs\.\d+\.tool_call_id names no call that waits for its output", (_SUBMIT,)),
    Told(r"tool_outputs\.\d+\.output must be ", (_SUBMIT,)),
    Told(r"A tool call has two outputs\.", (_SUBMIT,)),
    Told(r"The run is \w+: it waits for no tool outputs\.", (_SUBMIT,)),
    Told(r"content must not be blank", tuple(f"POST {one}" for one in _MESSAGES)),
    Told(r"messages\.\d+\.content must not be blank", ("POST /v1/threads",)),
    Told(r"thread\.messages\.\d+\.content must not be blank", ("POST /v1/threads/runs",)),
    Told(r"additional_messages\.\d+\.content must not be blank", (f"POST {_RUN}",)),
)
_CONTENT, _NO_SUCH_BYTES = "GET /files/{fileId}/content", 416  # of a file that is shorter


def is_explained(operation: str, status: int, body: str, headers: Mapping[str, str]) -> bool:
    """Whether a row says it. `operation`: `METHOD /path` under its dialect's root; `headers`: of the request."""
    if status == _NO_SUCH_BYTES:
        return operation == _CONTENT and "Range" in headers
    if status != 400:
        return False
    document = json.loads(body)
    error = document.get("error", document)
    if operation in _CODES.get(error["code"], ()):
        return error["code"] != "idempotency_conflict" or "Idempotency-Key" in headers
    return any(operation in one.operations and re.match(one.says, error["message"]) for one in TOLD)
