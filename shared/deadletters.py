"""Dead letters: batches that failed five times alone. An operator replays them or gives them up.

Locks as everywhere: the partition, then the thread, then the batch, each in a statement of its own, so that
what is read was read under them. Refused here: replaying past another dead letter that holds the same thread;
the hold is lifted when the last one of the thread is settled.
"""

from dataclasses import dataclass
from typing import Any

import asyncpg
from pydantic_core import to_json

from shared import documents
from shared.db.records import thread_of
from shared.db.statements import statements
from shared.effects import Warned, WarningCode
from shared.errors import Conflict, InvalidRequest, ServiceInactive
from shared.ids import BatchId, ThreadId
from shared.inspect.batches import BatchView, find_batch, readable

LOCK_TIMEOUT_MS = 5_000  # a drain holds a partition for milliseconds; a person waits no longer than this
REASON_LIMIT = 500  # characters; the reason is read by the batch's sender


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a dead letter. `held`: another one still holds its thread."""

    batch: BatchId
    partition: int
    thread: ThreadId
    held: bool


async def replay(db: asyncpg.Connection, id_or_ref: str) -> Settled:
    """Lets a dead letter wait again, its attempts at 0, and its thread go on.

    Raises NotFound, Conflict where it is no dead letter, ServiceInactive where its partition is long in hand.
    """
    return await _settle(db, await find_batch(db, id_or_ref), reason=None)


async def discard(db: asyncpg.Connection, id_or_ref: str, reason: str) -> Settled:
    """Gives a dead letter up: it counts as applied, without effect, each event warned `batch_discarded`.

    Raises InvalidRequest for a reason that can't be shown, and as `replay`.
    """
    if not reason.strip() or len(reason) > REASON_LIMIT or not reason.isprintable():
        raise InvalidRequest(f"A reason is one line of 1 to {REASON_LIMIT} printable characters.")
    return await _settle(db, await find_batch(db, id_or_ref), reason.strip())


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


async def _settle(db: asyncpg.Connection, batch: BatchView, reason: str | None) -> Settled:
    """One transaction: lock, check, settle the batch, let its thread go on."""
    sql = statements("deadletters")
    try:
        async with db.transaction():
            await db.execute(sql["bound"], str(LOCK_TIMEOUT_MS))
            await db.execute(sql["lock_partition"], batch.partition)
            await db.execute(sql["lock_thread"], batch.partition, batch.thread)
            await _settle_batch(db, batch, reason)
            await db.execute(sql["lift"], batch.partition, batch.thread)
            await db.execute(sql["unblock"], batch.partition, batch.thread)
            thread = await db.fetchrow(sql["thread"], batch.partition, batch.thread)
    except asyncpg.LockNotAvailableError as error:
        raise ServiceInactive(f"Partition {batch.partition} is in hand for long; try again.") from error
    return Settled(batch.id, batch.partition, batch.thread, thread is not None and thread["held"])


async def _settle_batch(db: asyncpg.Connection, batch: BatchView, reason: str | None) -> None:
    sql = statements("deadletters")
    parked = await db.fetchrow(sql["parked"], batch.partition, batch.id)
    if parked is None:
        raise Conflict(f"The batch {batch.id} is no dead letter (any more).")
    if reason is None:
        await db.execute(sql["replay"], batch.partition, batch.id)
        return
    row = await db.fetchrow(sql["thread"], batch.partition, batch.thread)
    thread = "null" if row is None else documents.thread(thread_of(row))
    outcome = discarded_outcome(parked["events"], thread, reason)
    await db.execute(sql["discard"], batch.partition, batch.id, outcome)
