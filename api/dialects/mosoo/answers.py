"""The answers of Mosoo v1, as types: what `encode` writes. They describe (OpenAPI) and are held against real answers
by the tests; nothing is checked by them while the service runs.
"""

from datetime import datetime
from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from shared.effects import WarningCode
from shared.ids import PATTERN
from shared.models import RunStatus, ThreadStatus, Trigger

CLOSED = ConfigDict(extra="forbid")
Id = Annotated[str, Field(pattern=PATTERN)]


class RunFailure(TypedDict):
    __pydantic_config__ = CLOSED  # type: ignore[misc]  # pydantic's place for it in a TypedDict

    code: str
    message: str
    retryable: bool


class RunOutput(TypedDict):
    __pydantic_config__ = CLOSED  # type: ignore[misc]  # as above

    text: str


class Run(TypedDict):
    """Times are null as long as they have not come; a run that is only expected has none."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]  # as above

    completedAt: datetime | None
    createdAt: datetime | None
    error: RunFailure | None
    finalOutput: RunOutput | None
    id: Id
    startedAt: datetime | None
    status: RunStatus
    trigger: Trigger
    updatedAt: datetime | None


class QueuedRun(Run):
    """A run and its place: 0 for the current one, 1 for the next, null for a finished one."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]  # as above

    queuePosition: int | None


class Creator(TypedDict):
    __pydantic_config__ = CLOSED  # type: ignore[misc]  # as above

    id: Id
    kind: Literal["human_pat", "service_token"]


class AttributedUser(TypedDict):
    __pydantic_config__ = CLOSED  # type: ignore[misc]  # as above

    id: Id


class Thread(TypedDict):
    __pydantic_config__ = CLOSED  # type: ignore[misc]  # as above

    agent_id: Id | None
    attributed_user: AttributedUser | None
    client_external_ref: str | None
    created_at: datetime
    created_by: Creator
    id: Id
    kind: Literal["pet", "cattle"]
    last_run_id: Id | None
    source: Literal["api"]
    status: ThreadStatus
    title: str | None
    updated_at: datetime
    userId: str | None


class Warned(TypedDict):
    """What an event could not do, or did otherwise than its sender may expect."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]  # as above

    code: WarningCode
    message: str
    eventIndex: int
    runId: NotRequired[Id]


class Links(TypedDict):
    __pydantic_config__ = CLOSED  # type: ignore[misc]  # as above

    thread: str


class ThreadWithRun(TypedDict):
    """A thread and its last run."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]  # as above

    links: Links
    run: Run | None
    thread: Thread


class CreatedThread(ThreadWithRun):
    __pydantic_config__ = CLOSED  # type: ignore[misc]  # as above

    warnings: NotRequired[list[Warned]]


class EventResult(TypedDict):
    """One event of a batch, in the order sent: the run as it was right after it."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]  # as above

    clientRequestId: str | None
    requestId: str | None
    run: Run | None
    type: Literal["user_message", "permission_decision", "user_interrupt"]


class SentEvents(TypedDict):
    __pydantic_config__ = CLOSED  # type: ignore[misc]  # as above

    acceptedAt: datetime
    events: list[EventResult]
    thread: Thread
    warnings: list[Warned]


class Threads(TypedDict):
    __pydantic_config__ = CLOSED  # type: ignore[misc]  # as above

    threads: list[Thread]
    truncated: bool


class Runs(TypedDict):
    __pydantic_config__ = CLOSED  # type: ignore[misc]  # as above

    runs: list[QueuedRun]
    truncated: bool


class Event(TypedDict):
    """One entry of a thread's log. Its id is the cursor of pages and streams."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]  # as above

    content: str | None
    durationMs: int | None
    id: Id
    occurredAt: datetime
    runId: Id | None
    status: Literal["available", "error", "unsupported"]
    tokens: int | None
    type: str
    requestId: NotRequired[str]
    toolCallId: NotRequired[str]
    toolInput: NotRequired[dict[str, Any]]
    toolName: NotRequired[str]


class Events(TypedDict):
    """Oldest first; `truncated`: there are more, older ones or, behind a cursor, newer ones."""

    __pydantic_config__ = CLOSED  # type: ignore[misc]  # as above

    events: list[Event]
    truncated: bool


class Done(TypedDict):
    __pydantic_config__ = CLOSED  # type: ignore[misc]  # as above

    ok: Literal[True]
    warnings: NotRequired[list[Warned]]


class Reason(TypedDict):
    __pydantic_config__ = CLOSED  # type: ignore[misc]  # as above

    code: str
    message: str


class Error(TypedDict):
    __pydantic_config__ = CLOSED  # type: ignore[misc]  # as above

    error: Reason


class Description(TypedDict):
    """An OpenAPI document."""

    openapi: str
    info: dict[str, Any]
    paths: dict[str, Any]
