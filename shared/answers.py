"""What a run has answered so far: its messages, what it used, why it failed, which permissions it waits for.

For the dialects in which a run is one request with one answer. Refused here: waiting for more, and writing.
"""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from pydantic_core import from_json

from shared.db.records import run_error_of
from shared.db.statements import statements
from shared.errors import NotFound
from shared.ids import RequestId, RunId, ThreadId
from shared.models import RunStatus
from shared.reads import Source
from shared.runs import open_requests
from shared.views import RunAnswer, Said

SQL = statements("answers")

_MOST = 1_000  # messages of one answer: the newest ones of a run that says more
_SIZE = 8 << 20  # bytes of their texts; the last message is told, however long


async def answer(source: Source, partition: int, thread: ThreadId, run: RunId, since: datetime) -> RunAnswer:
    """The run, with what it said from a moment on; where it waits, with what it waits for. Who decides or interrupts
    meanwhile has it read again, once for each deed. Raises NotFound, also where its thread is deleted.
    """
    while True:
        before = await open_requests(source, partition, thread, run)
        row = await _run(source, partition, thread, run)
        said = await source.fetch(SQL["said"], partition, thread, run, since, _MOST, _SIZE)
        waits = row["status"] == RunStatus.WAITING_INPUT
        if not waits or await open_requests(source, partition, thread, run) == before:
            return RunAnswer(
                status=RunStatus(row["status"]),
                error=run_error_of(row["error"]),
                usage=None if row["usage"] is None else from_json(row["usage"]),
                question=row["question"],
                said=[Said(one["id"], one["num"], from_json(one["parts"])) for one in reversed(said)],
                requests=before if waits else (),
            )


async def question(source: Source, partition: int, thread: ThreadId, run: RunId) -> int | None:
    """The number of the message that a run answers; None where that is removed. Raises what `answer` raises."""
    found: int | None = (await _run(source, partition, thread, run))["question"]
    return found


async def requests_of(source: Source, partition: int, thread: ThreadId, runs: Collection[RunId]) -> dict[RunId, str]:
    """The ids of the requests that started these runs, where they are known."""
    if not runs:
        return {}
    rows = await source.fetch(SQL["requests_of"], partition, thread, list(runs))
    return {row["run"]: row["request_id"] for row in rows}


async def runs_of(source: Source, partition: int, thread: ThreadId, requests: Collection[RequestId]) -> set[RunId]:
    """The runs that asked for these permissions; what is not known of the thread is left out."""
    rows = await source.fetch(SQL["runs_of"], partition, thread, list(requests))
    return {row["run"] for row in rows}


async def _run(source: Source, partition: int, thread: ThreadId, run: RunId) -> Any:
    row = await source.fetchrow(SQL["run"], partition, thread, run)
    if row is None:
        raise NotFound("There is no such thread.")
    return row
