"""What a runner yields: values, told apart by their `type`, which also cross a pipe as JSON.

Source: the runner contract, version 1 (docs/runners.md). A worker refuses anything else: the run fails with
`runner.invalid_output`. `checked` is the one place that says what else is; whoever drives a runner calls it.
"""

import json
from collections.abc import AsyncIterable, Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from os import PathLike
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from shared.errors import InvalidRequest
from shared.files import names
from worker.runners.failing import RunnerError
from worker.runners.storable import DEPTH, is_storable, mended, mended_json, too_deep

LIMIT = 1 << 20  # characters of one field as text: what a row and a client's page can bear
_ID_LIMIT = 255
_NAME_LIMIT = 64  # of `Custom`: clients choose by it
TOKENS_LIMIT = 1_000_000_000  # of each: their sum stands in a column that is an integer
_SECONDS_LIMIT = 1e9  # 31 years: what Postgres can still add to a time


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


Content: TypeAlias = bytes | str | PathLike[str] | AsyncIterable[bytes]


@dataclass(frozen=True, slots=True)
class File:
    """A file for the thread, as an artifact of this run. `content`: bytes; text, which is kept as UTF-8; a path of the
    runner's own machine; or bytes as they come. It is stored, and in `ctx.files`, when the yield is over.

    `name` 1..255 characters and no path; `mime_type` None: what the name says.
    """

    name: str
    content: Content
    mime_type: str | None = None
    type: Literal["file"] = "file"


Plain: TypeAlias = (
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
Output: TypeAlias = Plain | File

# From and to JSON: for what crosses a pipe in one piece.
OUTPUT: TypeAdapter[Plain] = TypeAdapter(Annotated[Plain, Field(discriminator="type")])


def checked(output: object) -> Output:
    """The output as it may be stored: U+0000 and lone surrogates in texts are replaced by U+FFFD, JSON is a copy.

    Raises RunnerError `runner.invalid_output`, which names the field. ~0.5 us for a delta, of which there are many.
    """
    found = _CHECKS.get(type(output))
    if found is None:
        raise invalid(f"a runner yields the outputs of the contract, not {type(output).__name__!r}")
    tag, check = found
    if output.type != tag:  # type: ignore[attr-defined]  # every class of the table has it
        raise invalid(f"{type(output).__name__}.type is not to be set")
    return check(output)


def invalid(why: str) -> RunnerError:
    return RunnerError(f"The runner broke its contract: {why}.", code="runner.invalid_output")


def _delta(output: Any) -> Any:
    text = output.text
    if type(text) is str and len(text) <= LIMIT and is_storable(text):
        return output
    return replace(output, text=_text(output, "text"))


def _message_end(output: Any) -> Any:
    return output


def _tool_started(output: ToolStarted) -> ToolStarted:
    _id(output, "id")
    return replace(output, name=_text(output, "name", 1, _ID_LIMIT), input=_object(output, "input"))


def _tool_completed(output: ToolCompleted) -> ToolCompleted:
    _id(output, "id")
    if type(output.error) is not bool:
        raise _wrong(output, "error", "true or false")
    return output if output.output is None else replace(output, output=_text(output, "output"))


def _permission_request(output: PermissionRequest) -> PermissionRequest:
    _id(output, "id")
    seconds = output.expires_in
    if seconds is not None and not (_is_number(seconds) and 0 < seconds <= _SECONDS_LIMIT):
        raise _wrong(output, "expires_in", "a number of seconds above 0 and at most 1e9, or None")
    return replace(
        output,
        title=_text(output, "title"),
        tool=None if output.tool is None else _text(output, "tool", 1, _ID_LIMIT),
        input=None if output.input is None else _object(output, "input"),
    )


def _checkpoint(output: Checkpoint) -> Checkpoint:
    return replace(output, state=_json(output, "state"))


def _usage(output: Usage) -> Usage:
    for name in ("input_tokens", "output_tokens"):
        tokens = getattr(output, name)
        if type(tokens) is not int or not 0 <= tokens <= TOKENS_LIMIT:
            raise _wrong(output, name, "a whole number from 0 to 1000000000")
    return output


def _custom(output: Custom) -> Custom:
    return replace(output, name=_text(output, "name", 1, _NAME_LIMIT), data=_json(output, "data"))


def _file(output: File) -> File:
    """The type is asked of the name where none is given; neither is believed."""
    try:
        name = names.check_name(_text(output, "name", 1, names.LONGEST))
    except InvalidRequest as error:
        raise _wrong(output, "name", f"the name of a file ({error.message})") from None
    if not isinstance(output.content, bytes | str | PathLike | AsyncIterable):
        raise _wrong(output, "content", "bytes, text, a path or an async iterable of bytes")
    if output.mime_type is not None and not isinstance(output.mime_type, str):
        raise _wrong(output, "mime_type", "text or None")
    given = output.mime_type or names.type_by(name)
    return replace(output, name=name, mime_type=names.type_of(given))


def _text(output: object, name: str, least: int = 0, most: int = LIMIT) -> str:
    text = getattr(output, name)
    if not isinstance(text, str) or not least <= len(text) <= most:
        raise _wrong(output, name, f"text of {least} to {most} characters")
    return mended(text)


def _id(output: object, name: str) -> None:
    """Refused, not mended: the runner would not know it again."""
    if _text(output, name, 1, _ID_LIMIT) != getattr(output, name):
        raise _wrong(output, name, "without U+0000 and lone surrogates")


def _object(output: object, name: str) -> dict[str, Any]:
    if not isinstance(getattr(output, name), dict):
        raise _wrong(output, name, "a JSON object")
    found: dict[str, Any] = _json(output, name)
    return found


def _json(output: object, name: str) -> Any:
    """What comes back after it was stored, which must be what was given."""
    given = getattr(output, name)
    try:
        text = json.dumps(given, allow_nan=False, ensure_ascii=False)
        same = json.loads(text) == given
    except (TypeError, ValueError, RecursionError) as error:
        raise _wrong(output, name, f"a JSON value ({error})") from error
    if not same:
        raise _wrong(output, name, "a JSON value: lists, no tuples, and keys that are text")
    if len(text) > LIMIT:
        raise _wrong(output, name, f"at most {LIMIT} characters as JSON text")
    if too_deep(given):
        raise _wrong(output, name, f"nested at most {DEPTH} levels deep")
    return mended_json(text)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _wrong(output: object, name: str, must_be: str) -> RunnerError:
    return invalid(f"{type(output).__name__}.{name} must be {must_be}")


def _tag(kind: type) -> str:
    return str(next(one.default for one in fields(kind) if one.name == "type"))


_CHECKS: Mapping[type, tuple[str, Callable[[Any], Output]]] = {
    kind: (_tag(kind), check)
    for kind, check in (
        (TextDelta, _delta),
        (ThinkingDelta, _delta),
        (MessageEnd, _message_end),
        (ToolStarted, _tool_started),
        (ToolCompleted, _tool_completed),
        (PermissionRequest, _permission_request),
        (Checkpoint, _checkpoint),
        (Usage, _usage),
        (Custom, _custom),
        (File, _file),
    )
}
