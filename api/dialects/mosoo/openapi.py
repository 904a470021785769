"""The dialect as an OpenAPI 3.1 document, generated from the models that check its requests.

`OPERATIONS` is the one list of what the dialect offers; a test holds it against the router.
"""

from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter

from api.dialects.mosoo import answers, models
from shared.ids import PATTERN

Schema = dict[str, Any]
_REF = "#/components/schemas/{model}"

_ID: Schema = {"type": "string", "pattern": PATTERN}
_WAIT = {
    "name": "Prefer",
    "in": "header",
    "description": "`wait=N` (seconds, at most 30) or `respond-async` (RFC 7240): how long to wait for the outcome.",
    "schema": {"type": "string"},
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Makes a retry safe: the same key and request get the original response.",
    "schema": {"type": "string", "maxLength": 128, "pattern": "^[ -~]*[!-~][ -~]*$"},
}
_ERRORS = {
    "400": "The request is not valid.",
    "401": "The token is missing, unknown or revoked.",
    "403": "The token may not do that, or the agent belongs to another account.",
    "404": "There is no such thing.",
    "409": "The request does not fit the state of things, or of its Idempotency-Key.",
    "413": "The body is over the limit.",
    "415": "The body is not `application/json` in UTF-8.",
    "500": "The service failed.",
    "503": "The service can't take this now; safe to retry with the same key.",
}


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    path: str  # under /api/v1
    summary: str
    answer: type
    body: type | None = None
    status: str = "200"
    query: tuple[Schema, ...] = ()
    headers: tuple[Schema, ...] = ()
    token: bool = True
    media: str = "application/json"


def _page(most: int, entries: str) -> tuple[Schema, Schema]:
    return (
        {
            "name": "limit",
            "in": "query",
            "schema": {"type": "integer", "minimum": 1, "maximum": most, "default": 100},
        },
        {
            "name": "after",
            "in": "query",
            "description": f"The page begins behind the {entries} of this id.",
            "schema": _ID,
        },
    )


_LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The stream begins behind the event of this id; it goes before `after`.",
    "schema": _ID,
}
_UNTIL = {
    "name": "until",
    "in": "query",
    "description": "`run`: the stream ends with the run that is under way, or at once where none is.",
    "schema": {"type": "string", "enum": ["run"]},
}
_ARCHIVED = {"name": "archived", "in": "query", "schema": {"type": "boolean", "default": False}}
_THREADS = "/agents/{agentId}/threads"
_THREAD = "/threads/{threadId}"

OPERATIONS = (
    Operation(
        *("post", _THREADS, "Create a thread", answers.CreatedThread, models.CreateThread, "201"),
        headers=(_KEY, _WAIT),
    ),
    Operation(
        *("get", _THREADS, "List the threads of an agent, newest updated first", answers.Threads),
        query=(_ARCHIVED, *_page(100, "thread")),
    ),
    Operation("get", _THREAD, "Read a thread and its last run", answers.ThreadWithRun),
    Operation("delete", _THREAD, "Delete a thread", answers.Done, headers=(_WAIT,)),
    Operation("post", f"{_THREAD}/archive", "Archive a thread", answers.Done, headers=(_WAIT,)),
    Operation("post", f"{_THREAD}/unarchive", "Take a thread out of the archive", answers.Done, headers=(_WAIT,)),
    Operation(
        *("post", f"{_THREAD}/events", "Send a batch of events", answers.SentEvents, models.SendEvents),
        headers=(_KEY, _WAIT),
    ),
    Operation(*("get", f"{_THREAD}/events", "Read the log of a thread", answers.Events), query=_page(1000, "event")),
    Operation(
        *("get", f"{_THREAD}/events/stream", "Follow the log of a thread, as server-sent events", answers.Event),
        query=(*_page(1000, "event"), _UNTIL),
        headers=(_LAST_EVENT_ID,),
        media="text/event-stream",
    ),
    Operation(
        *("get", f"{_THREAD}/runs", "List the runs of a thread, newest first", answers.Runs),
        query=_page(1000, "run"),
    ),
    Operation("get", f"{_THREAD}/runs/{{runId}}", "Read a run", answers.QueuedRun),
    Operation(
        *("patch", f"{_THREAD}/runs/{{runId}}", "Edit the text of a queued run", answers.EditedRun, models.EditRun),
        headers=(_WAIT,),
    ),
    Operation("get", "/openapi.json", "Read this document", answers.Description, token=False),
)


_WEBHOOK: Schema = {
    "summary": "A run ended, or waits",
    "description": "Signed as standardwebhooks.com says. Told at least once, with an id that stays the same.",
    "operationId": "webhook_run",
    "security": [],
    "parameters": [
        {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}
        for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
    ],
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": _REF.format(model=answers.Told.__name__)}}},
    },
    "responses": {
        "2XX": {"description": "Taken."},
        "410": {"description": "Not wanted any more: it is not tried again."},
        "default": {"description": "Tried again, for 24 hours."},
    },
}


def document() -> Schema:
    """The whole document, as a value for a JSON encoder."""
    paths: dict[str, Schema] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Threadmill, Mosoo v1", "version": "1"},
        "servers": [{"url": "/api/v1"}],
        "security": [{"token": []}],
        "paths": paths,
        "webhooks": {"run": {"post": _WEBHOOK}},
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
        },
    }


def _described(operation: Operation) -> Schema:
    described: Schema = {
        "summary": operation.summary,
        "operationId": _operation_id(operation),
        "parameters": [*_path_parameters(operation.path), *operation.query, *operation.headers],
        "responses": {
            operation.status: {"description": "Done.", "content": _content(operation.answer, operation.media)},
            **(_failures() if operation.token else {}),
        },
    }
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": _content(operation.body)}
    if not operation.token:
        described["security"] = []
    return described


def _operation_id(operation: Operation) -> str:
    words = [word for word in operation.path.split("/") if word and "{" not in word]
    return "_".join([operation.method, *(word.replace(".", "_") for word in words), str(operation.path.count("{"))])


def _path_parameters(path: str) -> list[Schema]:
    names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
    return [{"name": name, "in": "path", "required": True, "schema": _ID} for name in names]


def _failures() -> Schema:
    return {status: {"description": text, "content": _content(answers.Error)} for status, text in _ERRORS.items()}


def _content(model: type, media: str = "application/json") -> Schema:
    return {media: {"schema": {"$ref": _REF.format(model=model.__name__)}}}


def _schemas() -> Schema:
    """Every model that is referred to, and those that they refer to."""
    wanted = {operation.answer for operation in OPERATIONS} | {answers.Error, answers.Told}
    wanted |= {operation.body for operation in OPERATIONS if operation.body is not None}
    _, described = TypeAdapter.json_schemas(
        [(model, "validation", TypeAdapter(model)) for model in sorted(wanted, key=lambda model: model.__name__)],
        ref_template=_REF,
    )
    schemas: Schema = described["$defs"]
    return schemas
