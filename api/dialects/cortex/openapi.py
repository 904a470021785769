"""Cortex threads as an OpenAPI document."""

from api.dialects.cortex import answers
from api.dialects.cortex.operations import OPERATIONS
from api.dialects.operations import ANSWERED_ID, REFUSALS, REPLAYED, REQUEST_ID, RETRY_AFTER, Dialect, Schema

_ANY: Schema = {"type": "string", "minLength": 1}

DIALECT = Dialect(
    name="cortex",
    title="Threadmill, Cortex threads",
    says=(
        "For clients of Snowflake's Cortex Agents: threads by number, and `agent:run`, which puts a message into a "
        "thread and answers it. Times are integer milliseconds. Keys that are not known are ignored, an empty body is "
        "`{}`, and a slash behind a path is fine. Two answers have two shapes, `documented` and `live`: "
        "`THREADMILL_CORTEX_SHAPES` chooses both."
    ),
    root="/api/v2",
    operations=OPERATIONS,
    path_parameters={
        "id": {
            "description": "The thread's number: 1 to 19 digits.",
            "schema": {"type": "string", "pattern": "^[0-9]{1,19}$"},
        },
        "database": {"description": "Any.", "schema": _ANY},
        "schema": {"description": "Any.", "schema": _ANY},
        "name": {"description": "The agent's name.", "schema": _ANY},
    },
    variables={"id": "$THREAD", "database": "any", "schema": "any", "name": "echo"},
    error=answers.Error,
    refusals={
        **REFUSALS,
        "503": "The service can't take this now; or a change is accepted and not applied yet: it may be sent again.",
    },
    common={"X-Request-Id": REQUEST_ID},
    headers={
        "X-Request-Id": ANSWERED_ID,
        "X-Snowflake-Request-Id": ANSWERED_ID,
        "Idempotency-Replayed": REPLAYED,
        "X-Threadmill-Thread-Id": {
            "description": "The thread's id in the other dialects.",
            "schema": {"type": "string"},
        },
        "Retry-After": RETRY_AFTER,
    },
    always=("X-Request-Id", "X-Snowflake-Request-Id"),
)
