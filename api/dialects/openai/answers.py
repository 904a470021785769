"""The answers of the AIML / OpenAI dialect, as types: what `encode` and `stream` write. They describe (OpenAPI) and are
held against real answers by the tests; nothing is checked by them while the service runs.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from api.dialects.openai.models import pairs
from shared.ids import PATTERN

CLOSED = ConfigDict(extra="forbid")
Id = Annotated[str, Field(pattern=PATTERN)]
Seconds = Annotated[int, Field(description="Seconds since 1970, UTC.")]
Pairs = Annotated[dict[str, str], pairs("string")]
Role = Literal["user", "assistant"]
RunStatus = Literal[
    "queued", "in_progress", "requires_action", "cancelling", "completed", "failed", "cancelled", "expired"
]
Nothing = Annotated[list[Any], Field(max_length=0)]


@with_config(CLOSED)
class Thread(TypedDict):
    id: Id
    object: Literal["thread"]
    created_at: Seconds
    metadata: Pairs
    tool_resources: Annotated[dict[str, Any], Field(max_length=0, description="Empty: there are no files yet.")]


@with_config(CLOSED)
class TextValue(TypedDict):
    value: str
    annotations: Nothing


@with_config(CLOSED)
class TextBlock(TypedDict):
    type: Literal["text"]
    text: TextValue


@with_config(CLOSED)
class Incomplete(TypedDict):
    """Why the run could not finish it."""

    reason: Literal["run_failed", "run_cancelled", "run_expired"]


@with_config(CLOSED)
class ThreadMessage(TypedDict):
    """`assistant_id` and `run_id` are set on what a run said."""

    id: Id
    object: Literal["thread.message"]
    created_at: Seconds
    thread_id: Id
    status: Literal["in_progress", "completed", "incomplete"]
    role: Role
    content: list[TextBlock]
    assistant_id: Id | None
    run_id: Id | None
    attachments: Nothing
    metadata: Pairs
    completed_at: Seconds | None
    incomplete_at: Seconds | None
    incomplete_details: Incomplete | None


@with_config(CLOSED)
class MessageList(TypedDict):
    object: Literal["list"]
    data: list[ThreadMessage]
    first_id: Id | None
    last_id: Id | None
    has_more: bool


@with_config(CLOSED)
class DeletedMessage(TypedDict):
    id: Id
    object: Literal["thread.message.deleted"]
    deleted: Literal[True]


@with_config(CLOSED)
class DeletedThread(TypedDict):
    id: Id
    object: Literal["thread.deleted"]
    deleted: Literal[True]


@with_config(CLOSED)
class Reason(TypedDict):
    message: str
    type: Literal["invalid_request_error", "rate_limit_error", "server_error"]
    param: Annotated[str | None, Field(description="The field, or the query's name.")]
    code: str


@with_config(CLOSED)
class Error(TypedDict):
    error: Reason


@with_config(CLOSED)
class DeltaBlock(TypedDict):
    index: Literal[0]
    type: Literal["text"]
    text: TextValue


@with_config(CLOSED)
class Delta(TypedDict):
    content: Annotated[list[DeltaBlock], Field(min_length=1, max_length=1)]


@with_config(CLOSED)
class MessageDelta(TypedDict):
    """The next piece of a message's text."""

    id: Id
    object: Literal["thread.message.delta"]
    delta: Delta


Done = Annotated[Literal["[DONE]"], Field(description="The stream ends; this is no JSON.")]
