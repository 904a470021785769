"""Runs as the AIML / OpenAI dialect answers them, as types; see `answers`."""

from typing import Annotated, Literal

from pydantic import Field, with_config
from typing_extensions import TypedDict

from api.dialects.openai.answers import CLOSED, Id, Nothing, Pairs, RunStatus, Seconds

_AGENTS = "The agent's affair: no request sets it, and none is told."


@with_config(CLOSED)
class Function(TypedDict):
    name: Literal["request_permission"]
    arguments: Annotated[str, Field(description="JSON: the `title`, `tool` and `input` of the request.")]


@with_config(CLOSED)
class ToolCall(TypedDict):
    """An open permission request."""

    id: Id
    type: Literal["function"]
    function: Function


@with_config(CLOSED)
class ToolCalls(TypedDict):
    tool_calls: Annotated[list[ToolCall], Field(min_length=1)]


@with_config(CLOSED)
class RequiredAction(TypedDict):
    type: Literal["submit_tool_outputs"]
    submit_tool_outputs: ToolCalls


@with_config(CLOSED)
class RunFailure(TypedDict):
    code: Literal["server_error", "rate_limit_exceeded"]
    message: Annotated[str, Field(description="Begins with the service's own code.")]


@with_config(CLOSED)
class TokensUsed(TypedDict):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


@with_config(CLOSED)
class Truncation(TypedDict):
    type: Literal["auto"]
    last_messages: None


@with_config(CLOSED)
class Run(TypedDict):
    """What its agent decides by its configuration (instructions, a model, tools) is empty."""

    id: Id
    object: Literal["thread.run"]
    created_at: Seconds
    thread_id: Id
    assistant_id: Id | None
    status: RunStatus
    started_at: Seconds | None
    completed_at: Seconds | None
    failed_at: Seconds | None
    cancelled_at: Seconds | None
    expires_at: Seconds | None
    last_error: RunFailure | None
    required_action: RequiredAction | None
    usage: Annotated[TokensUsed | None, Field(description="Of a run that is over.")]
    metadata: Pairs
    incomplete_details: None
    instructions: Annotated[Literal[""], Field(description=_AGENTS)]
    max_completion_tokens: None
    max_prompt_tokens: None
    model: Annotated[Literal[""], Field(description=_AGENTS)]
    parallel_tool_calls: Literal[True]
    response_format: Literal["auto"]
    temperature: None
    tool_choice: Literal["auto"]
    tools: Annotated[Nothing, Field(description=_AGENTS)]
    top_p: None
    truncation_strategy: Truncation


@with_config(CLOSED)
class RunList(TypedDict):
    object: Literal["list"]
    data: list[Run]
    first_id: Id | None
    last_id: Id | None
    has_more: bool
