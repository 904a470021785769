"""What an operator confirmed is done once, however often the button is pressed: the id of the page that asked decides.

The second press waits for the first one and is told what came of it, also where that was stopped; where its process was
killed, that it ended without a word. Refused here: knowing what is done.
"""

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import asyncpg
import structlog

from api.console.guard import HOME
from api.console.pages import Done
from api.console.servers import DEED_PATIENCE, STOPPED, Busy, PostgresAway, Servers, TookLong
from api.console.sessions import LoginOver
from shared.db.connect import AWAY
from shared.db.statements import statements
from shared.errors import InvalidRequest, ThreadmillError

log = structlog.get_logger()
SQL = statements("console")

Work: TypeAlias = Callable[[asyncpg.Connection | None], Awaitable[Done]]  # None: it goes another way
Lend: TypeAlias = Callable[[], AbstractAsyncContextManager[asyncpg.Connection]]  # a connection for a moment

FIELD = "deed"  # of the form
_SHAPE = re.compile(r"[A-Za-z0-9_-]{16,64}\Z")
_PATIENCE = 10.0  # seconds that a second press waits for the first one
_LOOK_EVERY = 0.1  # seconds
_LAST_WORD = 2.0  # seconds to keep what came of a deed
ENDED = DEED_PATIENCE + 5.0  # seconds: what is older, and has not ended, never will
_STOPPED = "It was stopped. What it reached is done, and counted in the audit log: do it anew for the rest."
_SILENT = "It ended without a word: the audit log says what was done."


@dataclass(frozen=True, slots=True)
class Told:
    """What the first press did. `text` None: it is still being done."""

    text: str | None
    place: str | None


def mint() -> str:
    return secrets.token_urlsafe(16)


def checked(given: str) -> str:
    """Raises InvalidRequest."""
    if not _SHAPE.match(given):
        raise InvalidRequest("This form is not whole. Nothing was done: go back, reload, and try again.")
    return given


class Once:
    """One deed of one login."""

    def __init__(self, servers: Servers, session: bytes, id_: str) -> None:
        self._servers = servers
        self._key = session, id_

    async def do(self, work: Work, *, apart: bool) -> Done | Told:
        """Does it, or tells what came of it. Raises LoginOver, PostgresAway, Busy, TookLong, and what `work` raises."""
        done = await (self._apart(work) if apart else self._connected(work))
        if done is None:  # another press came between
            return await self.told() or Told(None, None)
        return done

    async def _connected(self, work: Work) -> Done | None:
        async with self._servers.deed() as db:
            if not await self._begin(db):
                return None
            return await self._ended(work(db), partial(nullcontext, db))

    async def _apart(self, work: Work) -> Done | None:
        """It takes no place and no connection from other deeds, however long it waits."""
        async with self._servers.connection() as db:
            if not await self._begin(db):
                return None
        try:
            async with asyncio.timeout(DEED_PATIENCE) as limit:
                return await self._ended(work(None), self._servers.connection)
        except STOPPED as error:
            raise TookLong from error
        except AWAY as error:
            if limit.expired():
                raise TookLong from error
            log.warning("Postgres went away under a deed", error=repr(error))
            raise PostgresAway from error

    async def _begin(self, db: asyncpg.Connection) -> bool:
        """Takes a deed: whether it is to be done now, because nobody took it before. Raises LoginOver: the door may
        have looked long before the form came, or where nobody could look.
        """
        row = await db.fetchrow(SQL["begin"], *self._key)
        if row is None:
            raise LoginOver
        return bool(row["taken"])

    async def _ended(self, work: Awaitable[Done], lend: Lend) -> Done:
        """However it ends, the next press is told."""
        try:
            done = await work
        except asyncio.CancelledError:  # its time is over, or its process ends
            await self._end(lend, _STOPPED, HOME)
            raise
        except ThreadmillError as error:
            await self._end(lend, f"It was refused: {error.message}", HOME)
            raise
        except Exception:
            await self._end(lend, "It failed: the audit log and the service's log say how.", HOME)
            raise
        await self._end(lend, done.text, done.to)
        return done

    async def _end(self, lend: Lend, text: str, place: str) -> None:
        """What can't be kept changes nothing of what was done: a later press is told that it ended without a word."""
        try:
            async with asyncio.timeout(_LAST_WORD), lend() as db:
                await db.execute(SQL["end"], *self._key, text, place)
        except (PostgresAway, Busy, *AWAY) as error:
            log.warning("what came of a deed is not kept", error=repr(error))

    async def told(self) -> Told | None:
        """What came of it where it was taken; None where it was not. It waits with no connection in hand."""
        told = None
        for _ in range(round(_PATIENCE / _LOOK_EVERY)):
            async with self._servers.connection() as db:
                row = await db.fetchrow(SQL["done"], *self._key)
            told = Told(row["told"], row["place"]) if row is not None else None
            if row is None or row["told"] is not None:
                break
            if row["age"] > ENDED:
                return Told(_SILENT, None)
            await asyncio.sleep(_LOOK_EVERY)
        return told
