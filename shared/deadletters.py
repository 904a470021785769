"""Dead letters: batches that failed five times alone. An operator replays them, gives them up, or lets their thread go
on without them.

The batch is locked behind its partition and its thread (`shared.holds`). Refused here: replaying past another dead
letter that holds the same thread; the hold is lifted when the last one of the thread is settled or skipped.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, assert_never

import asyncpg
from pydantic_core import to_json

from shared import audit, documents, holds
from shared.audit import Entry
from shared.db.connect import Database
from shared.db.records import thread_of
from shared.db.statements import statements
from shared.effects import Warned, WarningCode
from shared.errors import Conflict
from shared.ids import BatchId, ThreadId
from shared.inspect.batches import readable

SQL = statements("deadletters")


class Letter(NamedTuple):
    """Where a dead letter is."""

    partition: int
    id: BatchId
    thread: ThreadId


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a dead letter. `held`: its thread is held still, by another one or by hand."""

    batch: BatchId
    partition: int
    thread: ThreadId
    held: bool


class Fate(StrEnum):
    """What an operator decides about a dead letter."""

    REPLAY = "replay"  # it waits again, its attempts at 0, and its thread goes on with it
    DISCARD = "discard"  # it counts as applied, without effect; each of its events is warned `batch_discarded`
    SKIP = "skip"  # it stays a dead letter, and its thread goes on without it


@dataclass(frozen=True, slots=True)
class Decision:
    """`entry`: of the audit log, whose count is kept in the transaction, so that it is true whatever happens."""

    fate: Fate
    reason: str = ""  # of a discard: the sender of the batch reads it
    entry: Entry | None = None


async def settle(db: Database, letter: Letter, decision: Decision, patience_ms: int = holds.LOCK_TIMEOUT_MS) -> Settled:
    """One transaction: lock, check, settle the batch, let its thread go on.

    Raises Conflict where it is no dead letter any more, or was skipped before, ServiceInactive where its partition is
    long in hand.
    """
    async with holds.locked(db, letter.partition, letter.thread, patience_ms) as connection:
        await _settle(connection, letter, decision)
        held = await holds.lift(connection, letter.partition, letter.thread)
        if decision.entry is not None:
            await audit.reached(connection, decision.entry, 1)
    return Settled(letter.id, letter.partition, letter.thread, held)


def discarded_outcome(events: str, thread: str, reason: str) -> str:
    """The answer's parts of a discarded batch, `{"events", "thread", "warnings"}`, as JSON text.

    `events` is read as it stands, not by `shared.events.load`: what can't be read may be why it died. `thread` is its
    object, or null.
    """
    stored = readable(events)
    items = stored if isinstance(stored, list) else [stored]
    warned = Warned(WarningCode.BATCH_DISCARDED, f"An operator discarded the batch: {reason}")
    results = [_without_effect(item if isinstance(item, dict) else {}) for item in items]
    return documents.assembled(results, thread, [[warned]] * len(items))


def _without_effect(event: dict[str, Any]) -> str:
    request = event.get("client_request_id")
    document = {"clientRequestId": request, "requestId": request, "run": None, "type": event.get("type")}
    return to_json(document).decode()


async def _settle(connection: asyncpg.Connection, letter: Letter, decision: Decision) -> None:
    parked = await connection.fetchrow(SQL["parked"], letter.partition, letter.id)
    if parked is None:
        raise Conflict(f"The batch {letter.id} is no dead letter (any more).")
    match decision.fate:
        case Fate.REPLAY:
            await connection.execute(SQL["replay"], letter.partition, letter.id)
        case Fate.DISCARD:
            row = await connection.fetchrow(SQL["thread"], letter.partition, letter.thread)
            thread = "null" if row is None else documents.thread(thread_of(row))
            outcome = discarded_outcome(parked["events"], thread, decision.reason)
            await connection.execute(SQL["discard"], letter.partition, letter.id, outcome)
        case Fate.SKIP:
            if parked["passed_at"] is not None:
                raise Conflict(f"The thread of the batch {letter.id} goes on without it already.")
            await connection.execute(SQL["pass"], letter.partition, letter.id)
        case _:
            assert_never(decision.fate)
