"""Threads and runs as an operator sees them, across accounts."""

from dataclasses import dataclass
from datetime import datetime

from shared import ids
from shared.db.connect import Database
from shared.db.records import run_of, thread_of
from shared.db.statements import statements
from shared.errors import NotFound
from shared.ids import AccountId, AgentId, RequestId, RunId, ThreadId
from shared.inspect.batches import BatchView, batches_of_thread
from shared.models import Run, Thread

SHOWN = 20  # runs and batches shown with one thread


@dataclass(frozen=True, slots=True)
class ThreadRun:
    """A run and whose it is."""

    thread: ThreadId
    run: Run


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
    """One thread with what is under way in it; the lists are of at most `SHOWN`."""

    thread: Thread
    runs: list[ThreadRun]  # the latest first
    requests: list[OpenRequest]
    batches: list[BatchView]  # not applied, in their order


async def list_threads(
    db: Database, limit: int, account: AccountId | None = None, agent: AgentId | None = None
) -> list[Thread]:
    """The latest changed first; deleted ones are left out."""
    rows = await db.fetch(statements("inspect")["threads"], account, agent, limit)
    return [thread_of(row) for row in rows]


async def find_thread(db: Database, text: str, partitions: int) -> ThreadView:
    """One thread by its id. `partitions`: how many the database has. Raises NotFound."""
    thread = _thread_id(text)
    partition = ids.partition_of(thread, partitions)
    sql = statements("inspect")
    row = await db.fetchrow(sql["thread"], partition, thread)
    if row is None:
        raise NotFound(f"There is no thread {thread}.")
    return ThreadView(
        thread=thread_of(row),
        runs=await list_runs(db, SHOWN, thread, partitions),
        requests=[OpenRequest(**request) for request in await db.fetch(sql["requests"], partition, thread)],
        batches=await batches_of_thread(db, partition, thread, SHOWN),
    )


async def list_runs(db: Database, limit: int, thread: str, partitions: int) -> list[ThreadRun]:
    """The runs of a thread, the latest first. Raises NotFound for what is no thread id."""
    of = _thread_id(thread)
    rows = await db.fetch(statements("inspect")["runs"], ids.partition_of(of, partitions), of, limit)
    return [ThreadRun(row["thread"], run_of(row)) for row in rows]


async def active_runs(db: Database, limit: int) -> list[ThreadRun]:
    """Runs that are not over, of all threads, in no order of time."""
    rows = await db.fetch(statements("inspect")["active_runs"], limit)
    return [ThreadRun(row["thread"], run_of(row)) for row in rows]


async def find_run(db: Database, text: str, partitions: int, thread: str | None = None) -> ThreadRun:
    """One run; with its thread by key, without by reading a whole index. Raises NotFound."""
    of = None if thread is None else _thread_id(thread)
    partition = None if of is None else ids.partition_of(of, partitions)
    row = await db.fetchrow(statements("inspect")["run"], ids.parse(text), partition, of)
    if row is None:
        raise NotFound(f"There is no run {text!r}{'' if of is None else f' in the thread {of}'}.")
    return ThreadRun(row["thread"], run_of(row))


async def count_partitions(db: Database) -> int:
    """How many partitions this database was created with: what a thread's partition follows from."""
    count: int = await db.fetchval(statements("inspect")["partitions"])
    return count


def _thread_id(text: str) -> ThreadId:
    thread = ids.parse(text)
    if thread is None:
        raise NotFound(f"{text!r} is no thread id.")
    return ThreadId(thread)
