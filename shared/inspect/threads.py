"""Threads as an operator sees them, across accounts. Lists of runs: `shared.inspect.running`; one in full: `….runs`."""

import re
from dataclasses import dataclass
from datetime import datetime

from shared import holds, ids
from shared.db.connect import Database
from shared.db.records import run_of, thread_of
from shared.db.statements import statements
from shared.errors import NotFound
from shared.holds import Hold
from shared.ids import RequestId, RunId, ThreadId, Ulid
from shared.inspect.batches import BatchView, batches_of_thread
from shared.models import Run, Thread

_NUMBER = re.compile(r"[0-9]{1,18}\Z")  # what surely is one of Postgres' integers
SHOWN = 20  # runs and batches shown with one thread


@dataclass(frozen=True, slots=True)
class ThreadRun:
    """A run, whose it is, and which worker has it."""

    thread: ThreadId
    run: Run
    owner: Ulid | None = None


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A permission request that waits for its decision."""

    id: RequestId
    run: RunId
    title: str
    tool_name: str | None
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class ThreadView:
    """One thread with what is under way in it."""

    thread: Thread
    hold: Hold | None  # by hand; a held thread without one is held by its dead letters
    runs: list[ThreadRun]  # the latest first
    requests: list[OpenRequest]
    batches: list[BatchView]  # not applied, in their order
    batches_after: str | None  # there may be more: what to ask `batches_of_thread` for them with


async def find_thread(db: Database, text: str, shown: int = SHOWN) -> ThreadView:
    """One thread by its id, deleted or not; the lists in it are of at most `shown`. Raises NotFound."""
    partition, thread = await _place(db, text)
    sql = statements("inspect")
    own = await own_row(db, thread)
    batches = await batches_of_thread(db, partition, thread, shown)
    return ThreadView(
        thread=own,
        hold=await holds.find(db, partition, thread),
        runs=await _runs(db, partition, thread, shown),
        requests=[OpenRequest(**request) for request in await db.fetch(sql["requests"], partition, thread)],
        batches=batches.items,
        batches_after=batches.after,
    )


async def find_run(db: Database, text: str, thread: str | None = None) -> ThreadRun:
    """One run; with its thread by key, without by reading a whole index. Raises NotFound."""
    partition, of = (None, None) if thread is None else await _place(db, thread)
    run = ids.parse(text)
    if run is None:
        raise NotFound(f"{text!r} is no run id.")
    row = await db.fetchrow(statements("inspect")["run"], run, partition, of)
    if row is None:
        raise NotFound(f"There is no run {text!r}{'' if of is None else f' in the thread {of}'}.")
    return ThreadRun(row["thread"], run_of(row))


async def own_row(db: Database, text: str) -> Thread:
    """The thread alone, deleted or not, of an id or a number. Raises NotFound."""
    partition, thread = await _place(db, text)
    row = await db.fetchrow(statements("inspect")["thread"], partition, thread)
    if row is None:
        raise NotFound(f"There is no thread {thread}.")
    return thread_of(row)


async def _runs(db: Database, partition: int, thread: ThreadId, limit: int) -> list[ThreadRun]:
    rows = await db.fetch(statements("inspect")["runs"], partition, thread, limit)
    return [ThreadRun(row["thread"], run_of(row), row["owner"]) for row in rows]


async def _place(db: Database, text: str) -> tuple[int, ThreadId]:
    """The partition of a thread and its id: how many partitions there are is fixed with the database."""
    thread = ids.parse(text) or await _numbered(db, text)
    if thread is None:
        raise NotFound(f"{text!r} is no thread id.")
    partitions: int = await db.fetchval(statements("inspect")["partitions"])
    return ids.partition_of(thread, partitions), ThreadId(thread)


async def _numbered(db: Database, text: str) -> Ulid | None:
    """The thread of a number, as Cortex has it; None where no thread has it."""
    if not _NUMBER.match(text):
        return None
    found: Ulid | None = await db.fetchval(statements("inspect")["numbered"], int(text))
    return found
