"""The answers of Mosoo v1, as types: what `encode` writes. They describe (OpenAPI) and are held against real answers
by the tests; nothing is checked by them while the service runs.
"""

from datetime import datetime
from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from shared.effects import WarningCode
from shared.ids import PATTERN
from shared.models import RunStatus, ThreadStatus, Trigger

CLOSED = ConfigDict(extra="forbid")
Id = Annotated[str, Field(pattern=PATTERN)]


@with_config(CLOSED)
class RunFailure(TypedDict):
    code: str
    message: str
    retryable: bool


@with_config(CLOSED)
class RunOutput(TypedDict):
    text: str


@with_config(CLOSED)
class Run(TypedDict):
    """Times are null as long as they have not come; a run that is only expected has none."""

    completedAt: datetime | None
    createdAt: datetime | None
    error: RunFailure | None
    finalOutput: RunOutput | None
    id: Id
    startedAt: datetime | None
    status: RunStatus
    trigger: Trigger
    updatedAt: datetime | None


@with_config(CLOSED)
class QueuedRun(Run):
    """A run and its place: 0 for the current one, 1 for the next, null for a finished one."""

    queuePosition: int | None


@with_config(CLOSED)
class File(TypedDict):
    """`size` in bytes; `mimeType` as it was sent, which nobody checked."""

    id: Id
    name: str
    size: int
    mimeType: str
    createdAt: datetime


@with_config(CLOSED)
class OneFile(TypedDict):
    file: File


@with_config(CLOSED)
class ThreadFile(File):
    """`committed`: the batch that brought it has been applied."""

    kind: Literal["attachment", "artifact"]
    committed: bool


@with_config(CLOSED)
class Files(TypedDict):
    files: list[ThreadFile]
    truncated: bool


@with_config(CLOSED)
class Creator(TypedDict):
    id: Id
    kind: Literal["human_pat", "service_token"]


@with_config(CLOSED)
class AttributedUser(TypedDict):
    id: Id


@with_config(CLOSED)
class Thread(TypedDict):
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


@with_config(CLOSED)
class Warned(TypedDict):
    """What an event could not do, or did otherwise than its sender may expect."""

    code: WarningCode
    message: str
    eventIndex: int
    runId: NotRequired[Id]


@with_config(CLOSED)
class Links(TypedDict):
    thread: str


@with_config(CLOSED)
class ThreadWithRun(TypedDict):
    """A thread and its last run."""

    links: Links
    run: Run | None
    thread: Thread


@with_config(CLOSED)
class CreatedThread(ThreadWithRun):
    warnings: NotRequired[list[Warned]]


@with_config(CLOSED)
class EventResult(TypedDict):
    """One event of a batch, in the order sent: the run as it was right after it."""

    clientRequestId: str | None
    requestId: str | None
    run: Run | None
    type: Literal["user_message", "permission_decision", "user_interrupt"]


@with_config(CLOSED)
class SentEvents(TypedDict):
    acceptedAt: datetime
    events: list[EventResult]
    thread: Thread
    warnings: list[Warned]


@with_config(CLOSED)
class Threads(TypedDict):
    threads: list[Thread]
    truncated: bool


@with_config(CLOSED)
class Runs(TypedDict):
    runs: list[QueuedRun]
    truncated: bool


@with_config(CLOSED)
class EditedRun(TypedDict):
    """The run after the edit; with `apply_pending` as it was when the time was up, null where it was not there yet."""

    run: Run | None
    warnings: NotRequired[list[Warned]]


@with_config(CLOSED)
class Event(TypedDict):
    """One entry of a thread's log. Its id is the cursor of pages and streams."""

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


@with_config(CLOSED)
class Events(TypedDict):
    """Oldest first; `truncated`: there are more, older ones or, behind a cursor, newer ones."""

    events: list[Event]
    truncated: bool


@with_config(CLOSED)
class Done(TypedDict):
    ok: Literal[True]
    warnings: NotRequired[list[Warned]]


@with_config(CLOSED)
class Reason(TypedDict):
    code: str
    message: str


@with_config(CLOSED)
class Error(TypedDict):
    error: Reason


@with_config(CLOSED)
class OpenRequest(TypedDict):
    id: Id
    title: str


@with_config(CLOSED)
class ToldOf(TypedDict):
    account: Id
    agent: Id
    thread: Id
    run: Run
    requests: NotRequired[list[OpenRequest]]


@with_config(CLOSED)
class Told(TypedDict):
    """What an agent's webhook is told: a run ended, or waits for permissions (`requests`). `finalOutput` is always
    null here; the run has it."""

    type: Literal["run.completed", "run.failed", "run.cancelled", "run.waiting_input"]
    timestamp: datetime
    data: ToldOf
