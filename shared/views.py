"""What readers see of an account's things, as records: no I/O, so that dialects may know them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from shared.effects import EventLogged
from shared.ids import AccountId, AgentId, FileId, MessageId, RequestId, RunId, ThreadId, TokenId, Ulid
from shared.limits import Limits
from shared.models import BusyPolicy, Run, RunError, RunStatus, TokenKind


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a token speaks for. An operator's has no account: it is refused before that is looked at."""

    token: TokenId
    account: AccountId
    kind: TokenKind
    digest: bytes
    limits: Limits | None = None  # None: there are none


@dataclass(frozen=True, slots=True)
class AgentView:
    id: AgentId
    account: AccountId
    name: str
    kind: str  # pet | cattle
    busy_policy: BusyPolicy
    published: bool


class ThreadView(NamedTuple):
    """As much of a thread as its answer shows, in the order of the columns that are read for it."""

    id: ThreadId
    agent: AgentId | None
    kind: str
    title: str | None
    user_id: str | None
    client_external_ref: str | None
    attributed_user: Ulid | None
    created_by: TokenId
    created_by_kind: str
    status: str
    last_run_id: RunId | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class RunView:
    run: Run
    place: int | None  # among the runs that are not finished: 0 is the current one
    output: str | None  # the text of the last assistant message of a completed run


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A permission that a run waits for."""

    id: RequestId
    title: str
    tool: str | None
    input: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class RunRecord:
    run: Run
    usage: dict[str, int] | None  # tokens: input_tokens, output_tokens, total_tokens
    requests: tuple[OpenRequest, ...] = ()  # those that it waits for
    metadata: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class MessageView:
    id: MessageId
    num: int
    role: str
    parts: list[dict[str, Any]]
    parent: int | None  # the number of the message it follows, 0 for none; None: the one before it
    run: RunId | None  # that said it, or answers it
    metadata: dict[str, str]
    request_id: str | None
    created_at: datetime
    incomplete: str | None  # why its run could not finish it

    @property
    def text(self) -> str:
        return "\n".join(part["text"] for part in self.parts if part.get("type") == "text")


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Entries of a thread's log, oldest first: events, the deltas of one message folded into one."""

    entries: tuple[EventLogged, ...]
    truncated: bool  # there are more: older ones, or behind a cursor newer ones


@dataclass(frozen=True, slots=True)
class Numbered:
    """Where a thread lies, and the agent that it is bound to."""

    partition: int
    id: ThreadId
    agent: AgentId | None
    deleted: bool


@dataclass(frozen=True, slots=True)
class Described:
    """What the owner of a thread calls it, and when it changed."""

    partition: int
    id: ThreadId
    num: int
    name: str | None
    origin_application: str | None
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Said:
    id: MessageId
    num: int
    parts: list[dict[str, Any]]

    @property
    def text(self) -> str:
        return "\n".join(part["text"] for part in self.parts if part.get("type") == "text")


class MessagePage(NamedTuple):
    messages: list[MessageView]  # in the order asked for
    next: MessageView | None  # the one that follows them, where there are more


@dataclass(frozen=True, slots=True)
class RunAnswer:
    status: RunStatus
    error: RunError | None
    usage: dict[str, int] | None
    question: int | None  # the number of the message that it answers
    said: list[Said]  # oldest first
    requests: tuple[OpenRequest, ...]


@dataclass(frozen=True, slots=True)
class FileView:
    """A file that is whole."""

    id: FileId
    name: str
    mime_type: str
    size: int  # bytes
    sha256: bytes
    kind: str  # attachment | artifact
    thread: ThreadId | None
    created_at: datetime
    committed: bool = True  # whether the batch that brought it into its thread has been applied
