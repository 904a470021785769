"""Batches as an operator sees them: where each stands, how old it is, why, and what happens to it next."""

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

PARTITION_ACCOUNTS = 200  # accounts with work that a listing looks at in one partition


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
    BatchState.BLOCKED: "Its thread is held: settle its dead letter (`threadmill dead list`).",
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
    token: TokenId
    state: BatchState
    reason: str | None  # what paused it
    next_step: str
    age: float  # since it was accepted
    events: Any  # as stored, a list of objects (`shared.events.dump`) unless it is broken; None: left out of a list
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
    db: Database, limit: int, partition: int | None = None, account: AccountId | None = None
) -> list[BatchView]:
    """The oldest `limit` batches that the next drains take."""
    rows = await db.fetch(statements("inspect")["waiting"], limit, partition, account, PARTITION_ACCOUNTS)
    return [view_of(row) for row in rows]


async def blocked_batches(db: Database, limit: int, partition: int | None = None) -> list[BatchView]:
    """Batches behind a hold, dead letters among them, thread by thread."""
    return [view_of(row) for row in await db.fetch(statements("inspect")["blocked"], limit, partition)]


async def batches_of_thread(db: Database, partition: int, thread: ThreadId, limit: int) -> list[BatchView]:
    """Those that are not applied, in their order."""
    return [view_of(row) for row in await db.fetch(statements("inspect")["of_thread"], partition, thread, limit)]


async def find_batch(db: Database, id_or_ref: str) -> BatchView:
    """One batch by its number or its ref. Raises NotFound."""
    number = int(id_or_ref) if id_or_ref.isascii() and id_or_ref.isdigit() and len(id_or_ref) < 19 else None
    row = await db.fetchrow(statements("inspect")["batch"], number, ids.parse(id_or_ref))
    if row is None:
        raise NotFound(f"There is no batch {id_or_ref!r} (applied ones are removed after the time they are kept).")
    return view_of(row, row["idempotency_key"])


def view_of(row: asyncpg.Record, idempotency_key: str | None = None) -> BatchView:
    """A row of `batches` with `now`, its partition's `paused`, `held` of its thread, and what its account is."""
    state = state_of(row)
    return BatchView(
        id=row["id"],
        ref=row["ref"],
        partition=row["partition"],
        thread=row["thread"],
        account=row["account"],
        token=row["token"],
        state=state,
        reason=_reason(row) if state is BatchState.PAUSED else None,
        next_step=NEXT_STEP[state],
        age=(row["now"] - row["accepted_at"]).total_seconds(),
        events=None if row["events"] is None else readable(row["events"]),
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


def _reason(row: asyncpg.Record) -> str:
    """What an operator paused. Where it is both, both must be resumed."""
    paused = [f"the partition {row['partition']} is paused"] if row["paused"] else []
    held = [f"the account {row['account_name']} is paused"] if row["account_held"] else []
    return " and ".join(paused + held)
