"""The requests of Cortex as open models: keys that are not known are ignored, null is the same as absent.

TypedDicts, checked in place. Source: the wire contract, section 2. The name's limit is ours: lists show it.
"""

import re
from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, JsonValue, TypeAdapter, with_config
from pydantic.functional_validators import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

APPLICATION_LIMIT = 16  # bytes of UTF-8, the pages' number
NAME_LIMIT = 1_000  # characters
TEXT_LIMIT = 256 * 1024  # bytes of UTF-8 of one message, as in the native dialect
NOTE_LIMIT = 2_000  # characters, as in the native dialect
WORDS = {"allow": True, "allow_once": True, "deny": False, "reject": False, "reject_once": False}
_PARTS = 1_000  # of one message

OPEN = ConfigDict(extra="ignore", strict=True)
DIGITS = 19  # of a number, at most
_NUMBER = re.compile(rf"[0-9]{{1,{DIGITS}}}\Z")


def _application(name: str) -> str:
    if len(name.encode()) > APPLICATION_LIMIT:
        raise PydanticCustomError("too_long", "is longer than {limit} bytes", {"limit": APPLICATION_LIMIT})
    return name


def _number(given: int | str) -> int:
    """A thread made with the documented shapes has its id as a string, and clients send it back like that."""
    if not _NUMBER.match(str(given)):
        raise PydanticCustomError("number", "must be a whole number that is not negative")
    return int(given)


def _parts(content: Any) -> Any:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


Number = Annotated[
    Annotated[int, Field(json_schema_extra={"minimum": 0})]
    | Annotated[str, Field(json_schema_extra={"pattern": f"^[0-9]{{1,{DIGITS}}}$"})],
    AfterValidator(_number),
]
Application = Annotated[
    str,
    AfterValidator(_application),
    Field(description="At most 16 bytes of UTF-8.", json_schema_extra={"maxLength": APPLICATION_LIMIT}),
]
_DECISION: dict[str, JsonValue] = {  # which `decode` reads, here and in a text
    "properties": {"decision": {"enum": [*WORDS]}, "note": {"type": ["string", "null"], "maxLength": NOTE_LIMIT}},
    "required": ["decision"],
}


@with_config(OPEN)
class CreateThread(TypedDict):
    origin_application: NotRequired[Application | None]


@with_config(OPEN)
class UpdateThread(TypedDict):
    thread_name: NotRequired[Annotated[str, Field(max_length=NAME_LIMIT)] | None]


@with_config(OPEN)
class TextPart(TypedDict):
    type: Literal["text"]
    text: str


@with_config(OPEN)
class JsonPart(TypedDict):
    type: Literal["json"]
    json: Annotated[
        dict[str, Any],
        Field(description="`decision`, and maybe a `note`.", json_schema_extra=_DECISION),
    ]


@with_config(OPEN)
class Result(TypedDict):
    """`tool_use_id` is the id of the permission that the run asks for."""

    tool_use_id: Annotated[str, Field(min_length=1, max_length=255)]
    content: Annotated[
        list[Annotated[TextPart | JsonPart, Field(discriminator="type")]], Field(min_length=1, max_length=1)
    ]


@with_config(OPEN)
class ResultPart(TypedDict):
    type: Literal["tool_result"]
    tool_result: Result


Text = Annotated[str, Field(json_schema_extra={"pattern": r"\S"})]  # not blank
Part = Annotated[TextPart | ResultPart, Field(discriminator="type")]
Parts = Annotated[list[Part], Field(min_length=1, max_length=_PARTS, fail_fast=True)]


@with_config(OPEN)
class Message(TypedDict):
    """A user's: text, or decisions."""

    role: Literal["user"]
    content: Annotated[Parts, BeforeValidator(_parts, json_schema_input_type=Text | Parts)]


@with_config(OPEN)
class RunAgent(TypedDict):
    """`messages` holds the one that is new: what came before stands in the thread."""

    thread_id: NotRequired[Annotated[Number | None, Field(description="Left out, a thread is made.")]]
    parent_message_id: NotRequired[Annotated[Number | None, Field(description="A message of the assistant, or 0.")]]
    messages: Annotated[list[Message], Field(min_length=1, max_length=1, fail_fast=True)]
    stream: NotRequired[Annotated[bool | None, Field(description="True unless said otherwise.")]]


@with_config(OPEN)
class RunAgentQuery(TypedDict):
    thread_id: Number


CREATE_THREAD = TypeAdapter(CreateThread)
UPDATE_THREAD = TypeAdapter(UpdateThread)
RUN_AGENT = TypeAdapter(RunAgent)
RUN_AGENT_QUERY = TypeAdapter(RunAgentQuery)
