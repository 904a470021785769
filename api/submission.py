"""What a dialect hands to the inbox, and what can come back: values, matched exhaustively by the caller.

Those that are made for every batch are tuples: a frozen dataclass takes several times as long to make.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Flag, auto
from typing import Any, NamedTuple

from shared.ids import AccountId, AgentId, BatchId, BatchRef, FileId, ThreadId, TokenId, Ulid
from shared.models import TokenKind
from shared.views import ThreadView


@dataclass(frozen=True, slots=True)
class NewThread:
    """The thread row that a create makes, in the same statement as its batch."""

    agent: AgentId | None
    created_by_kind: TokenKind
    kind: str = "cattle"
    user_id: str | None = None
    client_external_ref: str | None = None
    attributed_user: Ulid | None = None
    origin_application: str | None = None
    metadata: dict[str, Any] | None = None


class Idempotency(NamedTuple):
    """`key` as the client sent it, trimmed; `route` names method, path and ids; `digest` is over the parsed request."""

    key: str
    route: str
    digest: bytes
    basis: str | None = None  # what the answer is made of beside the outcome, as JSON: kept with the key


class Attachment(NamedTuple):
    """A file that a batch attaches. `name` as its client spells it; `id` None where no file of ours is spelled so."""

    name: str
    id: FileId | None


class Passes(Flag):
    """Which thread states a batch may be accepted in, besides an open one."""

    NOTHING = 0
    ARCHIVED = auto()
    HELD = auto()


class Submission(NamedTuple):
    ref: BatchRef  # unique, minted once for this request, the same at each retry of the flush
    partition: int
    thread: ThreadId
    account: AccountId
    token: TokenId
    events: str  # `shared.events.dump`
    new: NewThread | None = None
    idempotency: Idempotency | None = None
    passes: Passes = Passes.NOTHING
    reply: bool = True  # False: nobody waits for the outcome (`Prefer: respond-async`)
    traceparent: str | None = None  # of the span that it belongs to, where somebody records that
    files: tuple[Attachment, ...] = ()  # that it claims, each once: all of them, or nothing happens

    @property
    def size(self) -> int:
        """Characters that are written of it, nearly."""
        basis = None if self.idempotency is None else self.idempotency.basis
        return len(self.events) + len(basis or "")


class Fresh(NamedTuple):
    """Committed just now. `thread` as it was when the batch was accepted; None where somebody waits for the outcome."""

    batch: BatchId
    accepted_at: datetime
    thread: ThreadView | None


class Replay(NamedTuple):
    """Same key, same request: the outcome of the first one."""

    accepted_at: datetime
    outcome: str
    basis: str | None = None  # as it came with the first one


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Same key, another request."""


@dataclass(frozen=True, slots=True)
class InFlight:
    """Same key, same request, and the first one has no outcome yet."""


@dataclass(frozen=True, slots=True)
class Parked:
    """Same key, same request, and the first one is a dead letter."""


@dataclass(frozen=True, slots=True)
class Missing:
    """No such thread for this account: unknown, another's, or deleted."""


@dataclass(frozen=True, slots=True)
class Archived:
    """The thread is archived, and this batch does not pass that."""


@dataclass(frozen=True, slots=True)
class Held:
    """The thread is held (it has a dead letter), and this batch does not pass that."""


@dataclass(frozen=True, slots=True)
class Unattachable:
    """Files of it can't be attached; `reasons` has a sentence for each of those."""

    reasons: tuple[str, ...]


Judged = Replay | Mismatch | InFlight | Parked
Refused = Missing | Archived | Held | Unattachable
Verdict = Fresh | Judged | Refused


class Applied(NamedTuple):
    """The outcome is known: `{"events", "thread", "warnings"}` as JSON text (`shared.documents.outcome`)."""

    accepted_at: datetime
    outcome: str
    replayed: bool
    basis: str | None = None  # of a replay: what was kept with its key


class Committed(NamedTuple):
    """A batch that is committed, by all that its outcome is found by."""

    ref: BatchRef
    partition: int
    batch: BatchId


class Pending(NamedTuple):
    """Accepted; the outcome is not known within the time the caller would wait."""

    accepted_at: datetime
    thread: ThreadView
    committed: Committed  # for who goes on waiting


Answer = Applied | Pending | Mismatch | InFlight | Parked | Refused
