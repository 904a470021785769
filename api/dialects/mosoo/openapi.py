"""Mosoo v1 as an OpenAPI document."""

from api.dialects.mosoo import answers
from api.dialects.mosoo.operations import ID, OPERATIONS
from api.dialects.operations import ANSWERED_ID, REFUSALS, REPLAYED, REQUEST_ID, RETRY_AFTER, Dialect, Schema

_TOLD = {"application/json": {"schema": {"$ref": f"#/components/schemas/{answers.Told.__name__}"}}}
_WEBHOOK: Schema = {
    "summary": "A run ended, or waits",
    "description": "Signed as standardwebhooks.com says. Told at least once, with an id that stays the same.",
    "operationId": "webhook_run",
    "security": [],
    "parameters": [
        {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}
        for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
    ],
    "requestBody": {"required": True, "content": _TOLD},
    "responses": {
        "2XX": {"description": "Taken."},
        "410": {"description": "Not wanted any more: it is not tried again."},
        "default": {"description": "Tried again, for 24 hours."},
    },
}

DIALECT = Dialect(
    name="mosoo",
    title="Threadmill, Mosoo v1",
    says=(
        "The native dialect: threads of an agent, batches of events, the log that they leave, and its stream. Ids are "
        "ULIDs. Times are RFC 3339 in UTC, with milliseconds. A key that is not known is refused."
    ),
    root="/api/v1",
    operations=OPERATIONS,
    path_parameters={
        "agentId": {"description": "Of an agent of this account.", "schema": ID},
        "threadId": {"description": "Of a thread of this account.", "schema": ID},
        "fileId": {"description": "Of a file of this account.", "schema": ID},
        "runId": {"description": "Of a run of the thread.", "schema": ID},
    },
    variables={"agentId": "$AGENT", "threadId": "$THREAD", "runId": "$RUN", "fileId": "$FILE"},
    error=answers.Error,
    refusals={
        **REFUSALS,
        "403": "The token is an operator's, or a service token that brings a file, or the agent is another account's.",
        "503": "The service can't take this now; safe to retry with the same key.",
    },
    common={"X-Request-Id": REQUEST_ID},
    headers={"X-Request-Id": ANSWERED_ID, "Idempotency-Replayed": REPLAYED, "Retry-After": RETRY_AFTER},
    always=("X-Request-Id",),
    webhooks={"run": {"post": _WEBHOOK}},
    told=(answers.Told,),
)
