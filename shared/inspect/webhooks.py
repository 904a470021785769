"""The outbox as an operator sees it: what webhooks were told, what they are still to be told, what was given up."""

from collections.abc import Callable
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
from shared.inspect.page import END, EPOCH, FIRST, LAST, Id, Moment, Page, cut, key_of
from shared.webhooks import PREFIX


class MessageState(StrEnum):
    """Where a message to a webhook stands. It is read off its row, never stored."""

    DUE = "due"  # tried at `next_try_at`, or in a worker's hands until then
    DELIVERED = "delivered"
    DEAD = "dead"  # given up: after a day, by a 410, or because the agent has no webhook any more


SHOWN = (MessageState.DUE, MessageState.DEAD, MessageState.DELIVERED)  # in this order, where some of each are


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
    db: Database, limit: int, state: MessageState, agent: AgentId | None = None, after: str | None = None
) -> Page[MessageView]:
    """Of one agent or of all. Due ones agent by agent, by when they are tried next; dead letters the longest parked
    first; delivered ones the latest first."""
    if state is MessageState.DUE:
        return await _due(db, limit, agent, after)
    at, beyond = key_of(after, Moment, Id)
    edge = (END, LAST) if state is MessageState.DELIVERED else (EPOCH, FIRST)
    arguments = (at or edge[0], beyond or edge[1], limit + 1)
    sql = statements("webhooks")
    rows = await (
        db.fetch(sql[state], *arguments) if agent is None else db.fetch(sql[f"{state}_of"], *arguments, agent)
    )
    return _page(rows, limit, lambda row: (row["parked_at"] or row["delivered_at"], row["id"]))


async def some_messages(db: Database, limit: int, agent: AgentId | None = None) -> list[MessageView]:
    """The first `limit` of each state."""
    return [view for state in SHOWN for view in (await list_messages(db, limit, state, agent)).items]


async def _due(db: Database, limit: int, agent: AgentId | None, after: str | None) -> Page[MessageView]:
    key = key_of(after, Id, Moment, Id)
    begin = key if key[0] is not None else (agent or FIRST, EPOCH, FIRST)
    rows = await db.fetch(statements("webhooks")["due"], *begin, agent or LAST, limit + 1)
    return _page(rows, limit, lambda row: (row["agent"], row["next_try_at"], row["id"]))


def _page(
    rows: list[asyncpg.Record], limit: int, key: Callable[[asyncpg.Record], tuple[str | datetime, ...]]
) -> Page[MessageView]:
    found = cut(rows, limit, key)
    return Page([_view(row) for row in found.items], found.after)


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


async def count_dead(db: Database, agent: AgentId | None = None) -> Count:
    """Dead letters of one agent or of all, counted up to a bound."""
    if agent is None:
        return (await summary(db)).dead
    return counted(await db.fetchval(statements("webhooks")["count_dead_of"], agent, COUNTED + 1))


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
