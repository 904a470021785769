"""What the handlers of the AIML / OpenAI dialect have in common: which of its two forms is spoken, ids and pages in a
request, and what a batch came to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aiohttp import web
from pydantic_core import from_json

from api import replies
from api.dialects.openai import encode
from api.handlers.door import Door
from api.submission import Applied, NewThread, Passes, Pending
from shared import ids
from shared.effects import WarningCode
from shared.errors import InvalidRequest, NotFound, ReadinessBlocked, ServiceInactive, ThreadmillError
from shared.events import Event
from shared.ids import MessageId, RunId, ThreadId, Ulid
from shared.views import Caller

_PREFIX = "/v1/"
_BETA = "OpenAI-Beta"  # OpenAI's clients send it with each request for a thread
_MOST, _DEFAULT = 100, 20  # entries of a page
_TRY_AGAIN = 2  # seconds; an outcome takes milliseconds, and longer only where something is wrong
_GONE = frozenset({WarningCode.THREAD_DELETED, WarningCode.RUN_NOT_FOUND, WarningCode.MESSAGE_NOT_FOUND})


@dataclass(frozen=True, slots=True)
class Window:
    """Which page of a list is asked for. The cursors are exclusive."""

    limit: int
    descending: bool
    after: Ulid | None
    before: Ulid | None

    @property
    def backward(self) -> bool:
        """Whether the page is the one that ends just before its cursor: read from there, shown the other way round."""
        return self.after is None and self.before is not None

    @property
    def reads_descending(self) -> bool:
        return self.descending is not self.backward

    @property
    def bounds(self) -> tuple[Ulid | None, Ulid | None]:
        """The cursors as what lies below the page's entries and what lies above them, each exclusive."""
        return (self.before, self.after) if self.descending else (self.after, self.before)

    def shown(self, found: Sequence[Any]) -> tuple[list[Any], bool]:
        """The page of what was read, one entry more than it may have; and whether there are more."""
        page = list(found[: self.limit])
        return page[::-1] if self.backward else page, len(found) > self.limit


def official(request: web.Request) -> bool:
    """Whether OpenAI's own form is spoken; the other one is AIML's."""
    return request.path.startswith(_PREFIX) or _BETA in request.headers


def made(request: web.Request, document: Any) -> web.Response:
    """The answer to a create."""
    return replies.document(document, 200 if official(request) else 201)


def listed(request: web.Request, entries: Sequence[Any], more: bool) -> web.Response:
    return replies.document(encode.page(entries, more) if official(request) else entries)


def thread_id(request: web.Request) -> ThreadId:
    return ThreadId(_id(request.match_info["threadId"], "thread"))


def message_id(request: web.Request) -> MessageId:
    return MessageId(_id(request.match_info["messageId"], "message"))


def run_id(request: web.Request) -> RunId:
    return RunId(_id(request.match_info["runId"], "run"))


def run_filter(request: web.Request) -> RunId | None:
    given = request.query.get("run_id")
    return None if given is None else RunId(_id(given, "run"))


def _id(text: str, kind: str) -> Ulid:
    value = ids.parse(text)
    if value is None:
        raise NotFound(f"There is no such {kind}.")
    return value


def window(request: web.Request) -> Window:
    """Raises InvalidRequest, which names the parameter."""
    order = request.query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise InvalidRequest("order: asc or desc.", param="order")
    return Window(_limit(request), order == "desc", _cursor(request, "after"), _cursor(request, "before"))


def _limit(request: web.Request) -> int:
    given = request.query.get("limit", str(_DEFAULT))
    if not (given.isascii() and given.isdigit() and len(given) <= 6 and 1 <= int(given) <= _MOST):
        raise InvalidRequest(f"limit: a whole number from 1 to {_MOST}.", param="limit")
    return int(given)


def _cursor(request: web.Request, name: str) -> Ulid | None:
    given = request.query.get(name)
    if given is None:
        return None
    value = ids.parse(given)
    if value is None:
        raise unknown(name)
    return value


def unknown(name: str) -> InvalidRequest:
    """The cursor of this name is none."""
    return InvalidRequest(f"{name}: there is no such entry in this list.", param=name)


async def submit(
    door: Door,
    caller: Caller,
    thread: ThreadId,
    batch: Sequence[Event],
    new: NewThread | None = None,
    passes: Passes = Passes.NOTHING,
) -> Applied | Pending:
    """Sends a batch, and waits for its outcome as long as a request may: this dialect has no word for a pending one.

    What it made is told from the outcome, and not read again: a read that fails would be a 503, which clients repeat.
    Raises what the door raises; NotFound, ReadinessBlocked where an event had no effect.
    """
    answer = await door.submit(caller, thread, batch, door.settings.wait_limit, new=new, passes=passes)
    if isinstance(answer, Applied):
        for warning in from_json(answer.outcome)["warnings"]:
            raise _refusal(warning["code"], warning["message"])
    return answer


def _refusal(code: str, message: str) -> ThreadmillError:
    if code == WarningCode.METADATA_FULL:
        return InvalidRequest(message, param="metadata")
    return NotFound() if code in _GONE else ReadinessBlocked(message)


def applied_at(answer: Applied) -> datetime:
    """When the last event of a batch that changed its thread was applied."""
    return datetime.fromisoformat(from_json(answer.outcome)["thread"]["updated_at"])


def thread_made_at(answer: Applied | Pending) -> datetime:
    """When the thread of a batch was made. Raises NotFound where it is gone."""
    if isinstance(answer, Pending):
        return answer.thread.created_at
    made = from_json(answer.outcome)["thread"]
    if made is None:
        raise NotFound
    return datetime.fromisoformat(made["created_at"])


def settled(answer: Applied | Pending) -> None:
    """An edit answers with what it left, and so must be applied. Raises ServiceInactive: it may be sent again."""
    if isinstance(answer, Pending):
        raise ServiceInactive("The change is accepted, and not applied yet.", retry_after=_TRY_AGAIN)
