"""What happened to one thread, in one order: what it was sent, its runs, its log, its permission requests.

Four sources, each read behind a key of its own and merged by their times, the newest first; a cursor holds the four
keys, so that nothing is told twice or left out. When a batch was rung for stands nowhere: Postgres knows when it was
accepted and applied, Redis which ones wait in its sets now. Refused here: reading whole messages; a page has their
beginnings.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, TypeAlias

import asyncpg
from redis.asyncio import Redis

from shared import ids
from shared.db.connect import Database
from shared.db.records import run_of
from shared.db.statements import statements
from shared.history import DELTAS
from shared.ids import BatchId, EventId, RequestId, RunId, ThreadId, Ulid
from shared.inspect.batches import BatchState, BatchView, view_of
from shared.inspect.page import LAST, Id, Number, Page, cursor, key_of
from shared.keys import Keys
from shared.models import RequestState, Run, Thread
from shared.queue import AWAY as REDIS_AWAY

SQL = statements("timeline")

BYTES = 4 << 10  # of a batch; what is bigger is shown alone
TEXT = 500  # characters of an event
EVENTS = 1_000  # of the log looked at for one page: deltas of one message are one entry
SAID = 20_000  # characters of one message of a run, its end
LOOKED = 5_000  # of an account's waiting batches in one partition
_WAITING = frozenset({BatchState.WAITING, BatchState.RETRYING, BatchState.PAUSED})


@dataclass(frozen=True, slots=True)
class Sent:
    """A batch, when it was accepted. Times are seconds."""

    at: datetime
    batch: BatchView
    took: float | None  # until it was applied


@dataclass(frozen=True, slots=True)
class Ran:
    """A run, when it was made."""

    at: datetime
    run: Run
    worker: Ulid | None
    waited: float  # until it started, or until now
    took: float | None  # since it started


@dataclass(frozen=True, slots=True)
class Asked:
    """A permission request, when it was asked."""

    at: datetime
    id: RequestId
    run: RunId
    state: RequestState
    title: str
    tool_name: str | None
    tool_input: str | None
    note: str | None
    expires_at: datetime | None
    decided_at: datetime | None
    waited: float
    expires_in: float | None


@dataclass(frozen=True, slots=True)
class Logged:
    """An event of the log, or `pieces` deltas of one message, when the first of them happened."""

    at: datetime
    id: EventId  # of the first
    last: EventId
    run: RunId | None
    type: str
    status: str
    text: str | None  # its beginning
    size: int  # characters in all
    pieces: int
    tool_name: str | None
    tool_input: str | None
    tokens: int | None
    duration: float | None
    message: EventId | None  # that deltas belong to


Step: TypeAlias = Sent | Ran | Asked | Logged


@dataclass(frozen=True, slots=True)
class Entry:
    """A step, and how many seconds it came behind the one before it; None for the first one of a page."""

    step: Step
    behind: float | None


@dataclass(slots=True)
class _Source:
    """Steps of one kind, the newest first, and the key of each. `key` is where the page goes on."""

    steps: list[Step]
    key_of: Callable[[Any], str | int]
    key: str | int | None
    more: bool  # behind the last of them
    taken: int = field(default=0)

    @property
    def head(self) -> Step | None:
        return self.steps[self.taken] if self.taken < len(self.steps) else None

    def take(self) -> Step:
        step = self.steps[self.taken]
        self.taken += 1
        self.key = self.key_of(step)
        return step

    @property
    def goes_on(self) -> bool:
        return self.more or self.taken < len(self.steps)


async def page(db: Database, thread: Thread, limit: int, after: str | None) -> Page[Entry]:
    """At most `limit` steps, the newest first. Raises InvalidRequest for a broken cursor."""
    batch, run, request, event = key_of(after, Number | None, Id | None, Id | None, Id | None)
    sources = [
        await _batches(db, thread, limit, batch),
        await _runs(db, thread, limit, run),
        await _requests(db, thread, limit, request),
        await _events(db, thread, limit, event),
    ]
    steps: list[Step] = []
    while len(steps) < limit:
        heads = [(head.at, source) for source in sources if (head := source.head) is not None]
        if not heads or any(source.head is None and source.more for source in sources):
            break  # the next step of a source that was not read to its end may be the newest
        steps.append(max(heads, key=itemgetter(0))[1].take())
    goes_on = any(source.goes_on for source in sources)
    return Page(_entries(steps), cursor(*(source.key for source in sources)) if goes_on else None)


async def said(db: Database, partition: int, thread: ThreadId, run: Run) -> list[Logged]:
    """The end of what a run logged, oldest first: of a long message its end. A run that is over is looked for about
    when it was."""
    first = ids.earliest(run.created_at - timedelta(seconds=1))
    last = LAST if run.completed_at is None else ids.earliest(run.completed_at + timedelta(seconds=1))
    rows = await db.fetch(SQL["said"], partition, thread, run.id, first, last, EVENTS, SAID)
    return folded(rows, SAID, end=True)[::-1]


async def said_more(db: Database, partition: int, thread: ThreadId, run: Run, entries: Sequence[Logged]) -> bool:
    """Whether these, the oldest first, are only the end of what a run logged."""
    if not entries:
        return False
    first = ids.earliest(run.created_at - timedelta(seconds=1))
    older: bool = await db.fetchval(SQL["said_before"], partition, thread, run.id, first, entries[0].id, EVENTS)
    return older or any(one.size > len(one.text or "") for one in entries)


async def rung(redis: Redis, keys: Keys, entries: Sequence[Entry]) -> dict[BatchId, bool] | None:
    """Which of the waiting batches stand in Redis' waiting sets; None where Redis is away."""
    batches = [entry.step.batch for entry in entries if isinstance(entry.step, Sent)]
    waiting = [batch for batch in batches if batch.state in _WAITING]
    if not waiting:
        return {}
    pipeline = redis.pipeline(transaction=False)
    for batch in waiting:
        pipeline.zscore(keys.waiting(batch.partition), str(batch.id))
    try:
        scores = await pipeline.execute()
    except REDIS_AWAY:
        return None
    return {batch.id: score is not None for batch, score in zip(waiting, scores, strict=True)}


def _entries(steps: Sequence[Step]) -> list[Entry]:
    before = [*steps[1:], None]  # longer where there are none: the thread is new, or its rows are removed
    return [
        Entry(step, None if older is None else (step.at - older.at).total_seconds())
        for step, older in zip(steps, before, strict=False)
    ]


async def _batches(db: Database, thread: Thread, limit: int, key: int | None) -> _Source:
    place = (thread.partition, thread.id, thread.account, key)
    rows = await db.fetch(SQL["batches"], *place, LOOKED, limit + 1, BYTES)
    return _Source([_sent(row) for row in rows], lambda sent: int(sent.batch.id), key, more=False)


async def _runs(db: Database, thread: Thread, limit: int, key: str | None) -> _Source:
    rows = await db.fetch(SQL["runs"], thread.partition, thread.id, key, limit + 1)
    steps: list[Step] = [Ran(row["created_at"], run_of(row), row["owner"], row["waited"], row["took"]) for row in rows]
    return _Source(steps, lambda ran: str(ran.run.id), key, more=False)


async def _requests(db: Database, thread: Thread, limit: int, key: str | None) -> _Source:
    rows = await db.fetch(SQL["requests"], thread.partition, thread.id, key, limit + 1)
    return _Source([_asked(row) for row in rows], lambda asked: str(asked.id), key, more=False)


async def _events(db: Database, thread: Thread, limit: int, key: str | None) -> _Source:
    rows = await db.fetch(SQL["events"], thread.partition, thread.id, key, EVENTS, TEXT)
    steps: list[Step] = list(folded(rows))
    return _Source(steps[: limit + 1], lambda logged: str(logged.id), key, more=len(rows) == EVENTS)


def folded(rows: Sequence[asyncpg.Record], most: int = TEXT, *, end: bool = False) -> list[Logged]:
    """Events, the newest first, deltas of one message that stand beside each other as one; of its text at most so much,
    the beginning or the end."""
    found: list[list[asyncpg.Record]] = []
    for row in rows:
        same = row["type"] in DELTAS and found and _message(found[-1][0]) == _message(row)
        if same:
            found[-1].append(row)
        else:
            found.append([row])
    return [_logged(group[::-1], slice(-most, None) if end else slice(most)) for group in found]


def _message(row: asyncpg.Record) -> tuple[Any, ...]:
    return row["run"], row["type"], row["message"]


def _logged(rows: Sequence[asyncpg.Record], part: slice) -> Logged:
    """One entry of rows in their order."""
    first, last = rows[0], rows[-1]
    durations = [row["duration_ms"] for row in rows if row["duration_ms"] is not None]
    tokens = [row["tokens"] for row in rows if row["tokens"] is not None]
    text = "".join(row["content"] or "" for row in rows)[part]
    return Logged(
        at=first["occurred_at"],
        id=first["id"],
        last=last["id"],
        run=first["run"],
        type=first["type"],
        status=last["status"],
        text=text or None,
        size=sum(row["size"] or 0 for row in rows),
        pieces=len(rows),
        tool_name=first["tool_name"],
        tool_input=first["tool_input"],
        tokens=sum(tokens) if tokens else None,
        duration=sum(durations) / 1_000 if durations else None,
        message=first["message"],
    )


def _sent(row: asyncpg.Record) -> Sent:
    applied, accepted = row["applied_at"], row["accepted_at"]
    return Sent(accepted, view_of(row), None if applied is None else (applied - accepted).total_seconds())


def _asked(row: asyncpg.Record) -> Asked:
    fields = (
        "id",
        "run",
        "title",
        "tool_name",
        "tool_input",
        "note",
        "expires_at",
        "decided_at",
        "waited",
        "expires_in",
    )
    return Asked(at=row["created_at"], state=RequestState(row["state"]), **{name: row[name] for name in fields})
