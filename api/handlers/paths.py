"""What stands in a request's path and query: ids, pages, flags. A malformed one is 400 and names itself."""

from aiohttp import web

from shared import ids
from shared.errors import InvalidRequest
from shared.ids import AgentId, EventId, FileId, RunId, ThreadId, Ulid


def agent_id(request: web.Request) -> AgentId:
    return AgentId(_id(request.match_info["agentId"], "agentId"))


def thread_id(request: web.Request) -> ThreadId:
    return ThreadId(_id(request.match_info["threadId"], "threadId"))


def run_id(request: web.Request) -> RunId:
    return RunId(_id(request.match_info["runId"], "runId"))


def file_id(request: web.Request) -> FileId:
    """With or without `file_` before it, as where it is attached."""
    given = request.match_info["fileId"]
    return ids.parse_file(given) or FileId(_id(given, "fileId"))


def after(request: web.Request) -> Ulid | None:
    """The id that a page begins behind."""
    given = request.query.get("after")
    return None if given is None else _id(given, "after")


def event_after(request: web.Request) -> EventId | None:
    given = after(request)
    return None if given is None else EventId(given)


def stream_cursor(request: web.Request) -> EventId | None:
    """The id that a stream goes on behind: `Last-Event-ID`, else `after`, which is for those who can't set headers."""
    given = request.headers.get("Last-Event-ID", "").strip()
    return EventId(_id(given, "Last-Event-ID")) if given else event_after(request)


def until_run(request: web.Request) -> bool:
    """Whether a stream ends with the current run. Raises InvalidRequest."""
    given = request.query.get("until")
    if given not in (None, "run"):
        raise InvalidRequest("until: run, or left out.")
    return given is not None


def limit(request: web.Request, most: int, default: int = 100) -> int:
    """How many entries a page has. Raises InvalidRequest."""
    given = request.query.get("limit")
    if given is None:
        return default
    if not (given.isascii() and given.isdigit() and len(given) <= 6 and 1 <= int(given) <= most):
        raise InvalidRequest(f"limit: a whole number from 1 to {most}.")
    return int(given)


def flag(request: web.Request, name: str) -> bool:
    """`true` or `false`; absent is false. Raises InvalidRequest."""
    given = request.query.get(name, "false")
    if given not in ("true", "false"):
        raise InvalidRequest(f"{name}: true or false.")
    return given == "true"


def _id(text: str, name: str) -> Ulid:
    value = ids.parse(text)
    if value is None:
        raise InvalidRequest(f"{name}: not an id (26 characters of Crockford's base 32).")
    return value
