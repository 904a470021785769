"""Writes down what the core decided: effects become columns, columns become one statement.

Of several effects on one record the last one counts; a run that was made and moved in one drain is inserted as it
ended. Raises `Disturbed` where a row was not as it was read: the caller rolls back.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg
from pydantic_core import to_json

from shared.crashpoints import armed
from shared.db.statements import statements
from shared.effects import (
    ClientRequestSeen,
    Effect,
    EventLogged,
    MessageWritten,
    RequestOpened,
    RequestSettled,
    RunCreated,
    RunMoved,
    SteerOffered,
    SteerSettled,
)
from shared.ids import BatchId, RequestId, RunId, ThreadId
from shared.models import PermissionRequest, Run, RunError, RunStatus, Steer, Thread

SQL = statements("drain")

Where = tuple[int, ThreadId]


class Disturbed(Exception):
    """A row that the drain had locked was not as it was read; the transaction is rolled back."""


@dataclass(slots=True)
class Changes:
    """All that one transaction writes, each record once."""

    threads: dict[ThreadId, Thread] = field(default_factory=dict)
    created: dict[RunId, tuple[Where, RunCreated]] = field(default_factory=dict)
    moved: dict[RunId, tuple[Where, Run]] = field(default_factory=dict)
    logged: list[tuple[Where, EventLogged]] = field(default_factory=list)
    written: list[tuple[Where, MessageWritten]] = field(default_factory=list)
    opened: list[tuple[Where, RequestOpened]] = field(default_factory=list)
    settled: dict[RequestId, tuple[Where, PermissionRequest]] = field(default_factory=dict)
    steers: dict[RunId, tuple[Where, Steer]] = field(default_factory=dict)
    client_requests: list[tuple[Where, ClientRequestSeen]] = field(default_factory=list)

    def add(self, where: Where, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case EventLogged():
                    self.logged.append((where, effect))
                case RunMoved(run):
                    self._move(where, run)
                case RunCreated(run):
                    self.created[run.id] = (where, effect)
                case MessageWritten():
                    self.written.append((where, effect))
                case ClientRequestSeen():
                    self.client_requests.append((where, effect))
                case RequestOpened():
                    self.opened.append((where, effect))
                case RequestSettled(request):
                    self.settled[request.id] = (where, request)
                case SteerOffered(steer) | SteerSettled(steer):
                    self.steers[steer.run] = (where, steer)

    def _move(self, where: Where, run: Run) -> None:
        if run.id in self.created:
            self.created[run.id] = (where, RunCreated(run, self.created[run.id][1].input))
        else:
            self.moved[run.id] = (where, run)


async def write(
    connection: asyncpg.Connection,
    changes: Changes,
    statuses: dict[RunId, RunStatus],
    outcomes: Sequence[tuple[int, BatchId, str]],
    now: datetime,
) -> None:
    """Writes the changes and marks the batches of `outcomes` (partition, id, text) applied.

    `statuses` are those that the moved runs were loaded with: an update repeats what it expects.
    """
    row = await connection.fetchrow(
        SQL["write"],
        now,
        *_table(outcomes, 3),
        *_table([_thread_row(thread) for thread in changes.threads.values()], 12),
        *_table([_created_row(where, made) for where, made in changes.created.values()], 13),
        *_table([_moved_row(where, run, statuses[run.id]) for where, run in changes.moved.values()], 11),
        *_table([_logged_row(where, event) for where, event in changes.logged], 14),
        *_table([_written_row(where, message) for where, message in changes.written], 9),
    )
    expected = (len(outcomes), len(changes.threads), len(changes.moved))
    if (row["marked"], row["changed"], row["moved"]) != expected and not armed("stale_read"):
        raise Disturbed(f"marked, changed, moved: {tuple(row)}, expected {expected}")
    await _write_rest(connection, changes, now)


async def _write_rest(connection: asyncpg.Connection, changes: Changes, now: datetime) -> None:
    """What few drains change."""
    if changes.client_requests:
        rows = [(*where, seen.client_request_id, seen.run) for where, seen in changes.client_requests]
        await connection.execute(SQL["keep_client_requests"], *_table(rows, 4))
    if changes.opened:
        await connection.execute(
            SQL["insert_requests"], *_table([_opened_row(where, o, now) for where, o in changes.opened], 9)
        )
    if changes.settled:
        rows_ = [(*where, r.id, r.state, r.note, now) for where, r in changes.settled.values()]
        await connection.execute(SQL["settle_requests"], *_table(rows_, 6))
    if changes.steers:
        steers = [(*where, s.run, s.target, s.event, s.text, s.settled) for where, s in changes.steers.values()]
        await connection.execute(SQL["keep_steers"], *_table(steers, 7))


def _table(rows: Sequence[tuple[Any, ...]], width: int) -> Iterable[Sequence[Any]]:
    """Rows as columns, for `unnest`; `width` empty columns where there are no rows."""
    return zip(*rows, strict=True) if rows else ((),) * width


def _thread_row(t: Thread) -> tuple[Any, ...]:
    return (
        t.partition,
        t.id,
        t.title,
        t.status,
        t.active_runs,
        t.last_run_id,
        t.last_run_seq,
        t.last_event_id,
        t.held,
        t.archived_at,
        t.deleted_at,
        t.updated_at,
    )


def _created_row(where: Where, made: RunCreated) -> tuple[Any, ...]:
    run = made.run
    return (
        *where,
        run.id,
        run.seq,
        run.status,
        run.trigger,
        made.input[0] if made.input else None,
        run.created_at,
        run.started_at,
        run.updated_at,
        run.completed_at,
        _error(run.error),
        run.attempt,
    )


def _moved_row(where: Where, run: Run, expected: RunStatus) -> tuple[Any, ...]:
    return (
        *where,
        run.id,
        run.seq,
        run.status,
        run.started_at,
        run.updated_at,
        run.completed_at,
        _error(run.error),
        run.attempt,
        expected,
    )


def _logged_row(where: Where, event: EventLogged) -> tuple[Any, ...]:
    return (
        *where,
        event.id,
        event.run,
        event.type,
        event.status,
        event.content,
        event.tool_call_id,
        event.tool_name,
        _json(event.tool_input),
        event.request_id,
        event.tokens,
        event.duration_ms,
        event.occurred_at,
    )


def _written_row(where: Where, message: MessageWritten) -> tuple[Any, ...]:
    return (
        *where,
        message.id,
        message.role,
        _json(message.parts),
        message.run,
        _json(message.metadata),
        message.request_id,
        message.created_at,
    )


def _opened_row(where: Where, opened: RequestOpened, now: datetime) -> tuple[Any, ...]:
    request = opened.request
    return (
        *where,
        request.id,
        request.run,
        opened.title,
        opened.tool_name,
        _json(opened.tool_input),
        now,
        request.expires_at,
    )


def _json(value: Any) -> str | None:
    return None if value is None else to_json(value).decode()


def _error(error: RunError | None) -> str | None:
    return None if error is None else to_json(error).decode()
