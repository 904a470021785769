"""Threads as an operator looks for them: by what they are called, whose they are, and how they are.

What no index knows (part of a title, a status) is looked for among the next threads of an index, a bounded number at a
time: a page may show few and still not be the last one, and says how many it looked at. Refused here: reading on until
something is found.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from shared.db.connect import Database
from shared.db.records import thread_of
from shared.db.statements import statements
from shared.errors import InvalidRequest
from shared.ids import AccountId, AgentId, Ulid
from shared.inspect import given
from shared.inspect.page import Id, Moment, Page, cursor, key_of
from shared.models import Thread, ThreadStatus

SQL = statements("search")

LOOKED = 20_000  # threads that one page looks at where something must match: some ten milliseconds
LONGEST = 200  # characters of what is looked for
_NONE = Ulid("0" * 26)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What must be true of a thread, as far as it is given. `agent` goes with `account`."""

    account: AccountId | None = None
    agent: AgentId | None = None
    title: str | None = None  # a part of it, in upper or lower case
    external_ref: str | None = None  # exactly
    status: ThreadStatus | None = None
    archived: bool | None = None
    held: bool = False

    def __post_init__(self) -> None:
        for name, value in (("title", self.title), ("external_ref", self.external_ref)):
            given.checked(name, value, LONGEST)
        if self.agent is not None and self.account is None:
            raise InvalidRequest("`agent` is looked for within its account: name that as well.", param="account")
        others = (self.agent, self.title, self.external_ref, self.status, self.archived)
        if self.held and any(value is not None for value in others):
            raise InvalidRequest("Held threads are listed by account or all: leave the rest out.", param="held")
        if self.external_ref is not None and any(v is not None for v in (self.agent, self.title, self.status)):
            raise InvalidRequest("An external ref is looked for alone, or within an account.", param="external_ref")

    @property
    def matches(self) -> bool:
        """Whether some of those that are read may not match."""
        return self.title is not None or self.status is not None or self.archived is not None


@dataclass(frozen=True, slots=True)
class Found:
    """A page of threads. `looked`: among how many; None where an index led to these."""

    page: Page[Thread]
    looked: int | None


async def find(db: Database, wanted: Wanted, limit: int, after: str | None) -> Found:
    """Held threads and those of all accounts the newest first, an account's the latest changed first, those of an
    external ref account by account. Deleted ones are left out. Raises InvalidRequest for a broken cursor."""
    if wanted.external_ref is not None:
        return await _referred(db, wanted, limit, after)
    if wanted.held:
        return await _held(db, wanted, limit, after)
    if wanted.account is not None:
        return await _changed(db, wanted, limit, after)
    return await _newest(db, wanted, limit, after)


async def names(db: Database, threads: Sequence[Thread]) -> dict[str, str]:
    """What the accounts and agents of these threads are called, by their ids."""
    accounts = {thread.account for thread in threads}
    agents = {thread.agent for thread in threads if thread.agent is not None}
    rows = await db.fetch(SQL["names"], sorted(accounts), sorted(agents))
    return {row["id"]: row["name"] for row in rows}


async def called(db: Database, thread: Thread) -> tuple[int | None, str | None]:
    """The number of a thread, and what its owner calls it."""
    row = await db.fetchrow(SQL["called"], thread.partition, thread.id)
    return (None, None) if row is None else (row["num"], row["name"])


async def _newest(db: Database, wanted: Wanted, limit: int, after: str | None) -> Found:
    (last,) = key_of(after, Id)
    partitions: int = await db.fetchval(statements("inspect")["partitions"])
    most = max(limit + 1, LOOKED // partitions) if wanted.matches else limit + 1
    rows = await db.fetch(SQL["newest"], last, most, limit + 1, wanted.title, wanted.status, wanted.archived)
    return _found(rows, limit, wanted.matches, ("id",))


async def _changed(db: Database, wanted: Wanted, limit: int, after: str | None) -> Found:
    at, last = key_of(after, Moment, Id)
    streams = 1 if wanted.agent is not None else 1 + await db.fetchval(SQL["owners"], wanted.account)
    most = max(limit + 1, LOOKED // streams) if wanted.matches else limit + 1
    place = (wanted.account, wanted.agent, at, last or _NONE, most, limit + 1)
    rows = await db.fetch(SQL["changed"], *place, wanted.title, wanted.status, wanted.archived)
    return _found(rows, limit, wanted.matches, ("updated_at", "id"))


async def _held(db: Database, wanted: Wanted, limit: int, after: str | None) -> Found:
    (last,) = key_of(after, Id)
    most = LOOKED if wanted.account is not None else limit + 1
    rows = await db.fetch(SQL["held"], last, most, limit + 1, wanted.account)
    return _found(rows, limit, wanted.account is not None, ("id",))


async def _referred(db: Database, wanted: Wanted, limit: int, after: str | None) -> Found:
    account, last = key_of(after, Id, Id)
    rows = await db.fetch(SQL["referred"], wanted.external_ref, account, last, limit + 1, wanted.account)
    return _found(rows, limit, False, ("account", "id"))


def _found(rows: Sequence[asyncpg.Record], limit: int, matched: bool, key: Sequence[str]) -> Found:
    """The page goes on behind its last thread where there are more of them, else behind the last that was looked at."""
    shown = [row for row in rows if row["id"] is not None]
    threads = [thread_of(row) for row in shown[:limit]]
    if len(shown) > limit:
        after = cursor(*(shown[limit - 1][name] for name in key))
    elif matched and rows and rows[0]["last_id"] is not None:
        last = {"id": rows[0]["last_id"], "updated_at": rows[0]["last_at"]}
        after = cursor(*(last[name] for name in key))
    else:
        after = None
    return Found(Page(threads, after), rows[0]["looked"] if matched and rows else None)
