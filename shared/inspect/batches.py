"""Batches as an operator sees them: where each stands, how old it is, why, and what happens to it next.

Refused here: reading what big batches hold where a list of them is asked for.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import asyncpg
from pydantic_core import from_json

from shared import ids
from shared.db.connect import Database
from shared.db.statements import statements
from shared.errors import NotFound
from shared.ids import AccountId, BatchId, BatchRef, ThreadId, TokenId
from shared.inspect.page import FIRST, Id, Number, Page, Small, cursor, cut, key_of

SQL = statements("batches")

PARTITION_ACCOUNTS = 200  # accounts with work in one partition, up to which a listing goes by age
LOOKED = 10_000  # waiting batches that a page of a thread's looks at: some 10 ms
LISTED_BYTES = 16 << 10  # of one batch in a list; a page of the biggest would be 50 MiB
LAST_PARTITION = (1 << 15) - 1  # that a database may have


class BatchState(StrEnum):
    """Where a batch stands. It is read off its row, never stored."""

    WAITING = "waiting"  # for the next drain of its partition
    RETRYING = "retrying"  # it failed alone and is tried again at `next_try_at`
    PAUSED = "paused"  # its partition or its account is paused: `reason` says which
    BLOCKED = "blocked"  # its thread is held
    PARKED = "parked"  # a dead letter
    APPLIED = "applied"
    DISCARDED = "discarded"  # a dead letter that an operator gave up


NEXT_STEP = {
    BatchState.WAITING: "A worker applies it; if none does, see `threadmill queue status`.",
    BatchState.RETRYING: "A worker tries it again by itself.",
    BatchState.PAUSED: "An operator paused it and must resume it: see its reason.",
    BatchState.BLOCKED: "Its thread is held: settle or skip its dead letter, or release it (`threadmill thread show`).",
    BatchState.PARKED: "Mend what its error names and replay it (`threadmill dead replay`), or discard it.",
    BatchState.APPLIED: "Nothing; it is removed after the time it is kept.",
    BatchState.DISCARDED: "Nothing; it is removed after the time it is kept.",
}


@dataclass(frozen=True, slots=True)
class BatchView:
    """One row of the inbox. Ages are seconds."""

    id: BatchId
    ref: BatchRef
    partition: int
    thread: ThreadId
    account: AccountId
    account_name: str
    token: TokenId
    state: BatchState
    reason: str | None  # what paused it
    paused: tuple[str, ...]  # the same for programs: "partition", "account", or both
    next_step: str
    age: float  # since it was accepted
    events: Any  # as stored, a list of objects (`shared.events.dump`) unless it is broken; None, too, where `left_out`
    left_out: bool  # of a list: it is big, see it alone
    accepted_at: datetime
    applied_at: datetime | None
    parked_at: datetime | None
    passed_at: datetime | None  # of a dead letter: since when its thread goes on without it
    next_try_at: datetime | None
    attempts: int
    error: str | None
    thread_held: bool
    outcome: dict[str, Any] | None  # what its sender was answered, or will be
    kind: str | None  # what its error has in common with like ones; of a dead letter
    stack: str | None  # where its error was raised
    idempotency_key: str | None = None  # only where one batch is shown


async def waiting_batches(
    db: Database, limit: int, partition: int | None = None, account: AccountId | None = None, after: str | None = None
) -> Page[BatchView]:
    """What the next drains take, the oldest first.

    Where more than `PARTITION_ACCOUNTS` accounts wait in a partition, that order can't be served within a bound: then
    partition by partition, account by account, the oldest of each first. Where it comes to that between two pages, the
    list begins anew: batches are shown twice rather than not at all.
    """
    place = key_of(after, Small | None, Id | None, Number)
    if place[0] is None:
        lanes = await _lanes(db, partition, account)
        if lanes is not None:
            rows = await db.fetch(SQL["oldest"], *lanes, place[2] or 0, limit + 1, LISTED_BYTES)
            return cut([view_of(row) for row in rows], limit, lambda batch: (None, None, batch.id))
        place = (None, None, None)
    rows = await db.fetch(SQL["by_account"], *_bounds(place, partition), limit + 1, LISTED_BYTES)
    return cut([view_of(row) for row in rows], limit, lambda batch: (batch.partition, batch.account, batch.id))


async def blocked_batches(
    db: Database, limit: int, partition: int | None = None, after: str | None = None
) -> Page[BatchView]:
    """Batches behind a hold, dead letters among them, partition by partition, thread by thread."""
    rows = await db.fetch(
        SQL["blocked"], *_bounds(key_of(after, Small, Id, Number), partition), limit + 1, LISTED_BYTES
    )
    return cut([view_of(row) for row in rows], limit, lambda batch: (batch.partition, batch.thread, batch.id))


async def batches_of_thread(
    db: Database, partition: int, thread: ThreadId, limit: int, after: str | None = None
) -> Page[BatchView]:
    """Those that are not applied, in their order.

    They are looked for among `LOOKED` that wait of the thread's account in its partition: a page may hold fewer than
    `limit`, or none, and have a next one.
    """
    (beyond,) = key_of(after, Number)
    rows = await db.fetch(SQL["of_thread"], partition, thread, beyond or 0, limit + 1, LOOKED, LISTED_BYTES)
    found = cut([view_of(row) for row in rows if row["id"] is not None], limit, lambda batch: (batch.id,))
    edge = rows[0]["edge"]
    return found if found.after or edge is None else Page(found.items, cursor(edge))


async def find_batch(db: Database, id_or_ref: str) -> BatchView:
    """One batch by its number or its ref. Raises NotFound."""
    number = int(id_or_ref) if id_or_ref.isascii() and id_or_ref.isdigit() and len(id_or_ref) < 19 else None
    row = await db.fetchrow(statements("inspect")["batch"], number, ids.parse(id_or_ref))
    if row is None:
        raise NotFound(f"There is no batch {id_or_ref!r} (applied ones are removed after the time they are kept).")
    return view_of(row, row["idempotency_key"])


async def _lanes(
    db: Database, partition: int | None, account: AccountId | None
) -> tuple[list[int], list[AccountId]] | None:
    """Partitions and accounts that waiting batches are looked for in, pair by pair; None where they are too many."""
    if account is not None:
        partitions = [row["id"] for row in await db.fetch(SQL["partitions"], partition)]
        return partitions, [account] * len(partitions)
    rows = await db.fetch(SQL["lanes"], partition, PARTITION_ACCOUNTS + 1)
    if max(Counter(row["partition"] for row in rows).values(), default=0) > PARTITION_ACCOUNTS:
        return None
    return [row["partition"] for row in rows], [row["account"] for row in rows]


def _bounds(place: tuple[Any, ...], partition: int | None) -> tuple[Any, ...]:
    """Where a list that goes partition by partition begins, and its last partition."""
    begin = place if place[0] is not None else (partition or 0, FIRST, 0)
    return (*begin, LAST_PARTITION if partition is None else partition)


def view_of(row: asyncpg.Record, idempotency_key: str | None = None) -> BatchView:
    """A row of `batches` with `now`, its partition's `paused`, `held` of its thread, and what its account is."""
    state = state_of(row)
    paused = _paused(row) if state is BatchState.PAUSED else {}
    return BatchView(
        id=row["id"],
        ref=row["ref"],
        partition=row["partition"],
        thread=row["thread"],
        account=row["account"],
        account_name=row["account_name"],
        token=row["token"],
        state=state,
        reason=" and ".join(paused.values()) or None,
        paused=tuple(paused),
        next_step=NEXT_STEP[state],
        age=(row["now"] - row["accepted_at"]).total_seconds(),
        events=None if row["events"] is None else readable(row["events"]),
        left_out=row["events"] is None,
        accepted_at=row["accepted_at"],
        applied_at=row["applied_at"],
        parked_at=row["parked_at"],
        passed_at=row["passed_at"],
        next_try_at=row["next_try_at"],
        attempts=row["attempts"],
        error=row["error"],
        thread_held=row["held"],
        outcome=None if row["outcome"] is None else from_json(row["outcome"]),
        kind=row["error_kind"],
        stack=row["stack"],
        idempotency_key=idempotency_key,
    )


def readable(stored: str) -> Any:
    """The stored events as JSON values; as they stand where they are none (lone surrogates, too deep)."""
    try:
        return from_json(stored)
    except ValueError:
        return stored


def state_of(row: asyncpg.Record) -> BatchState:
    """The state of a row of `batches` with `paused` of its partition and `account_held` of its account."""
    if row["applied_at"] is not None:
        return BatchState.APPLIED if row["parked_at"] is None else BatchState.DISCARDED
    if row["parked_at"] is not None:
        return BatchState.PARKED
    if row["blocked"]:
        return BatchState.BLOCKED
    if row["paused"] or row["account_held"]:
        return BatchState.PAUSED
    return BatchState.WAITING if row["next_try_at"] is None else BatchState.RETRYING


def _paused(row: asyncpg.Record) -> dict[str, str]:
    """What an operator paused, and in words. Where it is both, both must be resumed."""
    partition = {"partition": f"the partition {row['partition']} is paused"} if row["paused"] else {}
    return partition | ({"account": f"the account {row['account_name']} is paused"} if row["account_held"] else {})
