"""Dead letters as an operator looks for them: by the kinds of their errors, an account's, a thread's, or by their ids.

A `Selection` says which; what is done to dead letters is done to a selection. Refused here: changing any; and reading
what big batches hold where a list of them is asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared import ids
from shared.db.connect import Database
from shared.db.statements import statements
from shared.errors import InvalidRequest
from shared.failures import mark_of
from shared.ids import AccountId, BatchId, ThreadId
from shared.inspect import given
from shared.inspect.batches import LISTED_BYTES, BatchView, view_of
from shared.inspect.counts import COUNTED, Count, counted
from shared.inspect.page import Moment, Number, Page, cut, key_of

SQL = statements("letters")

MOST_IDS = 1_000  # named one by one, on a command line
UNSORTED = "(not sorted yet)"  # parked by a worker of an older version; the next upkeep sorts it


@dataclass(frozen=True, slots=True)
class Selection:
    """Some dead letters: those that match all that is given. `error` is the kind of an error, as `Group` has it.
    `parked_before`: of Postgres' clock; who was told how many there are means none that died behind it. One whose
    time is before it, but whose commit came behind the count, is settled with them: a window of one commit.
    """

    ids: tuple[BatchId, ...] | None = None
    error: str | None = None
    account: AccountId | None = None
    thread: ThreadId | None = None
    parked_before: datetime | None = None

    def __post_init__(self) -> None:
        given.checked("error", self.error)
        if self.ids is not None and len(self.ids) > MOST_IDS:
            raise InvalidRequest(f"`ids` names {len(self.ids):,} dead letters: {MOST_IDS:,} at most.", param="ids")


@dataclass(frozen=True, slots=True)
class Group:
    """Dead letters whose errors are of one kind. What an older version parked keeps the kind that it was given."""

    error: str
    mark: str  # by which logs and the audit log name it
    letters: Count
    first: datetime  # when the first of them was parked
    last: datetime
    age: float  # seconds since the first


@dataclass(frozen=True, slots=True)
class Place:
    """Where a dead letter is, and its key in the order of the pages."""

    partition: int
    id: BatchId
    parked_at: datetime


async def groups(db: Database, limit: int, after: str | None = None) -> list[Group]:
    """The kinds of errors in the order of their texts, at most `limit`, those behind the kind `after`. Those that no
    worker has sorted yet come last, as one. Raises InvalidRequest."""
    given.checked("after", after)
    rows = list(await db.fetch(SQL["kinds"], after, limit, COUNTED + 1)) if after != UNSORTED else []
    if len(rows) < limit:
        unsorted = await db.fetchrow(SQL["unsorted"], COUNTED + 1)
        if unsorted["letters"] and after != UNSORTED:
            rows.append({**unsorted, "kind": UNSORTED})
    return [
        Group(row["kind"], mark_of(row["kind"]), counted(row["letters"]), row["first"], row["last"], row["age"])
        for row in rows
    ]


async def count(db: Database, selection: Selection, *, holding: bool = False) -> Count:
    """How many dead letters there are, up to a bound; where `holding`, how many that hold their threads."""
    if holding:
        return (await counts(db, selection))[1]
    return counted(len(await _places(db, selection, COUNTED + 1, None)))


async def counts(db: Database, selection: Selection) -> tuple[Count, Count]:
    """How many dead letters there are, up to a bound, and how many of these hold their threads: were not skipped."""
    found = await _places(db, selection, COUNTED + 1, None)
    first = found[:COUNTED]
    hold = await db.fetchval(SQL["holding"], [place.partition for place in first], [place.id for place in first])
    return counted(len(found)), Count(hold, at_least=len(found) > COUNTED)


async def places(db: Database, selection: Selection, limit: int, after: str | None) -> Page[Place]:
    """Where they are, the longest parked first; nothing of what they hold is read."""
    found = await _places(db, selection, limit + 1, after)
    return cut(found, limit, lambda place: (place.parked_at, place.id))


async def page(db: Database, selection: Selection, limit: int, after: str | None) -> Page[BatchView]:
    """Dead letters, the longest parked first. The events of a big one are left out: see it alone."""
    found = await places(db, selection, limit, after)
    columns = [place.partition for place in found.items], [place.id for place in found.items]
    rows = await db.fetch(SQL["letters"], *columns, LISTED_BYTES)
    return Page([view_of(row) for row in rows], found.after)


async def held_up(db: Database, partition: int, thread: ThreadId) -> Count:
    """How many batches wait behind the dead letters of a thread."""
    return counted(await db.fetchval(SQL["behind"], partition, thread, COUNTED + 1))


async def _places(db: Database, selection: Selection, limit: int, after: str | None) -> Sequence[Place]:
    parked_at, last = key_of(after, Moment, Number)
    statement, arguments = await _which(db, selection)
    rows = await db.fetch(SQL[statement], parked_at, last, limit, *arguments)
    found = [Place(row["partition"], row["id"], row["parked_at"]) for row in rows]
    end = selection.parked_before  # no part of a statement: each one goes by this time, so the rest is behind it
    return found if end is None else [place for place in found if place.parked_at < end]


async def _which(db: Database, selection: Selection) -> tuple[str, tuple[object, ...]]:
    """The statement whose index has this selection in its order, and what it is asked."""
    account, kind, thread = selection.account, selection.error, selection.thread
    if selection.ids is not None:
        return "of_ids", (selection.ids, account, kind, thread)
    if thread is not None:
        partitions = await db.fetchval(statements("inspect")["partitions"])
        return "of_thread", (ids.partition_of(thread, partitions), thread, account, kind)
    if account is not None:
        return ("of_account", (account,)) if kind is None else ("of_account_and_kind", (account, kind))
    return ("all", ()) if kind is None else ("of_kind", (kind,))
