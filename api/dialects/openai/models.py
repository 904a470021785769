"""The requests of the AIML / OpenAI dialect as models: what they must have, and every limit.

Keys that the service has no use for are ignored: clients send many (`tools`, `temperature`), and run against endpoints
that know only some of them. Null is the same as absent. Source: the wire contract, section 3.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, PlainValidator, TypeAdapter, WithJsonSchema, with_config
from pydantic.functional_validators import BeforeValidator
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from shared.models import METADATA_LIMIT

PAIRS = METADATA_LIMIT
KEY_LIMIT = 64  # characters
VALUE_LIMIT = 512  # characters
TEXT_LIMIT = 256 * 1024  # bytes of UTF-8 of one message: as many as a native one may have
MESSAGES_LIMIT = 100  # of one request: as many events as a native batch may have
OUTPUT_LIMIT = 4_999  # of one request: a run may ask for many permissions at once, and a body holds no more of them

OPEN = ConfigDict(extra="ignore", strict=True)


def _metadata(value: Any) -> dict[str, str | None]:
    """Of something new: nulls count as absent."""
    return _checked(value, lambda given: given is not None)


def _change(value: Any) -> dict[str, str | None]:
    """Of an edit: what it sets is counted, and not what it removes."""
    return _checked(value, lambda given: given not in (None, ""))


def _checked(value: Any, counts: Callable[[Any], bool]) -> dict[str, str | None]:
    if not isinstance(value, dict):
        raise PydanticCustomError("metadata", "must be an object")
    if sum(map(counts, value.values())) > PAIRS:
        raise PydanticCustomError("metadata", "has more than {most} pairs", {"most": PAIRS})
    for key, given in value.items():
        if given is not None:
            _check_pair(key, given)
    return value


def _check_pair(key: str, given: Any) -> None:
    if len(key) > KEY_LIMIT:
        raise PydanticCustomError("metadata", "has a key of more than {most} characters", {"most": KEY_LIMIT})
    if not isinstance(given, str):
        raise PydanticCustomError("metadata", "must have strings as values: {key} has another", {"key": key})
    if len(given) > VALUE_LIMIT:
        words = "must have values of at most {most} characters: {key} has a longer one"
        raise PydanticCustomError("metadata", words, {"most": VALUE_LIMIT, "key": key})


def _parts(value: Any) -> list[dict[str, Any]]:
    """The parts of a message as they are stored."""
    texts = [value] if isinstance(value, str) else _texts(value)
    if all(not text or text.isspace() for text in texts):
        raise PydanticCustomError("content", "must not be blank")
    if sum(len(text.encode()) for text in texts) > TEXT_LIMIT:
        raise PydanticCustomError("content", "is longer than {most} bytes", {"most": TEXT_LIMIT})
    return [{"type": "text", "text": text} for text in texts]


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise PydanticCustomError("content", "must be a string or a list of text parts")
    for part in value:
        if not (isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)):
            raise PydanticCustomError("content", "must hold parts of type text with a text, and no others")
    return [part["text"] for part in value]


def _no_files(value: Any) -> None:
    if not (value is None or isinstance(value, list)):
        raise PydanticCustomError("attachments", "must be a list")
    if value:
        raise PydanticCustomError("attachments", "must be empty: there are no files yet")


def _no_null(value: Any) -> Any:
    return [] if value is None else value


def pairs(*kinds: str) -> WithJsonSchema:
    """Metadata, described: values of these kinds."""
    value = {"type": list(kinds) if len(kinds) > 1 else kinds[0], "maxLength": VALUE_LIMIT}
    keys = {"maxLength": KEY_LIMIT}
    limit = f"At most {PAIRS} pairs; null counts as absent, and removes in an edit, as an empty text does."
    about = {"description": limit} if "null" in kinds else {"maxProperties": PAIRS}
    return WithJsonSchema({"type": "object", "propertyNames": keys, "additionalProperties": value} | about)


_PART = {
    "type": "object",
    "properties": {"type": {"const": "text"}, "text": {"type": "string"}},
    "required": ["type", "text"],
}
Stream = Annotated[bool | None, Field(description="Whether to answer with server-sent events; false unless said.")]
Metadata = Annotated[dict[str, str | None], PlainValidator(_metadata), pairs("string", "null")]
Change = Annotated[dict[str, str | None], PlainValidator(_change), pairs("string", "null")]
Content = Annotated[
    list[dict[str, Any]],
    PlainValidator(_parts),
    WithJsonSchema(
        {
            "description": f"Not blank; together at most {TEXT_LIMIT:,} bytes of UTF-8.",
            "anyOf": [{"type": "string", "pattern": r"\S"}, {"type": "array", "minItems": 1, "items": _PART}],
        }
    ),
]
Attachments = Annotated[
    None,
    PlainValidator(_no_files),
    WithJsonSchema({"type": ["array", "null"], "maxItems": 0, "description": "Empty: there are no files yet."}),
]


@with_config(OPEN)
class Message(TypedDict):
    role: Literal["user", "assistant"]
    content: Content
    metadata: NotRequired[Metadata | None]
    attachments: NotRequired[Attachments]


_Messages = Annotated[list[Message], Field(max_length=MESSAGES_LIMIT, fail_fast=True)]
Messages = Annotated[_Messages, BeforeValidator(_no_null, json_schema_input_type=_Messages | None)]


@with_config(OPEN)
class NewThread(TypedDict):
    messages: NotRequired[Messages]
    metadata: NotRequired[Metadata | None]


@with_config(OPEN)
class Edit(TypedDict):
    """Of a message, of a thread."""

    metadata: NotRequired[Change | None]


@with_config(OPEN)
class NewRun(TypedDict):
    assistant_id: Annotated[str, Field(description="The id of an agent.")]
    additional_messages: NotRequired[Messages]
    metadata: NotRequired[Metadata | None]
    stream: NotRequired[Stream]


@with_config(OPEN)
class NewThreadAndRun(TypedDict):
    assistant_id: Annotated[str, Field(description="The id of an agent.")]
    thread: NotRequired[NewThread | None]
    metadata: NotRequired[Metadata | None]
    stream: NotRequired[Stream]


@with_config(OPEN)
class ToolOutput(TypedDict):
    tool_call_id: Annotated[str, Field(description="As in `required_action`; each call once.")]
    output: Annotated[str, Field(description='`{"decision": "allow"}` or `{"decision": "deny"}`, or the word alone.')]


@with_config(OPEN)
class ToolOutputs(TypedDict):
    tool_outputs: Annotated[list[ToolOutput], Field(min_length=1, max_length=OUTPUT_LIMIT, fail_fast=True)]
    stream: NotRequired[Stream]


MESSAGE = TypeAdapter(Message)
NEW_THREAD = TypeAdapter(NewThread)
EDIT = TypeAdapter(Edit)
NEW_RUN = TypeAdapter(NewRun)
NEW_THREAD_AND_RUN = TypeAdapter(NewThreadAndRun)
TOOL_OUTPUTS = TypeAdapter(ToolOutputs)
