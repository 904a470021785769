"""What an operator confirmed is done once, however often the button is pressed: the id of the page that asked decides.

The second press waits for the first one and is told what came of it. Refused here: knowing what is done.
"""

import asyncio
import re
import secrets
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TypeAlias

import asyncpg

from api.console.sessions import LoginOver
from shared.db.statements import statements
from shared.errors import InvalidRequest

SQL = statements("console")

Lend: TypeAlias = Callable[[], AbstractAsyncContextManager[asyncpg.Connection]]  # a connection for one look

FIELD = "deed"  # of the form
_SHAPE = re.compile(r"[A-Za-z0-9_-]{16,64}\Z")
_PATIENCE = 10.0  # seconds that a second press waits for the first one
_LOOK_EVERY = 0.1  # seconds


@dataclass(frozen=True, slots=True)
class Told:
    """What the first press did. `text` None: it is still being done, or its process died."""

    text: str | None
    place: str | None


def mint() -> str:
    return secrets.token_urlsafe(16)


def checked(given: str) -> str:
    """Raises InvalidRequest."""
    if not _SHAPE.match(given):
        raise InvalidRequest("This form is not whole. Nothing was done: go back, reload, and try again.")
    return given


async def begin(db: asyncpg.Connection, session: bytes, id_: str) -> bool:
    """Takes a deed: whether it is to be done now, because nobody took it before. Raises LoginOver: the door may have
    looked long before the form came, or where nobody could look.
    """
    row = await db.fetchrow(SQL["begin"], session, id_)
    if row is None:
        raise LoginOver
    return bool(row["taken"])


async def told_before(lend: Lend, session: bytes, id_: str) -> Told | None:
    """What came of a deed that was taken; None where it was not. It waits with no connection in hand."""
    told = None
    for _ in range(round(_PATIENCE / _LOOK_EVERY)):
        async with lend() as db:
            row = await db.fetchrow(SQL["done"], session, id_)
        told = Told(row["told"], row["place"]) if row is not None else None
        if told is None or told.text is not None:
            break
        await asyncio.sleep(_LOOK_EVERY)
    return told


async def end(db: asyncpg.Connection, session: bytes, id_: str, text: str, place: str) -> None:
    await db.execute(SQL["end"], session, id_, text, place)
