"""One run as an operator sees it: where it stands, who has it, what it waits for, and what comes next.

Refused here: changing anything; a retry and an interrupt are batches like a client's.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
from pydantic_core import from_json

from shared.db.connect import Database
from shared.db.statements import statements
from shared.errors import NotFound
from shared.ids import RequestId, RunId, ThreadId, Ulid
from shared.inspect.threads import ThreadRun, find_run, own_row
from shared.models import Run, RunStatus

SHOWN = 500  # characters of what a run answers: enough to know it by


@dataclass(frozen=True, slots=True)
class Lease:
    """Who has the thread. `run` is another one where that was interrupted and its runner has not let go yet."""

    run: RunId
    owner: Ulid
    epoch: int
    expires_at: datetime
    expires_in: float  # seconds; negative: it ran out
    host: str | None  # null where the worker is forgotten
    pid: int | None


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """A permission request that waits for its decision. Ages are seconds."""

    id: RequestId
    key: str | None  # the runner's own name of it
    title: str
    tool_name: str | None
    created_at: datetime
    expires_at: datetime | None
    age: float
    expires_in: float | None


@dataclass(frozen=True, slots=True)
class RunDetail:
    """All that an operator can know of a run."""

    thread: ThreadId
    run: Run
    place: int | None  # among the runs that are not over: 0 is the current one
    ready_at: datetime | None  # since when it waits for a worker
    deadline: datetime | None
    deadline_in: float | None  # seconds
    lease: Lease | None
    requests: list[PendingRequest]
    checkpoint_bytes: int | None
    usage: dict[str, Any] | None
    losses: int  # workers that were lost with it, in all
    input: str | None  # its beginning
    next_step: str


async def run_detail(db: Database, text: str, thread: str | None = None) -> RunDetail:
    """One run; with its thread by key, without by reading a whole index. Raises NotFound."""
    found = await find_run(db, text, thread)
    key = ((await own_row(db, found.thread)).partition, found.thread, found.run.id)
    row = await db.fetchrow(statements("inspect")["run_detail"], *key, SHOWN)
    if row is None:
        raise NotFound(f"The run {found.run.id} was removed meanwhile.")
    rows = await db.fetch(statements("inspect")["run_requests"], *key)
    return _detail(found, row, [PendingRequest(**request) for request in rows])


def _detail(found: ThreadRun, row: asyncpg.Record, requests: list[PendingRequest]) -> RunDetail:
    lease = None
    if row["owner"] is not None:
        fields = ("owner", "epoch", "expires_at", "expires_in", "host", "pid")
        lease = Lease(run=row["lease_run"], **{name: row[name] for name in fields})
    ready_at = row["ready_at"] if row["place"] == 0 else None
    return RunDetail(
        thread=found.thread,
        run=found.run,
        place=row["place"],
        ready_at=ready_at,
        deadline=row["deadline"],
        deadline_in=None if found.run.terminal else row["deadline_in"],
        lease=lease if row["place"] == 0 else None,
        requests=requests,
        checkpoint_bytes=row["checkpoint_bytes"],
        usage=None if row["usage"] is None else from_json(row["usage"]),
        losses=row["losses"],
        input=row["input"],
        next_step=next_step(found.run, row["place"] or 0, lease, requests, ready_at),
    )


def next_step(
    run: Run, place: int, lease: Lease | None, requests: list[PendingRequest], ready_at: datetime | None
) -> str:
    """What happens to a run next, or what has to, in words."""
    if run.terminal:
        again = "" if run.status == RunStatus.COMPLETED else " `threadmill run retry` answers its message once more."
        return f"Nothing: it is over.{again}"
    if place:
        return f"Waits in the queue: {place} of its thread go{'es' if place == 1 else ''} before it."
    if lease is not None:
        return _leased(run, lease)
    if requests:
        return f"Waits for a decision: {', '.join(_asked(request) for request in requests)}."
    since = "" if ready_at is None else f" since {ready_at:%Y-%m-%d %H:%M:%S} UTC"
    return f"Waits for a worker{since}."


def _leased(run: Run, lease: Lease) -> str:
    if lease.expires_in <= 0:
        return f"Waits for a worker: the lease of {_named(lease)} ran out {-lease.expires_in:.0f} s ago."
    if lease.run == run.id:
        return f"Executed by {_named(lease)}."
    return f"Waits for {_named(lease)} to let go of the run before it, {lease.expires_in:.0f} s at most."


def _named(lease: Lease) -> str:
    return f"worker {lease.owner}" + ("" if lease.host is None else f" ({lease.host}, pid {lease.pid})")


def _asked(request: PendingRequest) -> str:
    limit = "" if request.expires_in is None else f", expires in {max(request.expires_in, 0):.0f} s"
    return f"{request.title!r} ({request.id}{limit})"
