"""Runs of all threads, listed by what an operator asks of them: under way, waiting for a decision, stuck, ended badly.

Each list goes by an index of its own, a page at a time. Refused here: finding a run by its id alone, and runs that
ended well over all threads: no index leads to these.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeAlias

import asyncpg

from shared import ids
from shared.db.connect import Database
from shared.db.records import run_of
from shared.db.statements import statements
from shared.errors import InvalidRequest
from shared.ids import AccountId, RequestId, ThreadId, Ulid
from shared.inspect.page import Id, Moment, Number, Page, Small, cursor, cut, key_of
from shared.models import EXECUTING, TERMINAL, Run, RunStatus

SQL = statements("running")

LOST = 5.0  # seconds since a lease ran out: workers find one in half a second
OVERDUE = 10.0  # seconds past a deadline: the same
SILENT = 300.0  # seconds without a word: a model that thinks for longer is rare
READY = 30.0  # seconds that a run waits for a worker: with room for it, milliseconds
UNANSWERED = 3_600.0  # seconds that a request waits which never expires: it waits for ever
LOOKED = 2_000  # runs of a thread, for a page of those of one status
LEASES = 10_000  # looked at for one page: as many runs as a hundred workers execute


class Stuck(StrEnum):
    """Why a run is taken to be stuck."""

    LOST = "lost"
    OVERDUE = "overdue"
    SILENT = "silent"
    READY = "ready"
    UNANSWERED = "unanswered"


WHY = {
    Stuck.LOST: "Its worker's lease ran out and no other worker took it: are there workers with the role execute?",
    Stuck.OVERDUE: "It is past its deadline and was not ended: are there workers with the role execute?",
    Stuck.SILENT: f"It executes and logged nothing for {SILENT / 60:.0f} minutes: interrupt it if its runner hangs.",
    Stuck.READY: f"It has waited for a worker for more than {READY:.0f} s: all are full, or none has the role execute.",
    Stuck.UNANSWERED: "It has waited for a decision for over an hour, and its request never expires: decide it.",
}


@dataclass(frozen=True, slots=True)
class Request:
    """An open permission request. Ages are seconds."""

    id: RequestId
    title: str
    tool_name: str | None
    tool_input: str | None  # its beginning, as JSON
    created_at: datetime
    expires_at: datetime | None
    age: float
    expires_in: float | None


@dataclass(frozen=True, slots=True)
class ListedRun:
    """A run in a list, and whose it is. Ages are seconds."""

    thread: ThreadId
    run: Run
    title: str | None
    account: AccountId
    account_name: str
    agent_name: str | None
    worker: Ulid | None
    age: float
    since: float  # it changed
    ready_since: float | None  # its thread's current run waits for a worker
    took: float | None
    stuck: Stuck | None = None
    request: Request | None = None


_Key: TypeAlias = tuple[int, ThreadId, Ulid]
_Section: TypeAlias = Callable[[Database, int, str | None], Awaitable[Page[ListedRun]]]


async def active(db: Database, limit: int, after: str | None, status: RunStatus | None = None) -> Page[ListedRun]:
    """Runs that are not over, thread by thread. Raises InvalidRequest for a status of those that are."""
    if status in TERMINAL:
        raise InvalidRequest(
            f"Runs that are {status} are listed thread by thread: name one with --thread.", param="status"
        )
    partition, thread, seq = key_of(after, Small, Id, Number)
    name = "executing" if status in EXECUTING else "active"
    rows = await db.fetch(SQL[name], partition, thread, seq, limit + 1, status)
    return await _shown(db, cut(rows, limit, lambda row: (row["partition"], row["thread"], row["seq"])))


async def waiting(db: Database, limit: int, after: str | None) -> Page[ListedRun]:
    """Runs that wait for a permission, one for each request, the longest waiting first."""
    at, last = key_of(after, Moment, Id)
    return await _asking(db, limit, await db.fetch(SQL["asking"], at, last, limit + 1))


async def failed(db: Database, limit: int, after: str | None) -> Page[ListedRun]:
    """Runs that failed or expired, the latest first."""
    at, last = key_of(after, Moment, Id)
    rows = await db.fetch(SQL["failed"], at, last, limit + 1)
    return await _shown(db, cut(rows, limit, lambda row: (row["completed_at"], row["id"])))


async def of_thread(
    db: Database, partition: int, thread: ThreadId, limit: int, after: str | None, status: RunStatus | None = None
) -> Page[ListedRun]:
    """A thread's runs, the latest first. Of one status, over or not, `LOOKED` of them are looked at for a page: it may
    be short and have a next one."""
    (last,) = key_of(after, Id)
    if status is None:
        rows = await db.fetch(SQL["of_thread"], partition, thread, last, limit + 1)
        return await _shown(db, cut(rows, limit, lambda row: (row["id"],)))
    rows = await db.fetch(SQL["of_status"], partition, thread, last, limit + 1, status, LOOKED)
    page = cut([row for row in rows if row["id"] is not None], limit, lambda row: (row["id"],))
    if page.after is None and rows[0]["looked"] == LOOKED:
        page = Page(page.items, cursor(rows[0]["reached"]))
    return await _shown(db, page)


async def stuck(db: Database, limit: int, after: str | None) -> Page[ListedRun]:
    """Runs that do not get on: those with leases, then those that wait for a worker, then those without an answer."""
    place, inner = key_of(after, Small, str | None)
    found: list[ListedRun] = []
    for n in range(place or 0, len(_SECTIONS)):
        page = await _SECTIONS[n](db, limit - len(found), inner)
        found += page.items
        inner = None
        if page.after is not None:
            return Page(found, cursor(n, page.after))
        if len(found) >= limit:
            return Page(found, cursor(n + 1, None) if n + 1 < len(_SECTIONS) else None)
    return Page(found, None)


async def _leased(db: Database, limit: int, after: str | None) -> Page[ListedRun]:
    partition, thread = key_of(after, Small, Id)
    now: datetime = await db.fetchval(statements("sweep")["clock"])
    quiet = ids.earliest(now - timedelta(seconds=SILENT))
    look = (partition, thread, LEASES, limit, LOST, OVERDUE, quiet, SILENT)
    rows = await db.fetch(SQL["leased"], *look)
    found = [row for row in rows if row["id"] is not None]
    place: str | None = None
    if len(found) == limit:
        place = cursor(found[-1]["partition"], found[-1]["thread"])
    elif rows[0]["last_partition"] is not None:
        place = cursor(rows[0]["last_partition"], rows[0]["last_thread"])
    page = await _shown(db, Page(found, place))
    return Page([_with(one, Stuck(row["reason"])) for one, row in _pairs(page, found)], place)


async def _ready(db: Database, limit: int, after: str | None) -> Page[ListedRun]:
    at, last = key_of(after, Moment, Id)
    rows = await db.fetch(SQL["ready"], at, last, limit + 1, READY)
    page = await _shown(db, cut(rows, limit, lambda row: (row["ready_at"], row["thread"])))
    return Page([_with(one, Stuck.READY) for one in page.items], page.after)


async def _unanswered(db: Database, limit: int, after: str | None) -> Page[ListedRun]:
    at, last = key_of(after, Moment, Id)
    page = await _asking(db, limit, await db.fetch(SQL["unanswered"], at, last, limit + 1, UNANSWERED))
    return Page([_with(one, Stuck.UNANSWERED, one.request) for one in page.items], page.after)


_SECTIONS: tuple[_Section, ...] = (_leased, _ready, _unanswered)


async def _asking(db: Database, limit: int, rows: Sequence[asyncpg.Record]) -> Page[ListedRun]:
    page = cut(rows, limit, lambda row: (row["created_at"], row["request"]))
    shown = await _shown(db, page)
    return Page([_with(one, None, _request(row)) for one, row in _pairs(shown, page.items)], page.after)


async def _shown(db: Database, page: Page[asyncpg.Record]) -> Page[ListedRun]:
    """The runs at these keys. One that was removed meanwhile is left out."""
    keys: list[_Key] = [(row["partition"], row["thread"], row["id"]) for row in page.items]
    columns = [list(column) for column in zip(*keys, strict=True)] if keys else [[], [], []]
    return Page([_listed(row) for row in await db.fetch(SQL["shown"], *columns)], page.after)


def _pairs(page: Page[ListedRun], rows: Sequence[asyncpg.Record]) -> list[tuple[ListedRun, asyncpg.Record]]:
    """Each row with its run. A run may be there more than once, for more than one request."""
    runs = {one.run.id: one for one in page.items}
    return [(runs[row["id"]], row) for row in rows if row["id"] in runs]


def _with(one: ListedRun, stuck: Stuck | None, request: Request | None = None) -> ListedRun:
    return replace(one, stuck=stuck, request=request)


def _request(row: asyncpg.Record) -> Request:
    return Request(
        id=row["request"],
        title=row["title"],
        tool_name=row["tool_name"],
        tool_input=row["tool_input"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        age=row["age"],
        expires_in=row["expires_in"],
    )


def _listed(row: asyncpg.Record) -> ListedRun:
    return ListedRun(
        thread=row["thread"],
        run=run_of(row),
        title=row["title"],
        account=row["account"],
        account_name=row["account_name"],
        agent_name=row["agent_name"],
        worker=row["owner"],
        age=row["age"],
        since=row["since"],
        ready_since=row["ready_since"],
        took=row["took"],
    )
