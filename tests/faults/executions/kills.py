"""The executing worker is killed in mid-stream, many times in a row; runs must go on elsewhere, with their exact text.

A round waits until a run has streamed some deltas, kills the process that has its lease, starts it again, and waits
until every run that this process had says something again: by Postgres' clock, what the log holds from behind the
kill is another worker's.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil

from shared.ids import partition_of
from tests.faults.clients import chance
from tests.faults.executions import rows
from tests.faults.executions.readers import Copy, Reader, check_copy
from tests.faults.executions.rows import Rows
from tests.faults.executions.stage import Stage, stage
from tests.faults.executions.talks import Talk
from tests.faults.processes import Member, Stack
from tests.faults.servers import Servers
from tests.faults.waiting import until
from tests.pipeline import PARTITIONS

KILLS = 50
SLOWEST = 10.0  # seconds from a kill to the next event of a run; the bar
PATIENCE = 60.0  # seconds for a run to say something again; what takes longer than `SLOWEST` is reported, not cut off

_CANDIDATES = """
select l.thread, l.run, w.pid
from leases l
join workers w on w.id = l.owner
join runs r on r.partition = l.partition and r.thread = l.thread and r.id = l.run
where l.expires_at > clock_timestamp() and r.status = 'running'
  and (select count(*) from thread_events e
       where e.partition = l.partition and e.thread = l.thread and e.run = l.run and e.occurred_at > $1
         and e.type = 'agent.message.delta') >= $2
order by l.run
"""
_HAD = """
select l.thread, l.run
from leases l
join workers w on w.id = l.owner
join runs r on r.partition = l.partition and r.thread = l.thread and r.id = l.run
where w.pid = $1 and r.completed_at is null
"""
_NEXT = """
select min(occurred_at) from thread_events
where partition = $1 and thread = $2 and run = $3 and occurred_at > $4
"""


@dataclass(frozen=True, slots=True)
class Plan:
    seed: int = 1
    kills: int = KILLS
    threads: int = 4
    workers: int = 2
    deltas: tuple[int, int] = (3, 35)  # of a run since the last kill, before its worker is killed


@dataclass(slots=True)
class Report:
    plan: Plan
    runs: int
    lost: int  # runs that failed, because they had their three attempts without a checkpoint between
    recoveries: list[float]  # seconds, of every run that a killed worker had
    pages: int  # read by clients of the history
    streams: int  # opened by clients of the live stream
    seconds: float
    faults: list[str]

    def line(self) -> str:
        """One line of JSON."""
        return json.dumps(
            {
                "seed": self.plan.seed,
                "kills": self.plan.kills,
                "runs": self.runs,
                "lost_three_workers": self.lost,
                "recoveries": len(self.recoveries),
                "p50": round(quantile(self.recoveries, 0.5), 2),
                "p99": round(quantile(self.recoveries, 0.99), 2),
                "slowest": round(max(self.recoveries), 2),
                "pages": self.pages,
                "streams": self.streams,
                "seconds": round(self.seconds, 1),
                "faults": len(self.faults),
            }
        )


async def kill_run(plan: Plan, servers: Servers) -> Report:
    """One run on a database of its own."""
    began, talk = time.monotonic(), Talk()
    async with Stack(servers, await servers.new_database(), servers.redis.url) as stack:
        stack.api()
        for _ in range(plan.workers):
            stack.worker(role="all")
        async with stage(stack) as s:
            threads = [await s.new_thread() for _ in range(plan.threads)]
            readers = [
                Reader(s, chance(plan.seed, 7, n), live, Copy(thread))
                for n, thread in enumerate(threads)
                for live in (False, True)
            ]
            following = [asyncio.create_task(reader.follow()) for reader in readers]
            try:
                recoveries = await _rounds(plan, s, talk, threads)
                await _caught_up(s, readers, talk, following)
            finally:
                for task in following:
                    task.cancel()
                await asyncio.wait(following)
            found, faults = await talk.judge(s)
    return Report(
        plan=plan,
        runs=len(talk.texts),
        lost=sum(run.error == "runtime.lost" for run in found.runs),
        recoveries=recoveries,
        pages=sum(reader.connections for reader in readers if not reader.streams),
        streams=sum(reader.connections for reader in readers if reader.streams),
        seconds=time.monotonic() - began,
        faults=[
            *faults,
            *check_readers(found, [reader.copy for reader in readers]),
            *(f"recovered after {took:.1f} s" for took in recoveries if took > SLOWEST),
        ],
    )


async def _rounds(plan: Plan, s: Stage, talk: Talk, threads: Sequence[str]) -> list[float]:
    """All kills, with the talks going on beside them until the last one has recovered and every run has ended."""
    rng, recoveries = chance(plan.seed), list[float]()
    async with asyncio.TaskGroup() as group:
        for n, thread in enumerate(threads):
            group.create_task(talk.converse(s, thread, chance(plan.seed, n)))
        last: datetime = await s.db.fetchval("select clock_timestamp()")
        kills = 0
        while kills < plan.kills:
            await s.stack.ready(*s.stack.workers)
            victim = await _choose(s, last, rng.randint(*plan.deltas))
            last, took = await _kill(s, victim)
            recoveries += took
            kills += bool(took)  # what it had may have ended between the look and the kill
        talk.over.set()
    return recoveries


async def _choose(s: Stage, since: datetime, deltas: int) -> Member:
    """A worker with a run that has streamed so many deltas since then."""
    chosen: list[Member] = []

    async def found() -> bool:
        members = [s.member(row["pid"]) for row in await s.db.fetch(_CANDIDATES, since, deltas)]
        chosen.extend(member for member in members if member is not None)
        return bool(chosen)

    await until(f"a run has streamed {deltas} deltas since the last kill", found, PATIENCE)
    return chosen[0]


async def _kill(s: Stage, victim: Member) -> tuple[datetime, list[float]]:
    """Kills a worker; when it was dead, and how long each of its runs was silent."""
    began: datetime = await s.db.fetchval("select clock_timestamp()")
    pid = victim.process.pid
    await victim.kill()
    dead: datetime = await s.db.fetchval("select clock_timestamp()")
    had = await s.db.fetch(_HAD, pid)
    victim.restart()
    return dead, [await _recovered(s, row["thread"], row["run"], began, dead) for row in had]


async def _recovered(s: Stage, thread: str, run: str, began: datetime, dead: datetime) -> float:
    async def next_event() -> datetime | None:
        at: datetime | None = await s.db.fetchval(_NEXT, partition_of(thread, PARTITIONS), thread, run, dead)
        return at

    await until(f"run {run} goes on", next_event, PATIENCE)
    at = await next_event()
    assert at is not None
    return (at - began).total_seconds()


async def _caught_up(s: Stage, readers: Sequence[Reader], talk: Talk, following: Sequence[asyncio.Task[None]]) -> None:
    """Until every reader has seen the end of every run of its thread; raises what one of them raised."""

    async def all_seen() -> bool:
        for task in following:
            if task.done():
                task.result()
        copies = [reader.copy for reader in readers]
        return all(
            run in copy.ended for run, thread in talk.threads.items() for copy in copies if copy.thread == thread
        )

    await until("every reader has seen every run's end", all_seen, PATIENCE)


def check_readers(found: Rows, copies: Sequence[Copy]) -> list[str]:
    """Each client put together what the log holds of its thread; at each entry, all of it so far."""
    logs = found.logs()
    early = [
        fault
        for copy in copies
        for fault in check_copy(copy, [e for e in found.events if e.thread == copy.thread and e.id <= copy.cursor])
    ]
    said = {run.id: rows.spoken(logs[run.id]) for run in found.runs}
    read = [(copy, run.id) for copy in copies for run in found.runs if run.thread == copy.thread]
    return [*early, *(fault for copy in copies for fault in copy.faults)] + [
        f"reader of {copy.thread}: read {copy.texts[run]!r} of run {run}, not {said[run]!r}"
        for copy, run in read
        if copy.texts[run] != said[run]
    ]


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that so large a share of them is not above."""
    ordered = sorted(values)
    return ordered[max(ceil(share * len(ordered)) - 1, 0)]
