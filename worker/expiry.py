"""Permission requests past their time, settled under the partition's lock, in the thread's order.

A request with an unapplied batch from before its time waits: that batch may hold its decision, which is judged by
when it was accepted.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import asyncpg

from shared import ids
from shared.crashpoints import crash
from shared.db.statements import statements
from shared.ids import EventId, RequestId, ThreadId
from shared.lifecycle import State, step
from shared.models import Run, RunError
from shared.reports import RequestExpired, RunExpired, RunnerEvent
from worker.changes import Changes, ready_of
from worker.counts import count_runs
from worker.load import Want, Where, load_states, lock_threads
from worker.transaction import transaction
from worker.write import write

DRAIN = statements("drain")
SQL = statements("sweep")


EXPIRED = RunError("permission.expired", "Nobody answered its permission request in time.", retryable=True)


@dataclass(slots=True)
class Expired:
    """What was settled."""

    requests: int = 0
    changed: list[ThreadId] = field(default_factory=list)
    ready: list[Where] = field(default_factory=list)  # threads whose run waits for a worker since then


async def expire_requests(connection: asyncpg.Connection) -> Expired:
    """Settles requests past their time, partition by partition."""
    rows = await connection.fetch(SQL["expired_requests"], timeout=5)
    partitions: dict[int, list[tuple[ThreadId, RequestId]]] = defaultdict(list)
    for row in rows:
        partitions[row["partition"]].append((row["thread"], row["id"]))
    expired = Expired()
    for partition, asked in partitions.items():
        await _expire_in(connection, partition, asked, expired)
    return expired


async def _expire_in(
    connection: asyncpg.Connection, partition: int, asked: Sequence[tuple[ThreadId, RequestId]], expired: Expired
) -> None:
    async with transaction(connection):
        if not await connection.fetch(DRAIN["try_lock"], [partition]):
            return
        threads = sorted({thread for thread, _ in asked})
        await lock_threads(connection, [(partition, thread) for thread in threads])
        rows = await connection.fetch(SQL["still_expired"], *zip(*asked, strict=True), partition)
        if not rows:
            return
        events: dict[ThreadId, list[RunnerEvent]] = defaultdict(list)
        for row in rows:
            events[row["thread"]].append(RequestExpired(row["id"]))
            if row["on_expired"] == "expire":
                events[row["thread"]].append(RunExpired(row["run"], EXPIRED))
        states = await load_states(connection, [Want(partition, thread, own) for thread, own in events.items()])
        changes, now = Changes(states.hooked), rows[0]["now"]
        statuses = {run.id: run.status for state in states.values() for run in _runs(state)}
        fresh = EventId(ids.at(now))
        for thread, event in ((thread, event) for thread, own in events.items() for event in own):
            taken = step(states[thread], event, now, fresh)
            changes.change(states[thread].thread, taken.state.thread)
            states[thread] = taken.state
            changes.add((partition, thread), taken.effects)
        await write(connection, changes, statuses, (), now)
        crash("worker.before_expiry")
    crash("worker.after_expiry")
    count_runs(changes, statuses)
    expired.requests += len(rows)
    expired.changed += changes.threads
    expired.ready += ready_of(changes)


def _runs(state: State) -> list[Run]:
    return [*state.queue, *state.others.values()]
