"""A pipeline that moves only when it is told to: accept, drain, report as a runner would. Nothing runs by itself."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from api.submission import Pending
from shared import ids
from shared.db.connect import Line
from shared.events import Event
from shared.ids import BatchRef, EventId, RequestId, RunId, ThreadId
from shared.lifecycle import step
from shared.models import BusyPolicy, RunStatus
from shared.reports import Ask, RunLeased, RunnerEvent, RunStarted, RunWaits
from shared.settings import Settings
from tests.pipeline import PARTITIONS, Caller, message, new_caller, running_inbox
from worker.apply import Drained, Drainer
from worker.changes import Changes
from worker.load import Want, load_states, lock_threads
from worker.transaction import transaction
from worker.write import write

ALL = range(PARTITIONS)


@dataclass(slots=True)
class Driver:
    caller: Caller
    drainer: Drainer
    pool: asyncpg.Pool
    line: Line

    async def accept(self, thread: ThreadId, *events: Event, **options: Any) -> BatchRef:
        """One batch, committed and not applied."""
        submission = self.caller.submission(thread, events, reply=False, **options)
        answer = await self.caller.inbox.submit(submission, 0)
        assert isinstance(answer, Pending), answer
        return submission.ref

    async def drain(self, partitions: Sequence[int] = ALL) -> list[Drained]:
        """Drains until nothing is left that may be applied now."""
        return await drain_all(self.drainer, partitions)

    async def create(self, *events: Event) -> ThreadId:
        thread, answer = await self.caller.create(*events, wait=0)
        assert isinstance(answer, Pending), answer
        await self.drain([ids.partition_of(thread, PARTITIONS)])
        return thread

    async def send(self, thread: ThreadId, *events: Event, **options: Any) -> dict[str, Any]:
        """One batch, accepted and applied; its outcome."""
        ref = await self.accept(thread, *events, **options)
        await self.drain([ids.partition_of(thread, PARTITIONS)])
        return await self.outcome(ref)

    async def outcome(self, ref: BatchRef) -> dict[str, Any]:
        text = await self.pool.fetchval("select outcome from batches where ref = $1", ref)
        assert text is not None, "not applied"
        outcome: dict[str, Any] = json.loads(text)
        return outcome

    async def batch(self, ref: BatchRef) -> asyncpg.Record:
        return await self.pool.fetchrow("select * from batches where ref = $1", ref)

    async def thread(self, thread: ThreadId) -> asyncpg.Record:
        return await self.pool.fetchrow("select * from threads where id = $1", thread)

    async def runs(self, thread: ThreadId) -> list[asyncpg.Record]:
        """In the order of execution."""
        return list(await self.pool.fetch("select * from runs where thread = $1 order by seq", thread))

    async def log(self, thread: ThreadId) -> list[tuple[str, str | None]]:
        """The types of the thread's events and their runs, in order."""
        rows = await self.pool.fetch("select type, run from thread_events where thread = $1 order by id", thread)
        return [(row["type"], row["run"]) for row in rows]

    async def requests(self, thread: ThreadId) -> dict[str, asyncpg.Record]:
        rows = await self.pool.fetch("select * from permission_requests where thread = $1", thread)
        return {row["id"]: row for row in rows}

    async def report(self, thread: ThreadId, *events: RunnerEvent) -> None:
        """What a runner reports, written as its worker would."""
        await report(await self.line.get(), thread, *events)

    async def executing(self, *events: Event) -> tuple[ThreadId, RunId]:
        """A thread whose first run executes."""
        thread = await self.create(*events)
        run = RunId((await self.runs(thread))[0]["id"])
        await self.report(thread, RunLeased(run), RunStarted(run))
        return thread, run

    async def asking(self, *asks: Ask) -> tuple[ThreadId, RunId, list[RequestId]]:
        """A thread whose run waits for permissions: one without end, or those that are given."""
        thread, run = await self.executing(message())
        wanted = asks or (Ask(RequestId(ids.mint()), "May I?"),)
        await self.report(thread, RunWaits(run, wanted))
        return thread, run, [ask.id for ask in wanted]


async def drain_all(drainer: Drainer, partitions: Sequence[int] = ALL) -> list[Drained]:
    drains = [await drainer.drain(partitions)]
    while drains[-1].more:
        drains.append(await drainer.drain(partitions))
    return drains


async def report(connection: asyncpg.Connection, thread: ThreadId, *events: RunnerEvent) -> None:
    """What a runner reports of one thread, in a transaction."""
    async with transaction(connection):
        await report_all(connection, {thread: events})


async def report_all(connection: asyncpg.Connection, told: Mapping[ThreadId, Sequence[RunnerEvent]]) -> None:
    """What runners report of these threads, as an append writes it: lock, read, step, write. The caller commits."""
    where = {thread: (ids.partition_of(thread, PARTITIONS), thread) for thread in told}
    await lock_threads(connection, list(where.values()))
    states = await load_states(connection, [Want(*where[thread], events) for thread, events in told.items()])
    now = await connection.fetchval("select clock_timestamp()")
    statuses: dict[RunId, RunStatus] = {
        run.id: run.status for state in states.values() for run in (*state.queue, *state.others.values())
    }
    changes = Changes(states.hooked)
    for thread, event in ((thread, event) for thread, events in told.items() for event in events):
        taken = step(states[thread], event, now, EventId(ids.at(now)))
        changes.change(states[thread].thread, taken.state.thread)
        states[thread] = taken.state
        changes.add(where[thread], taken.effects)
    await write(connection, changes, statuses, (), now)


def codes(outcome: dict[str, Any]) -> list[str]:
    return [warning["code"] for warning in outcome["warnings"]]


@asynccontextmanager
async def running_driver(
    settings: Settings, name: str = "acme", busy_policy: BusyPolicy = BusyPolicy.QUEUE
) -> AsyncIterator[Driver]:
    """An inbox that does not ring, a drainer that nobody runs."""
    async with running_inbox(settings.model_copy(update={"ring": False})) as inbox:
        caller = await new_caller(inbox, name, busy_policy)
        drainer, line = Drainer(settings), Line(settings.database_url)
        try:
            yield Driver(caller, drainer, inbox.pool, line)
        finally:
            await drainer.close()
            await line.close()
