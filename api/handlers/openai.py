"""What the handlers of the AIML / OpenAI dialect have in common: which of its two forms is spoken, ids and pages in a
request. Refused here: writing (`openai_writes` does).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from api import replies
from api.dialects.openai import encode
from shared import ids
from shared.errors import InvalidRequest, NotFound
from shared.ids import MessageId, RunId, ThreadId, Ulid

_PREFIX = "/v1/"
_BETA = "OpenAI-Beta"  # OpenAI's clients send it with each request for a thread
_MOST, _DEFAULT = 100, 20  # entries of a page


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


def made(request: web.Request, document: Any, headers: Mapping[str, str] | None = None) -> web.Response:
    """The answer to a create."""
    return replies.document(document, 200 if official(request) else 201, headers)


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
