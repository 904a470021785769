"""Recovery: leases that ran out, and runs whose time is up, found by any worker's sweep.

A run whose worker is lost waits for another one, or fails where it has had its attempts; a run past its deadline ends
as `expired`, though whoever has it may hang.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import asyncpg
import structlog

from shared import ids
from shared.crashpoints import crash
from shared.db.statements import statements
from shared.ids import EventId, RunId, ThreadId
from shared.lifecycle import State, step
from shared.metrics import LOST_LEASES
from shared.models import Run, RunStatus
from shared.reports import AttemptLost, RunExpired, RunnerEvent
from worker.changes import Changes
from worker.counts import count_runs
from worker.execute.apart import apart
from worker.execute.leases import lock_free
from worker.load import Want, Where, load_states
from worker.transaction import transaction
from worker.write import write

log = structlog.get_logger()

MOST_LOST = 10  # workers that one run may lose in all, however many checkpoints it makes between
SQL = statements("execute")


async def recover(connection: asyncpg.Connection, attempts: int) -> tuple[list[ThreadId], list[Where]]:
    """Settles what ran out; returns the threads that changed, and those whose run waits for a worker now."""
    rows = await connection.fetch(SQL["run_out"], timeout=5)
    if not rows:
        return [], []
    where = [(row["partition"], row["thread"]) for row in rows]
    found = await apart(partial(_recover, connection, attempts=attempts), where)
    return [thread for changed, _ in found for thread in changed], [one for _, ready in found for one in ready]


async def _recover(
    connection: asyncpg.Connection, where: Sequence[Where], *, attempts: int
) -> tuple[list[ThreadId], list[Where]]:
    """One transaction."""
    async with transaction(connection):
        free, _ = await lock_free(connection, where)
        out = await connection.fetch(SQL["still_out"], *zip(*free, strict=True)) if free else []
        if not out:
            return [], []
        changes, statuses, ready = await _settle(connection, out, attempts)
        crash("worker.before_takeover")
    crash("worker.after_takeover")
    count_runs(changes, statuses)
    return list(changes.threads), ready


async def _settle(
    connection: asyncpg.Connection, out: Sequence[asyncpg.Record], attempts: int
) -> tuple[Changes, dict[RunId, RunStatus], list[Where]]:
    now = out[0]["now"]
    losses = await _count(connection, [row for row in out if row["lost"]])
    events = {row["thread"]: _event(row, attempts, losses) for row in out}
    states = await load_states(
        connection, [Want(row["partition"], row["thread"], (events[row["thread"]],)) for row in out]
    )
    changes, ready = Changes(states.hooked), list[Where]()
    statuses = {run.id: run.status for state in states.values() for run in _runs(state)}
    for thread, state in states.items():
        where = (state.thread.partition, thread)
        taken = step(state, events[thread], now, EventId(ids.at(now)))
        changes.change(state.thread, taken.state.thread)
        changes.add(where, taken.effects)
        if taken.state.thread.ready_at is not None:
            ready.append(where)
    lost = [row for row in out if row["lost"]]
    changes.ended = changes.interrupted = [(row["partition"], row["thread"], row["epoch"]) for row in lost]
    if changes.threads or lost:
        await write(connection, changes, statuses, (), now)
    if lost:
        LOST_LEASES.inc(len(lost))
        log.warning(
            "leases ran out: their workers are lost",
            runs=[row["run"] for row in lost],
            threads=[row["thread"] for row in lost],
        )
    return changes, statuses, ready


async def _count(connection: asyncpg.Connection, lost: Sequence[asyncpg.Record]) -> dict[ThreadId, int]:
    """How many workers each of these runs has lost, with the one of now."""
    if not lost:
        return {}
    columns = zip(*((row["partition"], row["thread"], row["run"]) for row in lost), strict=True)
    return {row["thread"]: row["losses"] for row in await connection.fetch(SQL["count_losses"], *columns)}


def _event(row: asyncpg.Record, attempts: int, losses: Mapping[ThreadId, int]) -> RunnerEvent:
    if not row["lost"]:
        return RunExpired(row["run"])
    enough = losses.get(row["thread"], 0) >= MOST_LOST
    return AttemptLost(row["run"], 0 if enough else attempts)


def _runs(state: State) -> list[Run]:
    return [*state.queue, *state.others.values()]
