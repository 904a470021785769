"""Writes down what the core decided: effects become columns, columns become one statement.

Raises `Disturbed` where a row was not as it was read: the caller rolls back.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from shared import ids
from shared.crashpoints import armed
from shared.db.statements import statements
from shared.effects import EventLogged, MessageAmended, MessageRemoved, RunCreated, ThreadAmended
from shared.files import made
from shared.ids import BatchId, MessageId, RunId, Ulid
from shared.models import Run, RunStatus, Thread
from worker.changes import AT_WORK, Changes
from worker.outbox import outbox_rows
from worker.rows import (
    Row,
    Where,
    amended_row,
    created_row,
    decided_row,
    kept_row,
    logged_row,
    more_of,
    moved_row,
    opened_row,
    settled_row,
    steer_row,
    thread_row,
    written_row,
)

SQL = statements("write")
SAID = statements("said")
OUTBOX = statements("outbox")

_YOUNG = frozenset({RunStatus.QUEUED, RunStatus.RUNNING})  # what a run is in the drain that makes it, most of the time
_NOTHING = (None, None, None, None)
_CUT = frozenset({RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.EXPIRED})
_MARGIN = timedelta(seconds=1)  # between the time of an id and that of its row: both are of one drain


class Disturbed(Exception):
    """A row that the drain had locked was not as it was read; the transaction is rolled back."""


@dataclass(slots=True)
class _Rows:
    """The changes sorted by the statement that writes them."""

    said: list[Row] = field(default_factory=list)
    logged: list[Row] = field(default_factory=list)
    in_full: list[Row] = field(default_factory=list)
    created: list[Row] = field(default_factory=list)
    written: list[Row] = field(default_factory=list)
    threads: list[Row] = field(default_factory=list)


async def write(
    connection: asyncpg.Connection,
    changes: Changes,
    statuses: dict[RunId, RunStatus],
    outcomes: Sequence[tuple[int, BatchId, str]],
    now: datetime,
    owner: Ulid | None = None,
) -> None:
    """Writes the changes, marks the batches of `outcomes` (partition, id, text) applied, clears `owner`'s note.

    `statuses` are those that the moved runs were loaded with: an update repeats what it expects.
    """
    rows = _sort(changes)
    row = await connection.fetchrow(
        SQL["write"],
        now,
        *_table(outcomes, 3),
        *_table([thread_row(thread) for thread in changes.threads.values()], 10),
        *_table(rows.said, 10),
        *_table([moved_row(where, run, statuses[run.id]) for where, run in changes.moved.values()], 11),
        *_table(rows.logged, 11),
        owner,
    )
    expected = (len(outcomes), len(changes.threads), len(changes.moved))
    if tuple(row) != expected and not armed("stale_read"):
        raise Disturbed(f"marked, changed, moved: {tuple(row)}, expected {expected}")
    await _write_rest(connection, changes, rows, _cut_short(changes, statuses))
    if changes.hooked and (told := list(_told(changes, statuses, now))):
        await connection.execute(OUTBOX["insert"], *zip(*told, strict=True))


def _told(changes: Changes, statuses: dict[RunId, RunStatus], now: datetime) -> Iterator[Row]:
    """What webhooks are to be told of the runs that moved; one that was made here has no status before."""
    moved = [(where, run, statuses.get(run.id)) for where, run in changes.moved.values()]
    made = [(where, created.run, None) for where, created in changes.created.values()]
    return outbox_rows(changes.hooked, changes.threads, (*moved, *made), changes.opened, now)


def _sort(changes: Changes) -> _Rows:
    """A user's message has the id of its event; the rest of the log, of the messages and the runs is what is left."""
    rows = _Rows()
    created, written = dict(changes.created), dict(changes.written)
    mixed = _mixed(changes)
    for where, event in changes.logged:
        if where not in mixed and written.pop(MessageId(event.id), None) is not None:
            asked = _asked(created, event)
            rows.said.append((*where, event.id, event.run, event.content, event.occurred_at, *asked))
        elif event.tool_call_id is event.tool_name is event.request_id is None:
            rows.logged.append(logged_row(where, event))
        else:
            rows.in_full.append((*logged_row(where, event), *more_of(event)))
    rows.created = [created_row(where, made) for where, made in created.values()]
    rows.written = [written_row(where, message) for where, message in written.values()]
    rows.threads = [
        settled_row(after) for after in changes.threads.values() if _settles(changes.before[after.id], after)
    ]
    return rows


def _mixed(changes: Changes) -> set[Where]:
    """Threads with messages of more than a user's text: all theirs are numbered in one go, in their order."""
    said = {MessageId(event.id) for _, event in changes.logged}
    return {where for message, (where, one) in changes.written.items() if message not in said or one.parts[1:]}


def _asked(created: dict[RunId, tuple[Where, RunCreated]], event: EventLogged) -> Row:
    """The run that this message starts, where it is queued still, or at work already: its seq, status, start and
    attempt; takes that run out of `created`.
    """
    made = created.get(event.run) if event.run is not None else None
    run = None if made is None else made[1].run
    if run is None or run.status not in _YOUNG or run.updated_at != event.occurred_at:
        return _NOTHING
    del created[run.id]
    return (run.seq, run.status, run.started_at, run.attempt)


def _settles(before: Thread, after: Thread) -> bool:
    return (
        before.agent != after.agent
        or before.held is not after.held
        or before.archived_at is not after.archived_at
        or before.deleted_at is not after.deleted_at
    )


def _cut_short(changes: Changes, statuses: dict[RunId, RunStatus]) -> list[Row]:
    """Runs that end here though they were at work: what they were saying is kept as it is."""
    return [
        (*where, run.id, _before(run), run.error.code if run.error else str(run.status), run.updated_at)
        for where, run in changes.moved.values()
        if statuses[run.id] in AT_WORK and run.status in _CUT
    ]


def _before(run: Run) -> Ulid:
    """An event id before the first one of the run: ids follow Postgres' clock, as its times do."""
    return ids.earliest((run.started_at or run.created_at) - _MARGIN)


async def _write_rest(connection: asyncpg.Connection, changes: Changes, rows: _Rows, cut: list[Row]) -> None:
    """What few drains change."""
    if changes.interrupted:
        await connection.execute(SQL["keep_deadline"], *_table(changes.interrupted, 3))
    kept = _kept_rows(changes)
    if rows.written or kept or changes.ended:
        await connection.execute(SAID["say"], *_table(rows.written, 11), *_table(kept, 6), *_table(changes.ended, 3))
    if rows.threads:  # before the runs, which is the order of the locks
        await connection.execute(SQL["settle_threads"], *_table(rows.threads, 6))
    if rows.created:
        own = [(run, message) for run, (_, made) in changes.created.items() for message in made.input]
        await connection.execute(SQL["insert_runs"], *_table(rows.created, 16), *_table(own, 2), _loose(changes))
    if changes.announced:
        await made.announce(connection, changes.announced)
    rest: tuple[tuple[str, list[Row]], ...] = (
        (SQL["log_in_full"], rows.in_full),
        (SAID["keep_cut_messages"], cut),
        (SAID["turn_messages"], _turned_rows(changes)),
        (SAID["edit_messages"], [(*where, run, text) for run, (where, text) in changes.edited.items()]),
        (SQL["keep_client_requests"], [(*where, s.client_request_id, s.run) for where, s in changes.client_requests]),
        (SQL["insert_requests"], [opened_row(where, opened) for where, opened in changes.opened]),
        (SQL["settle_requests"], [decided_row(where, settled) for where, settled in changes.settled.values()]),
        (SQL["keep_steers"], [steer_row(where, steer) for where, steer in changes.steers.values()]),
    )
    for statement, some in rest:
        if some:
            await connection.execute(statement, *zip(*some, strict=True))
    for where, one in changes.amended:  # in their order: one may set what another one removes
        await _amend(connection, where, one)


def _loose(changes: Changes) -> list[MessageId]:
    """Messages that no run of this transaction collects: they came too late, or were removed before."""
    return [*(message for message, (_, one) in changes.written.items() if one.run is None), *changes.gone]


async def _amend(
    connection: asyncpg.Connection, where: Where, one: MessageAmended | MessageRemoved | ThreadAmended
) -> None:
    match one:
        case MessageAmended():
            await connection.execute(SAID["amend_message"], *amended_row(where, one))
        case MessageRemoved(message):
            await connection.execute(SAID["remove_message"], *where, message)
        case ThreadAmended():
            await connection.execute(SQL["amend_thread"], *amended_row(where, one))


def _turned_rows(changes: Changes) -> list[Row]:
    """Messages that no runner took, with the runs that they became."""
    return [
        (*where, steer.run, steer.event)
        for where, steer in changes.steers.values()
        if steer.settled and steer.run in changes.created
    ]


def _kept_rows(changes: Changes) -> list[Row]:
    """The last of each: of several rows about one run an update takes any."""
    kept: dict[RunId, Row] = {}
    for where, one in changes.kept:
        row = kept_row(where, one)
        before = kept.get(one.run)
        kept[one.run] = (
            row if before is None else tuple(b if a is None else a for a, b in zip(row, before, strict=True))
        )
    return list(kept.values())


def _table(rows: Sequence[Row], width: int) -> Iterable[Sequence[Any]]:
    """Rows as columns, for `unnest`; `width` empty columns where there are no rows."""
    return zip(*rows, strict=True) if rows else ((),) * width
