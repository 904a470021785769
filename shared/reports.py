"""What the runners and the clock report of a run.

Reports never pass the inbox: whoever drives the run hands them to `shared.lifecycle.step`. Refused here: the events
of a batch (`shared.events`), and how a runner's outputs become reports (`worker.execute.tape`).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, NamedTuple

from shared.ids import EventId, FileId, MessageId, RequestId, RunId
from shared.models import RunError


@dataclass(frozen=True, slots=True)
class RunLeased:
    """A worker took the run: a queued one boots, one whose permissions are settled is about to go on."""

    run: RunId
    type: ClassVar[str] = "run_leased"


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The runner works."""

    run: RunId
    type: ClassVar[str] = "run_started"


@dataclass(frozen=True, slots=True)
class Ask:
    """One permission that a runner wants before it goes on. Without a time it waits for ever."""

    id: RequestId
    title: str
    tool: str | None = None
    input: dict[str, Any] | None = None
    expires_at: datetime | None = None
    key: str | None = None  # the runner's own name of it
    expires_in: float | None = None  # seconds from when it is asked; instead of `expires_at`


class Entry(NamedTuple):
    """One event that a runner adds to the log; `message` names the message that a delta belongs to."""

    type: str
    content: str | None = None
    status: str = "available"
    tool_call_id: str | None = None
    tool_name: str | None = None
    tool_input: dict[str, Any] | None = None
    tokens: int | None = None
    duration_ms: int | None = None
    message: EventId | None = None


class Spoken(NamedTuple):
    """An assistant's message that is over; `incomplete` says why it is not whole."""

    id: MessageId
    text: str
    incomplete: str | None = None


class Made(NamedTuple):
    """A file that the run made: its bytes are there, and it is ready once this is written down."""

    id: FileId
    name: str
    mime_type: str
    size: int  # bytes
    sha256: bytes


class Tokens(NamedTuple):
    """All that a run has used so far."""

    input: int
    output: int


@dataclass(frozen=True, slots=True)
class RunOutput:
    """What a runner yielded since the last report, in order. `checkpoint` is a JSON text."""

    run: RunId
    entries: tuple[Entry, ...] = ()
    messages: tuple[Spoken, ...] = ()
    checkpoint: str | None = None
    usage: Tokens | None = None
    files: tuple[Made, ...] = ()  # each stands among the entries, too
    type: ClassVar[str] = "run_output"


@dataclass(frozen=True, slots=True)
class RunReleased:
    """The worker that has the run is about to stop; another one goes on from the last checkpoint."""

    run: RunId
    type: ClassVar[str] = "run_released"


@dataclass(frozen=True, slots=True)
class RunWaits:
    """The runner stopped at a checkpoint until its requests are settled."""

    run: RunId
    requests: tuple[Ask, ...]
    type: ClassVar[str] = "run_waits"


@dataclass(frozen=True, slots=True)
class RunResumed:
    """The runner goes on from its checkpoint: every request is settled."""

    run: RunId
    type: ClassVar[str] = "run_resumed"


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The runner is done; `error` says why it failed, None that it did not."""

    run: RunId
    error: RunError | None = None
    type: ClassVar[str] = "run_finished"


@dataclass(frozen=True, slots=True)
class RunExpired:
    """The run's deadline has passed; or a permission's has, and `error` says so."""

    run: RunId
    error: RunError | None = None
    type: ClassVar[str] = "run_expired"


@dataclass(frozen=True, slots=True)
class AttemptLost:
    """The worker that had the run is gone. At `limit` attempts since the last checkpoint the run fails."""

    run: RunId
    limit: int = 3
    type: ClassVar[str] = "attempt_lost"


@dataclass(frozen=True, slots=True)
class RequestExpired:
    """A permission request is past its time, and no batch accepted before that is still to be applied."""

    request: RequestId
    type: ClassVar[str] = "request_expired"


@dataclass(frozen=True, slots=True)
class SteerAcknowledged:
    """The runner took a steering message into account; `run` is the id that was minted for it."""

    run: RunId
    type: ClassVar[str] = "steer_acknowledged"


RunnerEvent = (
    RunLeased
    | RunStarted
    | RunOutput
    | RunReleased
    | RunWaits
    | RunResumed
    | RunFinished
    | RunExpired
    | AttemptLost
    | RequestExpired
    | SteerAcknowledged
)
