"""The requests of Mosoo v1 as closed models: both generations of field names, every limit.

TypedDicts, checked in place: a model of classes would build objects that `decode` takes apart again. What one field
can't say (two spellings at once) is `decode`'s. Source: the wire contract, section 1; its pages name the limits.
Optional fields may be null, which is the same as absent.
"""

from typing import Annotated, Literal, NotRequired

from pydantic import ConfigDict, Field, JsonValue, TypeAdapter, with_config
from pydantic.functional_validators import AfterValidator
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from shared.ids import PATTERN
from shared.models import BusyPolicy

TEXT_LIMIT = 256 * 1024  # bytes of UTF-8 of one user_message
INPUT_LIMIT = 32_000  # characters of the joined text that a thread begins with
EVENTS_LIMIT = 100  # of one batch
FILES_LIMIT = 100  # of one request: a page of a thread's files, and a statement of milliseconds

# Extra keys are forbidden here; no text is made a number or the other way round.
CLOSED = ConfigDict(extra="forbid", strict=True)


def _closed(**pairs: tuple[str, str]) -> ConfigDict:
    """As CLOSED; of each pair of names, given with the type of their values, a request may set only one."""
    rules: list[JsonValue] = [
        {"not": {"required": [name, other], "properties": {name: {"type": kind}, other: {"type": kind}}}}
        for name, (other, kind) in pairs.items()
    ]
    return ConfigDict(extra="forbid", strict=True, json_schema_extra={"allOf": rules})


def _message_text(text: str) -> str:
    if not text or text.isspace():
        raise PydanticCustomError("blank", "must not be blank")
    if len(text) * 4 > TEXT_LIMIT and len(text.encode()) > TEXT_LIMIT:
        raise PydanticCustomError("too_long", "is longer than {limit} bytes", {"limit": TEXT_LIMIT})
    return text


Id = Annotated[str, Field(pattern=PATTERN, examples=["01J00000000000000000000009"])]
FileId = Annotated[
    str,
    Field(
        pattern=rf"^(file_[0-9A-Za-z_-]{{1,64}}|{PATTERN[1:-1]})$",
        description="`file_` and 1 to 64 characters, or a ULID.",
        examples=["file_01KQX0V62MEXAMPLE7W6X3B2A"],
    ),
]
ClientRequestId = Annotated[
    str, Field(min_length=1, max_length=255, description="The same one in the same thread starts nothing twice.")
]
MessageText = Annotated[
    str,
    AfterValidator(_message_text),
    Field(description="Not blank; at most 256 KiB of UTF-8.", json_schema_extra={"pattern": r"\S"}),
]


@with_config(CLOSED)
class TextPart(TypedDict):
    type: Literal["text"]
    text: str


@with_config(CLOSED)
class ThreadInput(TypedDict):
    """The first message of a thread: its parts joined with a newline are 1 to 32,000 characters."""

    type: Literal["user.message"]
    content: Annotated[list[TextPart], Field(fail_fast=True, json_schema_extra={"minItems": 1})]


@with_config(CLOSED)
class FileHandle(TypedDict):
    file_id: FileId


@with_config(CLOSED)
class FileResource(TypedDict):
    type: Literal["file"]
    file_id: FileId


_ONCE: dict[str, JsonValue] = {"uniqueItems": True}  # told here, and refused where all files are known
_FILES = Field(max_length=FILES_LIMIT, fail_fast=True, json_schema_extra=_ONCE)
FileIds = Annotated[list[FileId], _FILES]
Handles = Annotated[list[FileHandle], _FILES]
Resources = Annotated[list[FileResource], _FILES]


@with_config(_closed(files=("resources", "array")))
class CreateThread(TypedDict):
    """`files` and `resources` are the two generations' names of one thing: send one of them."""

    input: NotRequired[ThreadInput | None]
    client_external_ref: NotRequired[
        Annotated[str, Field(max_length=255, description="The client's own name of it.")] | None
    ]
    attributed_user_id: NotRequired[Annotated[Id, Field(description="A user of the account.")] | None]
    userId: NotRequired[
        Annotated[str, Field(min_length=1, max_length=255, description="A user of the application.")] | None
    ]
    files: NotRequired[Handles | None]
    resources: NotRequired[Resources | None]


@with_config(_closed(clientRequestId=("requestId", "string"), attachmentIds=("resources", "array")))
class UserMessage(TypedDict):
    """`clientRequestId` and `requestId`, `attachmentIds` and `resources` are two names of one thing each."""

    type: Literal["user_message"]
    text: MessageText
    clientRequestId: NotRequired[ClientRequestId | None]
    requestId: NotRequired[ClientRequestId | None]
    attachmentIds: NotRequired[FileIds | None]
    resources: NotRequired[Resources | None]
    on_busy: NotRequired[
        Annotated[
            BusyPolicy | None, Field(strict=False, description="What to do while a run is active; else the agent says.")
        ]
    ]


@with_config(CLOSED)
class PermissionDecision(TypedDict):
    type: Literal["permission_decision", "permission-decision"]
    requestId: Annotated[str, Field(min_length=1, max_length=255, description="The id of what is asked.")]
    decision: Literal["allow_once", "reject_once"]
    note: NotRequired[Annotated[str, Field(max_length=2000)] | None]


@with_config(CLOSED)
class UserInterrupt(TypedDict):
    type: Literal["user_interrupt", "interrupt"]
    runId: NotRequired[Annotated[Id | None, Field(description="Left out, the run that is active.")]]


Event = Annotated[UserMessage | PermissionDecision | UserInterrupt, Field(discriminator="type")]


@with_config(CLOSED)
class SendEvents(TypedDict):
    """A batch: applied in order, all of it or none."""

    events: Annotated[list[Event], Field(min_length=1, max_length=EVENTS_LIMIT, fail_fast=True)]


@with_config(CLOSED)
class EditRun(TypedDict):
    """Another text for the message of a run that is still queued."""

    text: MessageText


CREATE_THREAD = TypeAdapter(CreateThread)
SEND_EVENTS = TypeAdapter(SendEvents)
EDIT_RUN = TypeAdapter(EditRun)
