"""The rows of executed runs after quiet, and what must hold of them. Pure functions; a fault is a line of text.

Refused here: what clients were told, which the programs compare themselves.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from tests.faults.executions.stage import TERMINAL

ENDS = frozenset({"run.completed", "run.failed"})
DELTA = "agent.message.delta"
ATTEMPTS = 3  # workers that may be lost with a run before it fails, with no checkpoint between; the setting's default
MOST_LOST = 10  # the same in all, however many checkpoints it makes: `worker.execute.recovery` has it

_OWN = "(select id from threads where $1::uuid is null or account = $1)"
_QUERIES = {
    "threads": "select id, status, active_runs, ready_at from threads where id in :own",
    "runs": "select thread, id, status, attempt, error::jsonb->>'code' as error, completed_at, input, losses"
    " from runs where thread in :own",
    "events": "select id, type, run, content, message, thread from thread_events"
    " where thread in :own order by thread, id",
    "messages": "select id, run, parts->0->>'text' as text, status, thread, num from messages"
    " where role = 'assistant' and thread in :own",
    "requests": "select run, state, id from permission_requests where thread in :own",
    "leases": "select run from leases where thread in :own",
    "said": "select thread, id, num, parts->0->>'text' as text, created_at from messages"
    " where role = 'user' and thread in :own order by thread, num",
    "batches": "select id, thread, applied_at, jsonb_path_exists(outcome::jsonb, $path$"
    '$.warnings[*] ? (@.code == "no_active_run")'
    "$path$) as missed, array(select e #>> '{run,id}' from jsonb_array_elements(outcome::jsonb->'events') e"
    " where e->>'type' = 'user_message' and e #>> '{run,id}' is not null) as runs"
    " from batches where applied_at is not null and thread in :own",
}


@dataclass(frozen=True, slots=True)
class Run:
    thread: str
    id: str
    status: str
    attempt: int
    error: str | None  # its code
    completed_at: datetime | None
    input: tuple[str, ...] = ()  # ids of the messages that it answers
    losses: int = 0  # workers in all; `attempt` counts anew from a checkpoint

    @property
    def is_lost(self) -> bool:
        """It failed for its workers, and those were as many as a run may lose."""
        enough = (self.attempt == ATTEMPTS and self.losses >= ATTEMPTS) or self.losses >= MOST_LOST
        return self.error == "runtime.lost" and enough


@dataclass(frozen=True, slots=True)
class Event:
    id: str
    type: str
    run: str | None
    content: str | None
    message: str | None
    thread: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    id: str
    run: str
    text: str
    status: str
    thread: str = ""
    num: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """A message of a user."""

    thread: str
    id: str
    num: int
    text: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Request:
    run: str
    state: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class Thread:
    id: str
    status: str
    active_runs: int
    ready_at: datetime | None


@dataclass(frozen=True, slots=True)
class Batch:
    """An applied one. `missed`: it has an interrupt that found no run."""

    id: int
    thread: str
    applied_at: datetime
    missed: bool
    runs: tuple[str, ...] = ()  # of its messages


@dataclass(frozen=True, slots=True)
class Rows:
    threads: tuple[Thread, ...] = ()
    runs: tuple[Run, ...] = ()
    events: tuple[Event, ...] = ()
    messages: tuple[Message, ...] = ()  # the assistant's
    requests: tuple[Request, ...] = ()
    leases: tuple[str, ...] = ()  # of which runs
    said: tuple[Said, ...] = ()  # by thread, in the order of their numbers
    batches: tuple[Batch, ...] = ()

    def logs(self) -> dict[str | None, list[Event]]:
        """Run -> its events, oldest first."""
        logs: dict[str | None, list[Event]] = defaultdict(list)
        for event in self.events:
            logs[event.run].append(event)
        return logs


async def read(db: asyncpg.Pool, account: str | None = None) -> Rows:
    """Those of one account, where it is named."""
    async with db.acquire() as connection:
        found = {name: await connection.fetch(query.replace(":own", _OWN), account) for name, query in _QUERIES.items()}
    return Rows(
        threads=tuple([Thread(**row) for row in found["threads"]]),
        runs=tuple([Run(**{**row, "input": tuple(row["input"])}) for row in found["runs"]]),
        events=tuple([Event(**row) for row in found["events"]]),
        messages=tuple([Message(**row) for row in found["messages"]]),
        requests=tuple([Request(**row) for row in found["requests"]]),
        leases=tuple([row["run"] for row in found["leases"]]),
        said=tuple([Said(**row) for row in found["said"]]),
        batches=tuple([Batch(**{**row, "runs": tuple(row["runs"])}) for row in found["batches"]]),
    )


def check(rows: Rows) -> list[str]:
    """Every fault that can be seen without knowing what was asked for."""
    logs = rows.logs()
    return [
        *_check_ends(rows.runs, logs),
        *_check_quiet(rows),
        *_check_messages(rows, logs),
        *_check_missed(rows),
    ]


def spoken(log: Sequence[Event]) -> str:
    """The text of all deltas."""
    return "".join(event.content or "" for event in log if event.type == DELTA)


def _check_ends(runs: Sequence[Run], logs: dict[str | None, list[Event]]) -> Iterator[str]:
    """Every run is terminal, says so once, and says nothing after it."""
    for run in runs:
        if run.status not in TERMINAL:
            yield f"run {run.id} is {run.status}"
        ends = [event for event in logs[run.id] if event.type in ENDS]
        if len(ends) != (run.status in TERMINAL):
            yield f"run {run.id} is {run.status} and has {len(ends)} terminal events"
        late = [event.type for event in logs[run.id] if ends and event.id > ends[0].id]
        if late:
            yield f"run {run.id} has events behind its end: {late}"


def _check_quiet(rows: Rows) -> Iterator[str]:
    over = {run.id for run in rows.runs if run.status in TERMINAL}
    for run in rows.leases:
        yield f"run {run} has a lease still"
    for request in rows.requests:
        if request.state == "pending" and request.run in over:
            yield f"run {request.run} is over and has an open request"
    for thread in rows.threads:
        if thread.active_runs or thread.status != "IDLE":
            yield f"thread {thread.id} is {thread.status} with {thread.active_runs} active runs"
        if thread.ready_at is not None:
            yield f"thread {thread.id} waits for a worker and has no run"


def _check_messages(rows: Rows, logs: dict[str | None, list[Event]]) -> Iterator[str]:
    """What a run said is kept: its messages hold exactly the text of their deltas, the last one marked if it is cut."""
    kept: dict[str, list[Message]] = defaultdict(list)
    for message in rows.messages:
        kept[message.run].append(message)
    for run in rows.runs:
        said: dict[str, str] = defaultdict(str)
        for event in logs[run.id]:
            if event.type == DELTA:
                said[event.message or "-"] += event.content or ""
        found = {message.id: message.text for message in kept[run.id]}
        if found != dict(said):
            yield f"run {run.id} ({run.status}) said {dict(said)}, and its messages are {found}"
        incomplete = [message.id for message in kept[run.id] if message.status == "incomplete"]
        if incomplete and run.status == "completed":
            yield f"run {run.id} is completed and has incomplete messages"


def _check_missed(rows: Rows) -> Iterator[str]:
    """An interrupt that found no run was applied before the message of each, or behind its end. Which of two came first
    is certain where their numbers and Postgres' clock agree: of batches that overlapped the later number may be first.
    """
    began = {run: batch for batch in rows.batches for run in batch.runs}
    own: dict[str, list[Run]] = defaultdict(list)
    for run in rows.runs:
        if run.id in began and run.completed_at is not None:
            own[run.thread].append(run)
    for batch in (batch for batch in rows.batches if batch.missed):
        for run in own[batch.thread]:
            before = began[run.id].id < batch.id and began[run.id].applied_at < batch.applied_at
            if before and run.completed_at and run.completed_at > batch.applied_at:
                yield f"an interrupt found nothing, and run {run.id} was there"
