"""What a runner yields: values, told apart by their `type`, which also cross a pipe as JSON.

Source: the runner contract, version 1 (docs/runners.md). A worker refuses anything else: the run fails with
`runner.invalid_output`.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, TypeAdapter


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the assistant's message. Pieces up to a `MessageEnd`, or the end of the run, are one message."""

    text: str
    type: Literal["text_delta"] = "text_delta"


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    """A piece of what the model thinks: logged and streamed, no part of a message."""

    text: str
    type: Literal["thinking_delta"] = "thinking_delta"


@dataclass(frozen=True, slots=True)
class MessageEnd:
    """The assistant's message is whole; a later `TextDelta` begins another one."""

    type: Literal["message_end"] = "message_end"


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """A tool is being used. `id` is of this call, 1..255 characters; `input` a JSON object."""

    id: str
    name: str
    input: dict[str, Any] = field(default_factory=dict)
    type: Literal["tool_started"] = "tool_started"


@dataclass(frozen=True, slots=True)
class ToolCompleted:
    """A tool is done. `output` as text; `error`: it failed, which does not fail the run."""

    id: str
    output: str | None = None
    error: bool = False
    type: Literal["tool_completed"] = "tool_completed"


@dataclass(frozen=True, slots=True)
class PermissionRequest:
    """Asks the thread's user before the runner goes on. Any number of them, then the runner returns: the run waits,
    without a worker. When all are settled `run` is called anew, with `ctx.decisions[id]` and the last checkpoint.

    `id` is the runner's own name of it, 1..255 characters, unique in the run. `expires_in` in seconds; None: it waits
    for ever.
    """

    id: str
    title: str
    tool: str | None = None
    input: dict[str, Any] | None = None
    expires_in: float | None = None
    type: Literal["permission_request"] = "permission_request"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What `ctx.state` is, should the runner be called again: after a wait, a crash, or a worker that is stopped.
    Any JSON value, at most 1 MiB as text. What was yielded before it is not expected again.
    """

    state: Any
    type: Literal["checkpoint"] = "checkpoint"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that were used since the last `Usage`; a run's are added up."""

    input_tokens: int = 0
    output_tokens: int = 0
    type: Literal["usage"] = "usage"


@dataclass(frozen=True, slots=True)
class Custom:
    """Anything else, for clients that know it: `name` 1..64 characters, `data` any JSON value."""

    name: str
    data: Any = None
    type: Literal["custom"] = "custom"


Output: TypeAlias = (
    TextDelta
    | ThinkingDelta
    | MessageEnd
    | ToolStarted
    | ToolCompleted
    | PermissionRequest
    | Checkpoint
    | Usage
    | Custom
)

# From and to JSON: for what crosses a pipe.
OUTPUT: TypeAdapter[Output] = TypeAdapter(Annotated[Output, Field(discriminator="type")])
