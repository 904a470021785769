"""The AIML / OpenAI dialect as an OpenAPI document: both of its forms."""

from api.dialects.openai import answers
from api.dialects.openai.operations import ID, OF_AIML, OF_MESSAGES, OF_THREADS
from api.dialects.openai.run_operations import OF_RUNS
from api.dialects.operations import (
    ANSWERED_ID,
    DESCRIPTION,
    REFUSALS,
    REPLAYED,
    REQUEST_ID,
    RETRY_AFTER,
    Dialect,
    Operation,
    Schema,
)

OPERATIONS = (
    *OF_THREADS,
    *OF_MESSAGES,
    *OF_RUNS,
    *OF_AIML,
    Operation("get", "/v1/openapi.json", "This document", "Read this document", (DESCRIPTION,), token=False),
)
_POLL: Schema = {
    "description": "Milliseconds after which to ask again; only while the run is under way.",
    "schema": {"type": "integer"},
}

DIALECT = Dialect(
    name="openai",
    title="Threadmill, AIML / OpenAI thread messages",
    says=(
        "For OpenAI's clients (`beta.threads`), under `/v1`, and for AIML's thread messages, which have no prefix. An "
        "*assistant* is an agent of Threadmill. Ids are ULIDs without a prefix; times are seconds. Keys that the "
        "service has no use for are ignored, null is the same as absent. What does not fit the state of things is 400: "
        "OpenAI's clients repeat a 409, which only a key has whose first request is under way."
    ),
    root="/",
    operations=OPERATIONS,
    path_parameters={
        "threadId": {"description": "Of a thread of this account.", "schema": ID},
        "messageId": {"description": "Of a message of the thread.", "schema": ID},
        "runId": {"description": "Of a run of the thread.", "schema": ID},
    },
    variables={"threadId": "$THREAD", "messageId": "$MESSAGE", "runId": "$RUN"},
    error=answers.Error,
    refusals={
        **REFUSALS,
        "404": "There is no such thing, or it is another account's; or the path is malformed.",
        "503": "The service can't take this now; or an edit or delete was not applied in time. It may be sent again.",
    },
    conflict_status="400",
    common={"X-Request-Id": REQUEST_ID},
    headers={
        "X-Request-Id": ANSWERED_ID,
        "Idempotency-Replayed": REPLAYED,
        "Retry-After": RETRY_AFTER,
        "openai-poll-after-ms": _POLL,
    },
    always=("X-Request-Id",),
)
