"""The outbox as an operator sees it: what webhooks were told, what they are still to be told, what was given up."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import asyncpg
from pydantic_core import from_json

from shared.db.connect import Database
from shared.db.statements import statements
from shared.errors import NotFound
from shared.ids import AgentId, RunId, ThreadId, Ulid
from shared.inspect.counts import COUNTED, Count, counted
from shared.webhooks import PREFIX


class MessageState(StrEnum):
    """Where a message to a webhook stands. It is read off its row, never stored."""

    DUE = "due"  # tried at `next_try_at`, or in a worker's hands until then
    DELIVERED = "delivered"
    DEAD = "dead"  # given up: after a day, by a 410, or because the agent has no webhook any more


@dataclass(frozen=True, slots=True)
class MessageView:
    """One row of the outbox. Ages are seconds."""

    id: str  # as the receiver sees it
    state: MessageState
    type: str
    agent: AgentId
    thread: ThreadId
    run: RunId
    age: float  # since it was written, or replayed
    attempts: int
    status: int | None  # HTTP, of the last answer
    error: str | None  # of the last try
    next_try_at: datetime | None  # null where it is not tried
    delivered_at: datetime | None
    parked_at: datetime | None
    created_at: datetime
    url: str | None  # the agent's, as it is now
    body: Any


@dataclass(frozen=True, slots=True)
class Summary:
    """The outbox in a few numbers. Ages are seconds."""

    waiting: Count
    late: float | None  # how long the latest row has been due
    dead: Count
    dead_age: float | None


async def list_messages(
    db: Database, limit: int, state: MessageState | None = None, agent: AgentId | None = None
) -> list[MessageView]:
    """At most `limit` of each state, or of one."""
    return [_view(row) for row in await db.fetch(statements("webhooks")["list"], state, agent, limit)]


async def find_message(db: Database, message: Ulid) -> MessageView:
    """Raises NotFound."""
    row = await db.fetchrow(statements("webhooks")["find"], message)
    if row is None:
        raise NotFound(
            f"There is no message {PREFIX}{message} (delivered ones are removed after the time they are kept)."
        )
    return _view(row)


async def summary(db: Database) -> Summary:
    """Bounded, however much waits."""
    row = await db.fetchrow(statements("webhooks")["summary"], COUNTED + 1)
    return Summary(counted(row["waiting"]), row["late"], counted(row["dead"]), row["dead_age"])


def _view(row: asyncpg.Record) -> MessageView:
    state = _state(row)
    return MessageView(
        id=PREFIX + row["id"],
        state=state,
        type=row["type"],
        agent=row["agent"],
        thread=row["thread"],
        run=row["run"],
        age=(row["now"] - row["created_at"]).total_seconds(),
        attempts=row["attempts"],
        status=row["status"],
        error=row["error"],
        next_try_at=row["next_try_at"] if state is MessageState.DUE else None,
        delivered_at=row["delivered_at"],
        parked_at=row["parked_at"],
        created_at=row["created_at"],
        url=row["url"],
        body=from_json(row["body"]),
    )


def _state(row: asyncpg.Record) -> MessageState:
    if row["delivered_at"] is not None:
        return MessageState.DELIVERED
    return MessageState.DUE if row["parked_at"] is None else MessageState.DEAD
