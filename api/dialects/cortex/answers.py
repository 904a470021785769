"""The answers of Cortex, as types: what `encode` and `frames` write. They describe (OpenAPI) and are held against real
answers by the tests; nothing is checked by them while the service runs.
"""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from shared.ids import PATTERN

CLOSED = ConfigDict(extra="forbid")
ThreadNumber = Annotated[int, Field(ge=1_000_000_000, le=2**53 - 1, description="The thread's id.")]
MessageNumber = Annotated[int, Field(ge=1)]
Milliseconds = Annotated[int, Field(description="Milliseconds since 1970, UTC.")]
ThreadDigits = Annotated[str, Field(pattern="^[0-9]{10,16}$", examples=["1000000000"])]


@with_config(CLOSED)
class Metadata(TypedDict):
    """What is known of a thread. `updated_on` moves with each new message."""

    thread_id: ThreadNumber
    thread_name: Annotated[str, Field(description="Empty where it has none.")]
    origin_application: Annotated[str, Field(description="Empty where it was not said.")]
    created_on: Milliseconds
    updated_on: Milliseconds


@with_config(CLOSED)
class ThreadMessage(TypedDict):
    message_id: MessageNumber
    parent_id: Annotated[
        MessageNumber | None, Field(description="The message that it was said to follow, else the one before it.")
    ]
    created_on: Milliseconds
    role: Literal["user", "assistant"]
    message_payload: Annotated[
        str,
        Field(
            description="`documented`: the text. `live`: JSON, `{role, content: [{type: text, text}]}`, in a string."
        ),
    ]
    request_id: Annotated[str, Field(description="Of the request that brought it; empty where that is not known.")]


@with_config(CLOSED)
class ThreadPage(TypedDict):
    """A thread, and its messages, newest first."""

    metadata: Metadata
    messages: list[ThreadMessage]


@with_config(CLOSED)
class Updated(TypedDict):
    status: Annotated[str, Field(pattern="^Thread [0-9]+ successfully updated\\.$")]


@with_config(CLOSED)
class Deleted(TypedDict):
    success: Literal[True]


@with_config(CLOSED)
class SaidText(TypedDict):
    type: Literal["text"]
    text: str


@with_config(CLOSED)
class PermissionInput(TypedDict):
    title: str
    input: NotRequired[Annotated[dict[str, Any], Field(description="What the tool would get.")]]


@with_config(CLOSED)
class ToolUse(TypedDict):
    """A permission that the agent asks for; a `tool_result` with this id decides it."""

    tool_use_id: Annotated[str, Field(pattern=PATTERN)]
    type: Literal["request_permission"]
    name: Annotated[str, Field(description="The tool that waits for it.")]
    input: PermissionInput


@with_config(CLOSED)
class ToolUsePart(TypedDict):
    type: Literal["tool_use"]
    tool_use: ToolUse


@with_config(CLOSED)
class Usage(TypedDict, total=False):
    """Tokens, where the agent says how many it took."""

    input_tokens: int
    output_tokens: int
    total_tokens: int


@with_config(CLOSED)
class AnswerMetadata(TypedDict):
    run_id: Annotated[str, Field(pattern=PATTERN)]
    thread_id: ThreadNumber
    user_message_id: MessageNumber | None
    assistant_message_id: Annotated[MessageNumber | None, Field(description="The last message of the answer.")]
    usage: Usage | None


@with_config(CLOSED)
class AgentAnswer(TypedDict):
    """What an agent answered: its texts, and what it waits for a decision on."""

    role: Literal["assistant"]
    content: list[Annotated[SaidText | ToolUsePart, Field(discriminator="type")]]
    metadata: AnswerMetadata


@with_config(CLOSED)
class Error(TypedDict):
    """`code` is 399 and the status; `error_code` is the service's own."""

    message: str
    code: Annotated[str, Field(pattern="^399[0-9]{3}$", examples=["399404"])]
    error_code: Annotated[str, Field(examples=["not_found"])]
    request_id: str


@with_config(CLOSED)
class Kept(TypedDict):
    role: Literal["user", "assistant"]
    thread_id: ThreadNumber
    message_id: MessageNumber | None


@with_config(CLOSED)
class MessageKept(Kept):
    metadata: Annotated[Kept, Field(description="The same again, where clients of the live service look for it.")]


@with_config(CLOSED)
class StatusTold(TypedDict):
    status: Literal["queued", "running", "executing_tool", "waiting_input"]
    message: str


@with_config(CLOSED)
class TextTold(TypedDict):
    """`content_index` tells the messages of one answer apart."""

    content_index: Annotated[int, Field(ge=0)]
    text: str
