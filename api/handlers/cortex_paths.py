"""What stands in the paths and queries of Cortex. A path that names no thread is 404, a query can be 400."""

from aiohttp import web

from api.dialects.cortex.models import APPLICATION_LIMIT
from shared.errors import InvalidRequest, NotFound

PAGE, MOST = 20, 100  # messages of a page, the pages' numbers
_DIGITS = 19  # of a number
_LAST = 2**63 - 1  # of Postgres' integers: a page before it begins with the newest message


def number(request: web.Request) -> int:
    """The thread's id. Raises NotFound."""
    given = request.match_info["id"]
    if not _is_number(given):
        raise NotFound
    return int(given)


def page_size(request: web.Request) -> int:
    """How many messages a page has. Raises InvalidRequest."""
    given = request.query.get("page_size") or str(PAGE)
    if not (_is_number(given) and 1 <= int(given) <= MOST):
        raise InvalidRequest(f"page_size: a whole number from 1 to {MOST}.", param="page_size")
    return int(given)


def last_message(request: web.Request) -> int:
    """The number that the messages of the page lie before. Raises InvalidRequest."""
    given = request.query.get("last_message_id") or str(_LAST)
    if not _is_number(given):
        raise InvalidRequest("last_message_id: the id of a message.", param="last_message_id")
    return min(int(given), _LAST)


def application(request: web.Request) -> str | None:
    """Whose threads are listed; None for all. Raises InvalidRequest."""
    given = request.query.get("origin_application") or None
    if given is not None and (not is_text(given) or len(given.encode()) > APPLICATION_LIMIT):
        raise InvalidRequest(
            f"origin_application: at most {APPLICATION_LIMIT} bytes of UTF-8.", param="origin_application"
        )
    return given


def agent_name(request: web.Request) -> str:
    """Raises NotFound where no agent can have that name."""
    name = request.match_info["name"]
    if not is_text(name):
        raise NotFound("There is no such agent.")
    return name


def is_text(given: str) -> bool:
    """Whether Postgres can be asked for it: percent signs spell more than that."""
    return "\0" not in given and not any("\ud800" <= character <= "\udfff" for character in given)


def _is_number(given: str) -> bool:
    return given.isascii() and given.isdigit() and len(given) <= _DIGITS
