"""Runs as dialects show them that ask by polling: with what they used, and what they wait for.

A page costs the same wherever in a thread it lies, and however long the thread is. Refused here: writing, and places in
the queue (`shared.reads`).
"""

from typing import Any

from pydantic_core import from_json

from shared.db.records import run_of
from shared.db.statements import statements
from shared.ids import RunId, ThreadId, Ulid
from shared.models import RunStatus
from shared.reads import Source
from shared.views import OpenRequest, RunRecord

SQL = statements("runs")

FIRST, LAST = RunId(Ulid("0" * 26)), RunId(Ulid("7" + "Z" * 25))  # before every id, and beyond
_REQUESTS = 10_000  # of one run: more than anybody answers


async def page(
    source: Source,
    partition: int,
    thread: ThreadId,
    limit: int,
    *,
    above: RunId = FIRST,
    below: RunId = LAST,
    descending: bool = True,
) -> list[RunRecord]:
    """At most `limit` runs with ids between the two (exclusive), in this order."""
    rows = await source.fetch(SQL["newest" if descending else "oldest"], partition, thread, above, below, limit)
    waiting = [row["id"] for row in rows if row["status"] == RunStatus.WAITING_INPUT]  # of a thread at most one
    requests = await open_requests(source, partition, thread, waiting[0]) if waiting else ()
    return [_record(row, requests) for row in rows]


async def one(source: Source, partition: int, thread: ThreadId, id_: RunId) -> RunRecord | None:
    row = await source.fetchrow(SQL["one"], partition, thread, id_)
    if row is None:
        return None
    waits = row["status"] == RunStatus.WAITING_INPUT
    return _record(row, await open_requests(source, partition, thread, id_) if waits else ())


async def open_requests(source: Source, partition: int, thread: ThreadId, run: RunId) -> tuple[OpenRequest, ...]:
    """The permission requests that a run waits for, in the order in which they were asked."""
    rows = await source.fetch(SQL["open_requests"], partition, thread, run, _REQUESTS)
    found = (OpenRequest(row["id"], row["title"], row["tool_name"], _object(row["tool_input"])) for row in rows)
    return tuple(sorted(found, key=lambda request: request.id))


def _record(row: Any, requests: tuple[OpenRequest, ...]) -> RunRecord:
    waits = row["status"] == RunStatus.WAITING_INPUT
    return RunRecord(run_of(row), _object(row["usage"]), requests if waits else (), _object(row["metadata"]))


def _object(text: str | None) -> Any:
    return None if text is None else from_json(text)
