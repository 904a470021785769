"""What the tables hold when all is quiet: the rows that the checker compares with the clients' history."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
from pydantic_core import from_json
from redis.asyncio import Redis

from shared.keys import Keys

EXECUTING = frozenset({"booting", "running", "waiting_input"})
TERMINAL = frozenset({"completed", "failed", "cancelled", "expired"})
ENDS = frozenset({"run.completed", "run.failed"})  # what the log has of each run that is terminal

_THREADS = "select id, status, active_runs, last_run_id, last_event_id, held from threads"
_BATCHES = """
select b.thread, b.id, k.key, b.events::text as events, b.outcome, b.parked_at is not null as parked,
       to_char(b.accepted_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as accepted_at
from batches b left join idempotency_keys k on k.partition = b.partition and k.batch = b.id
"""
_EVENTS = "select thread, id, type, run, content, occurred_at from thread_events order by thread, id"
_RUNS = "select thread, id, seq, status, created_at, started_at, updated_at, completed_at from runs"
_MESSAGES = "select thread, run, parts->0->>'text' as text from messages where role = 'user' order by thread, num"


@dataclass(frozen=True, slots=True)
class Batch:
    thread: str
    id: int
    key: str | None
    events: str
    outcome: dict[str, Any] | None
    parked: bool
    accepted_at: str  # as answers spell it


@dataclass(frozen=True, slots=True)
class Event:
    thread: str
    id: str
    type: str
    run: str | None
    content: str | None
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class Run:
    thread: str
    id: str
    seq: int
    status: str
    created_at: datetime
    started_at: datetime | None
    updated_at: datetime
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Thread:
    id: str
    status: str
    active_runs: int
    last_run_id: str | None
    last_event_id: str | None
    held: bool


@dataclass(frozen=True, slots=True)
class Message:
    """A user's. A thread's are in the order of their numbers."""

    thread: str
    run: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Tables:
    threads: tuple[Thread, ...] = ()
    batches: tuple[Batch, ...] = ()
    events: tuple[Event, ...] = ()
    runs: tuple[Run, ...] = ()
    messages: tuple[Message, ...] = ()
    waiting: int = 0  # members of all waiting sets


async def read(db: asyncpg.Connection, redis: Redis, keys: Keys, partitions: int) -> Tables:
    """As of one moment: what executes goes on."""
    async with db.transaction(isolation="repeatable_read", readonly=True):
        return await _read(db, await count_waiting(redis, keys, partitions))


async def _read(db: asyncpg.Connection, waiting: int) -> Tables:
    return Tables(
        threads=tuple([Thread(**row) for row in await db.fetch(_THREADS)]),
        batches=tuple([_batch(row) for row in await db.fetch(_BATCHES)]),
        events=tuple([Event(**row) for row in await db.fetch(_EVENTS)]),
        runs=tuple([Run(**row) for row in await db.fetch(_RUNS)]),
        messages=tuple([Message(**row) for row in await db.fetch(_MESSAGES)]),
        waiting=waiting,
    )


async def count_waiting(redis: Redis, keys: Keys, partitions: int) -> int:
    pipeline = redis.pipeline(transaction=False)
    for partition in range(partitions):
        pipeline.zcard(keys.waiting(partition))
    return sum(await pipeline.execute())


def _batch(row: asyncpg.Record) -> Batch:
    outcome = None if row["outcome"] is None else from_json(row["outcome"])
    return Batch(row["thread"], row["id"], row["key"], row["events"], outcome, row["parked"], row["accepted_at"])
