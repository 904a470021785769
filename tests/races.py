"""Races on purpose: what runs at the same time, in an order that a seed chooses, on connections of its own."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from api.inbox import Inbox
from api.submission import Missing, NewThread, Passes, Pending
from shared import ids
from shared.db.connect import open_pool
from shared.effects import EventLogged
from shared.events import Event
from shared.ids import BatchRef, EventId, RequestId, RunId, ThreadId
from shared.lifecycle import step
from shared.models import TokenKind
from shared.reports import Ask, RunFinished, RunLeased, RunnerEvent, RunStarted, RunWaits
from shared.settings import Settings
from tests.driver import Driver, drain_all, report_all
from tests.pipeline import PARTITIONS, message, running_inbox
from worker.apply import Drainer
from worker.changes import Changes
from worker.load import Want, load_states, lock_threads
from worker.transaction import transaction
from worker.write import write

RUNNERS = 4  # connections that append
DRAINERS = 3


@dataclass(slots=True)
class Race:
    """Two apis, some drainers and some runners, all at once."""

    driver: Driver
    inboxes: Sequence[Inbox]
    drainers: Sequence[Drainer]
    runners: asyncpg.Pool
    random: random.Random

    async def run(self, *groups: tuple[float, Sequence[Callable[[], Awaitable[None]]]]) -> None:
        """All actors at once, each after a moment that the seed chooses, while the drainers drain.

        A group is the longest such moment, in seconds, and its actors.
        """
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for drainer in self.drainers:
                group.create_task(self._drain(drainer, over))
            async with asyncio.TaskGroup() as acting:
                for longest, actors in groups:
                    for actor in actors:
                        acting.create_task(self._hesitate(longest, actor))
            over.set()
        await drain_all(self.drainers[0])

    async def _hesitate(self, longest: float, actor: Callable[[], Awaitable[None]]) -> None:
        await asyncio.sleep(self.random.uniform(0, longest))
        await actor()

    async def _drain(self, drainer: Drainer, over: asyncio.Event) -> None:
        while not over.is_set():
            some = sorted(self.random.sample(range(PARTITIONS), self.random.randint(8, PARTITIONS)))
            await drainer.drain(some, wait=self.random.random() < 0.7)

    async def send(self, thread: ThreadId, *events: Event, passes: Passes = Passes.NOTHING) -> BatchRef | None:
        """Through one of the apis, not waiting for the outcome; None where there is no such thread any more."""
        submission = self.driver.caller.submission(thread, events, reply=False, passes=passes)
        answer = await self.random.choice(self.inboxes).submit(submission, 0)
        assert isinstance(answer, Pending | Missing), answer
        return submission.ref if isinstance(answer, Pending) else None

    async def append(self, thread: ThreadId, run: RunId, *, finish: bool = False) -> bool:
        """One piece of output, and the end of the run where that is said; False where the run is no longer ours."""
        where = (ids.partition_of(thread, PARTITIONS), thread)
        async with self.runners.acquire() as connection, transaction(connection):
            await lock_threads(connection, [where])
            ours = await connection.fetch(
                "select clock_timestamp() as now from runs"
                " where partition = $1 and thread = $2 and id = $3 and status = 'running' for update",
                *where,
                run,
            )
            if ours:
                await _insert(connection, where, run, ours[0]["now"], finish)
        return bool(ours)

    async def executing(self, count: int, *, asking: bool = False) -> dict[ThreadId, tuple[RunId, RequestId]]:
        """New threads whose runs execute, or wait for a permission each."""
        first = {ThreadId(ids.mint()): message() for _ in range(count)}
        await asyncio.gather(*(self._create(thread, said) for thread, said in first.items()))
        await drain_all(self.drainers[0])
        made = {thread: (said.run, RequestId(ids.mint())) for thread, said in first.items()}
        told: dict[ThreadId, list[RunnerEvent]] = {}
        for thread, (run, request) in made.items():
            told[thread] = [RunLeased(run), RunStarted(run)]
            if asking:
                told[thread].append(RunWaits(run, (Ask(request, "May I?"),)))
        async with self.runners.acquire() as connection, transaction(connection):
            await report_all(connection, told)
        return made

    async def _create(self, thread: ThreadId, *events: Event) -> None:
        caller = self.driver.caller
        new = NewThread(agent=caller.agent, created_by_kind=TokenKind.HUMAN_PAT)
        answer = await self.inboxes[0].submit(caller.submission(thread, events, reply=False)._replace(new=new), 0)
        assert isinstance(answer, Pending)


async def _insert(
    connection: asyncpg.Connection, where: tuple[int, ThreadId], run: RunId, now: datetime, finish: bool
) -> None:
    """A delta whose id is max(ULID of the clock, last id + 1), and the end behind it, under the thread's lock."""
    states = await load_states(connection, [Want(*where, [RunFinished(run)])])
    state = states[where[1]]
    before, last, fresh = state.thread, state.thread.last_event_id, EventId(ids.at(now))
    delta = fresh if last is None or fresh > last else EventId(ids.successor(last))
    statuses = {one.id: one.status for one in (*state.queue, *state.others.values())}
    state, changes = state._replace(thread=before._replace(last_event_id=delta)), Changes(states.hooked)
    changes.logged.append((where, EventLogged(delta, "agent.message.delta", now, run, "…")))
    if finish:
        taken = step(state, RunFinished(run), now, fresh)
        state = taken.state
        changes.add(where, taken.effects)
    changes.change(before, state.thread)
    await write(connection, changes, statuses, (), now)


@asynccontextmanager
async def racing(settings: Settings, driver: Driver, seed: int) -> AsyncIterator[Race]:
    runners = await open_pool(settings.database_url, RUNNERS)
    drainers = [Drainer(settings) for _ in range(DRAINERS)]
    quiet = settings.model_copy(update={"ring": False})
    try:
        async with running_inbox(quiet) as one, running_inbox(quiet) as other:
            yield Race(driver, (one, other), drainers, runners, random.Random(seed))  # noqa: S311 - a seed is the point
    finally:
        for drainer in drainers:
            await drainer.close()
        runners.terminate()
