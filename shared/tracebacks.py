"""How an error looks in a log: where it happened and of what kind it is, without words that may be a user's.

The message of an exception may quote what was being worked on: a value that Postgres refused, a text that a runner
could not read. Only those errors speak that are about a server or the network. At level `debug` all of them do.
Refused here: importing what raises them; a runner's child shows its errors in the same way.
"""

import traceback
from collections.abc import Iterator

from shared.errors import ThreadmillError

# About the server or the connection, never about a value: connections, transactions, resources, operator, locks.
_OF_THE_SERVER = ("08", "25", "28", "3D", "40", "42501", "53", "55", "57", "58")
_SPEAK = (OSError, TimeoutError, ImportError)
_CLIENTS = ("redis", "asyncpg")  # packages whose own errors are of the connection, where Postgres did not send them
_LIMIT = 500  # characters of a message


class Elsewhere(Exception):
    """An error of another process. Its text is all that was said there; `places` is what a log may have of it."""

    def __init__(self, text: str, places: str) -> None:
        super().__init__(text)
        self.places = places


def kind(error: BaseException, *, verbose: bool = False) -> str:
    """One line: the class, the SQLSTATE or our code where there is one, and the message where it can't be a user's."""
    name = type(error).__name__
    if isinstance(error, Elsewhere):
        return f"{name}: {error if verbose else error.places}"
    if verbose or _speaks(error):
        said = " ".join(str(error).split())[:_LIMIT]
        return f"{name}: {said}" if said else name
    if (sqlstate := _sqlstate(error)) is not None:
        return f"{name} {sqlstate}"
    return f"{name} {error.code}" if isinstance(error, ThreadmillError) else name


def _speaks(error: BaseException) -> bool:
    if (sqlstate := _sqlstate(error)) is not None:
        return sqlstate.startswith(_OF_THE_SERVER)
    ours = isinstance(error, _SPEAK) or type(error).__module__.partition(".")[0] in _CLIENTS
    return ours and not isinstance(error, ValueError)  # which quotes the bytes, or the argument, that was wrong


def _sqlstate(error: BaseException) -> str | None:
    """Of an error that Postgres sent."""
    found = getattr(error, "sqlstate", None)
    return found if isinstance(found, str) else None


def frames(error: BaseException, *, verbose: bool = False) -> str:
    """As Python prints an exception and what led to it, each with one line of `kind`."""
    if verbose:
        return "".join(traceback.format_exception(error)).rstrip()
    return "\n".join(_told(error, set())).rstrip()


def _told(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before is not None and id(before) not in seen:
        yield from _told(before, seen)
        yield "which led to:"
    yield "".join(["Traceback (most recent call last):\n", *traceback.format_tb(error.__traceback__)]).rstrip()
    yield kind(error)
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            if id(one) not in seen:
                yield from _told(one, seen)
