"""Rows 5, 6 and 16 of the list of faults, one at a time: workers that are gone, that come back late, that restart."""

import asyncio
import signal
import time

import pytest

from tests.faults.clients import chance
from tests.faults.executions.rows import ATTEMPTS
from tests.faults.executions.stage import Stage, stage
from tests.faults.executions.talks import Talk
from tests.faults.processes import Member, Stack
from tests.faults.scene import is_stopped
from tests.faults.waiting import until

TAKEN = 12.0  # seconds until another worker has a run whose worker is lost: a lease of 6 s, and the start of processes
DRAINED = 30.0  # seconds from SIGTERM to the end of the process
MIDDLE = range(5, 16)  # deltas of a run that has long to go
HANDED_OVER = 5.0  # seconds without an event of a run whose worker is restarted: less than a lease lasts


async def _taken(s: Stage, run: str, before: Member) -> Member:
    """The next worker that has the run."""

    async def by_another() -> bool:
        return await s.holder(run) not in (None, before)

    await until(f"another worker than {before.name} has run {run}", by_another, TAKEN)
    holder = await s.holder(run)
    assert holder is not None
    return holder


@pytest.mark.long
async def test_a_run_that_lost_three_workers_fails_and_its_thread_goes_on(stack: Stack) -> None:
    """`/slow 1` comes to no checkpoint, so that each of them counts."""
    stack.api()
    for _ in range(ATTEMPTS + 1):
        stack.worker(role="all")
    async with stage(stack) as s:
        thread, talk = await s.new_thread(), Talk()
        run = await talk.say(s, thread, "/slow 1 is long enough")
        holder = await s.held(thread, run, deltas=1)
        for n in range(ATTEMPTS):
            await holder.kill()
            holder = await _taken(s, run, holder) if n < ATTEMPTS - 1 else holder
        failed = await s.ended(thread, run)
        assert (failed["status"], failed["error"]["code"], failed["error"]["retryable"]) == (
            "failed",
            "runtime.lost",
            True,
        )
        assert (await s.ended(thread, await talk.say(s, thread, "what now"), within=TAKEN))["status"] == "completed"
        found, faults = await talk.judge(s)
        assert faults == []
        assert [message.status for message in found.messages if message.run == run] == ["incomplete"]


async def test_a_worker_that_was_stopped_past_its_lease_writes_nothing_of_the_run_and_goes_on_working(
    stack: Stack,
) -> None:
    stack.api()
    for _ in range(2):
        stack.worker(role="all")
    async with stage(stack) as s:
        thread, talk = await s.new_thread(), Talk()
        run = await talk.say(s, thread, "/slow 4 and no more")
        stopped = await s.held(thread, run, deltas=5)
        stopped.signal(signal.SIGSTOP)
        said = await s.count(thread, run)
        other = await _taken(s, run, stopped)
        await s.held(thread, run, deltas=said + 3)
        stopped.signal(signal.SIGCONT)
        await until("it has given the run up", lambda: _has_given_up(s, stopped), 15)
        assert (await s.ended(thread, run))["status"] == "completed"
        assert stopped.process.poll() is None
        await other.kill()
        late = await s.ended(thread, await talk.say(s, thread, "/slow 1 by the one that was stopped"))
        assert late["status"] == "completed"
        _, faults = await talk.judge(s)
        assert faults == []


@pytest.mark.long
async def test_what_a_worker_was_writing_when_it_stopped_is_refused_when_it_goes_on(stack: Stack) -> None:
    assert await _stop_in_an_append(stack) == []


@pytest.mark.long
async def test_a_build_that_writes_without_a_lease_is_caught(stack: Stack) -> None:
    faults = await _stop_in_an_append(stack, "ignore_epoch")
    assert [fault for fault in faults if " said " in fault], faults


async def _stop_in_an_append(stack: Stack, *switches: str) -> list[str]:
    """It stops in the transaction, with the thread locked: that goes by itself, and its next try comes too late.

    Returns what is wrong then.
    """
    stack.api()
    stopped = stack.worker(role="all", testing=",".join(("stop:worker.before_append", *switches)))
    async with stage(stack) as s:
        thread, talk = await s.new_thread(), Talk()
        run = await talk.say(s, thread, "/slow 2 and no more")
        await until("it stops in its first append", lambda: is_stopped(stopped))
        assert await s.count(thread, run) == 0
        stack.worker(role="all")
        await s.held(thread, run, deltas=3)
        stopped.signal(signal.SIGCONT)
        await until("it has given the run up", lambda: _has_given_up(s, stopped), 15)
        assert (await s.ended(thread, run))["status"] == "completed"
        _, faults = await talk.judge(s)
        return faults


async def _has_given_up(s: Stage, member: Member) -> bool:
    """Its own word: a run that ended here because somebody else has it."""
    async with s.stack.session.get(f"{member.url}/metrics") as response:
        text = await response.text()
    ends = ('{end="lost"}', '{end="cancelled"}', '{end="refused"}')
    return any(f"threadmill_finished_runs_total{end}" in text for end in ends)


@pytest.mark.long
async def test_a_rolling_restart_loses_nothing_and_runs_go_on_from_their_checkpoints(stack: Stack) -> None:
    stack.api()
    for _ in range(2):
        stack.worker(role="all")
    async with stage(stack) as s:
        threads, talk = [await s.new_thread() for _ in range(6)], Talk()
        async with asyncio.TaskGroup() as group:
            for n, thread in enumerate(threads):
                group.create_task(talk.converse(s, thread, chance(3, n)))
            for worker in tuple(stack.workers) * 2:
                await _restart(s, worker)
            talk.over.set()
        found, faults = await talk.judge(s)
        assert faults == []
        assert {run.status for run in found.runs} == {"completed"}


async def _restart(s: Stage, worker: Member) -> None:
    """Once it has a run that is in its middle: SIGTERM, its end, the next one, and the run is another's already."""
    thread, run = await _in_the_middle(s, worker)
    began, said = time.monotonic(), await s.count(thread, run)
    worker.signal(signal.SIGTERM)
    assert await worker.died(within=DRAINED) == 0
    left = max(HANDED_OVER - (time.monotonic() - began), 0.1)
    await until(f"run {run} goes on elsewhere", lambda: _goes_on(s, thread, run, said), left)
    worker.restart()
    await s.stack.ready(worker)


async def _goes_on(s: Stage, thread: str, run: str, said: int) -> bool:
    return await s.count(thread, run) > said


async def _in_the_middle(s: Stage, worker: Member) -> tuple[str, str]:
    found: list[tuple[str, str]] = []

    async def look() -> bool:
        rows = await s.db.fetch(
            "select l.thread, l.run from leases l join workers w on w.id = l.owner where w.pid = $1", worker.process.pid
        )
        runs = [(row["thread"], row["run"]) for row in rows]
        found.extend([(thread, run) for thread, run in runs if await s.count(thread, run) in MIDDLE])
        return bool(found)

    await until(f"{worker.name} is in the middle of a run", look, 60)
    return found[0]
