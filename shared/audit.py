"""The audit log: who did what to which thing, when, why, and what came of it.

An entry is written before the deed and ended behind it, in statements of their own: a process that dies in between
leaves an entry without a result, never a deed without an entry. Refused here: changing or removing what was written.
"""

import asyncio
import getpass
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import structlog

from shared.db.connect import Database
from shared.db.statements import statements
from shared.errors import ThreadmillError
from shared.ids import AccountId, TokenId
from shared.tracebacks import kind

log = structlog.get_logger()
SQL = statements("audit")

DONE = "done"
_RESULT_LIMIT = 500  # characters of an error
_TARGET_LIMIT = 500  # characters: what is named is looked for by an index, whose entries have 2,704 bytes at most


class Via(StrEnum):
    CONSOLE = "console"
    CLI = "cli"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, as the log shows it."""

    name: str
    via: Via
    token: TokenId | None = None


@dataclass(slots=True)
class Entry:
    """One deed under way. Whoever does it says how many things it reached, and what came of it where that is less than
    all. `goes_on`: the result where whoever waits for it goes away, and it takes effect all the same."""

    id: int
    touched: int | None = None
    result: str = DONE
    goes_on: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One entry as it is read. `result` None: the deed is under way, or its process died with it."""

    id: int
    at: datetime
    actor: str
    token: TokenId | None
    via: Via
    action: str
    target: str
    account: AccountId | None
    reason: str | None
    touched: int | None
    result: str | None


def command_line() -> Actor:
    """The person at this terminal: the user of the system, and the machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # an id without a name
        user = f"uid {os.getuid()}"
    return Actor(f"{user}@{socket.gethostname()}", Via.CLI)


@asynccontextmanager
async def entry(
    db: Database, actor: Actor, action: str, target: str, *, account: AccountId | None = None, reason: str | None = None
) -> AsyncIterator[Entry]:
    """Writes that `actor` does `action` to `target`; what the block raises is its result.

    `db` must not be in a transaction: what the block did may be rolled back, what is written of it not.
    """
    target = target[:_TARGET_LIMIT]
    id_ = await db.fetchval(SQL["begin"], actor.name, actor.token, actor.via, action, target, account, reason)
    one = Entry(id_)
    try:
        yield one
    except BaseException as error:
        _say(actor, action, target, account, one, error)
        await db.execute(SQL["end"], id_, one.touched, _ended(one, error)[:_RESULT_LIMIT])
        raise
    _say(actor, action, target, account, one)
    await db.execute(SQL["end"], id_, one.touched, one.result[:_RESULT_LIMIT])


def _ended(one: Entry, error: BaseException) -> str:
    """What came of a deed that an error ended, or that nobody waits for any more."""
    if isinstance(error, asyncio.CancelledError) and one.goes_on is not None:
        return one.goes_on
    told = error.message if isinstance(error, ThreadmillError) else kind(error)  # others' may quote what a user sent
    return f"failed: {' '.join(told.split())}"


def _say(
    actor: Actor, action: str, target: str, account: AccountId | None, one: Entry, error: BaseException | None = None
) -> None:
    """A line in the log of the console's process; the command line prints what it does. No reason: that is text."""
    if actor.via is Via.CONSOLE:
        ids = {"actor": actor.name, "account": account, "audit": one.id}
        log.info("an operator acted", action=action, target=target, touched=one.touched, error=error, **ids)


async def reached(db: Database, one: Entry, more: int) -> None:
    """Keeps that the deed has reached so many more things, in the transaction that reaches them: so the log is true
    of a process that dies in the middle. `one.touched` stays as it is.
    """
    await db.execute(SQL["reached"], one.id, more)
