"""Writes of the AIML / OpenAI dialect: with an `Idempotency-Key` each happens once, and is told again as at first.

The key is taken here, and a replay is told here. What an answer shows is of three kinds: what the request says, which
is the same at each repetition; what the batch came to, which its outcome holds; and what neither of them does, an id
that was minted for the request, or a thing as it was before. The last is the `basis`: it is stored with the key, in the
statement that accepts the batch, so that no answer is lost with whoever gives it. Refused here: spelling any of it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from aiohttp import web
from pydantic_core import from_json, to_json

from api import negotiation
from api.handlers import openai
from api.handlers.door import Door, taken
from api.submission import Applied, Idempotency, NewThread, Passes, Pending
from shared.effects import WarningCode
from shared.errors import Conflict, InvalidRequest, NotFound, ReadinessBlocked, ServiceInactive, ThreadmillError
from shared.events import Event
from shared.ids import ThreadId
from shared.views import Caller

_KEPT = 2 << 20  # characters of a basis: an edit keeps the message, which is as large as one request could make it
_TRY_AGAIN = 2  # seconds; an outcome takes milliseconds, and longer only where something is wrong
_GONE = frozenset({WarningCode.THREAD_DELETED, WarningCode.RUN_NOT_FOUND, WarningCode.MESSAGE_NOT_FOUND})
# Of several decisions some may come too late: the others have had their effect, and are told.
_LATE = frozenset({WarningCode.PERMISSION_ALREADY_DECIDED, WarningCode.PERMISSION_EXPIRED})


class Asked(NamedTuple):
    """A batch, and what its answer is made of beside its outcome."""

    thread: ThreadId
    batch: Sequence[Event]
    basis: Any = None
    new: NewThread | None = None
    passes: Passes = Passes.NOTHING


@dataclass(frozen=True, slots=True)
class Told:
    """What a write came to, now or when its key was first used."""

    accepted_at: datetime
    thread: ThreadId
    thread_made_at: datetime
    outcome: Any  # `{"events", "thread", "warnings"}`; None where that is not known yet
    basis: Any  # as it was submitted
    replayed: bool

    @property
    def headers(self) -> Mapping[str, str] | None:
        return negotiation.REPLAYED if self.replayed else None

    @property
    def applied_at(self) -> datetime:
        """When the last event of a batch that changed its thread was applied."""
        return datetime.fromisoformat(self.outcome["thread"]["updated_at"])

    def settled(self) -> None:
        """Raises ServiceInactive where it is not applied: it may be sent again."""
        if self.outcome is None:
            raise ServiceInactive("The change is accepted, and not applied yet.", retry_after=_TRY_AGAIN)

    def edited(self) -> Any:
        """The basis with the metadata that its edit left. Raises ServiceInactive."""
        self.settled()
        left = [event["metadata"] for event in self.outcome["events"] if "metadata" in event]
        return self.basis | {"metadata": left[-1]} if left else self.basis


@dataclass(frozen=True, slots=True)
class Write:
    """One request that writes, its body read."""

    door: Door
    request: web.Request
    caller: Caller
    wait: float  # seconds
    key: Idempotency | None

    async def tell(self, prepare: Callable[[], Awaitable[Asked]]) -> Told:
        """What the key stands for, where it was used before; else what comes of that which is prepared.

        A replay wins over all that `prepare` looks at: the thread, its agent, the message or the run. Where it finds
        them missing or otherwise than they must be, the first request may be what made them so since. Raises what
        `prepare` and `submit` raise.
        """
        if (told := await self._recall()) is not None:
            return told
        await self.door.admit(self.request, self.caller)
        try:
            asked = await prepare()
        except (NotFound, InvalidRequest, Conflict):
            if (told := await self._recall()) is not None:
                return told
            raise
        return await self.submit(asked, admitted=True)

    async def submit(self, asked: Asked, *, admitted: bool = False) -> Told:
        """Sends a batch, and waits for its outcome as long as a request may, because this dialect has no word for a
        pending one.

        What it made is told from the outcome, and not read again: a read that fails would be a 503, which clients
        repeat. Raises what the door raises; NotFound, ReadinessBlocked where an event had no effect.
        """
        kept = None if asked.basis is None else to_json(asked.basis).decode()
        if self.key is not None and len(kept or "") > _KEPT:
            raise InvalidRequest("Idempotency-Key: the answer is too large to be kept. Send the request without a key.")
        answer = await self.door.submit(
            self.request,
            self.caller,
            asked.thread,
            asked.batch,
            self.wait,
            new=asked.new,
            idempotency=None if self.key is None else self.key._replace(basis=kept),
            passes=asked.passes,
            admitted=admitted,
        )
        return _told(answer, kept)

    async def _recall(self) -> Told | None:
        known = None if self.key is None else await self.door.inbox.recall(self.caller.token, self.key)
        return None if known is None else _told(taken(known), None)


def begin(door: Door, request: web.Request, caller: Caller, path: str, document: dict[str, Any]) -> Write:
    """`path` has its ids in their one spelling and no prefix; `document` is what the request asks for, in its one form.

    The two forms of this dialect answer differently: they are two routes for a key. Raises InvalidRequest.
    """
    prefix = "/v1" if openai.official(request) else ""
    key = negotiation.idempotency(request, f"{request.method} {prefix}{path}", document)
    return Write(door, request, caller, door.patience(request), key)


def _told(answer: Applied | Pending, kept: str | None) -> Told:
    """`kept`: the basis of a batch that went in now. It is read as a replay reads it, so that both tell the same."""
    if isinstance(answer, Pending):
        thread = answer.thread
        return Told(answer.accepted_at, thread.id, thread.created_at, None, from_json(kept or "null"), replayed=False)
    outcome, basis = from_json(answer.outcome), answer.basis if answer.replayed else kept
    if (refused := _refusal(outcome)) is not None:
        refused.replayed = answer.replayed
        raise refused
    made = outcome["thread"]
    made_at = datetime.fromisoformat(made["created_at"])
    return Told(answer.accepted_at, made["id"], made_at, outcome, from_json(basis or "null"), answer.replayed)


def _refusal(outcome: Any) -> ThreadmillError | None:
    """Why an event had no effect: for its key, too, whatever is the case by now."""
    late = [warning for warning in outcome["warnings"] if warning["code"] in _LATE]
    for warning in outcome["warnings"]:
        if warning in late and len(late) < len(outcome["events"]):
            continue
        if warning["code"] == WarningCode.METADATA_FULL:
            return InvalidRequest(warning["message"], param="metadata")
        return NotFound() if warning["code"] in _GONE else ReadinessBlocked(warning["message"])
    return NotFound() if outcome["thread"] is None else None  # discarded by an operator, and its thread is gone
