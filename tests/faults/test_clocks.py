"""Row 11 of the list of faults: a process whose clock is an hour off changes neither order, nor dedupe, nor latency.

Nor does it change in which order runs execute, how long, or who has them.
"""

import json
import time
from datetime import datetime
from itertools import pairwise

import asyncpg
import pytest

from shared import ids
from tests.faults.clients import Load
from tests.faults.executions.stage import stage
from tests.faults.executions.talks import Talk
from tests.faults.processes import Stack
from tests.faults.scene import RUNG_FOR, Scene, scene
from tests.faults.waiting import until
from tests.variants import one_of
from worker.execute.leases import LIFE

HOUR = 3_600
LATEST = 15.0  # seconds: 10 until a run goes on elsewhere, and what is left of it
OFFSETS = pytest.mark.parametrize("offset", one_of(HOUR, -HOUR), ids=["worker ahead", "worker behind"])
TIME = 7  # seconds that a run has: longer than a lease lasts without heartbeats


@pytest.mark.parametrize("offset", one_of(HOUR, -HOUR), ids=["api ahead", "api behind"])
async def test_clocks_that_are_an_hour_off_change_nothing(stack: Stack, offset: int) -> None:
    stack.api(clock=offset), stack.api()
    stack.worker(clock=-offset), stack.worker()
    async with scene(stack) as s:
        load = Load(s.sender(), [s.thread], seed=1, batches=200, clients=4, pace=100.0, repeated=0.3)
        await load.run()
        s.history += load.history
        assert await s.violations() == []
        ages = await s.db.fetch("select extract(epoch from applied_at - accepted_at)::float8 as age from batches")
        assert sorted(row["age"] for row in ages)[len(ages) // 2] < 0.1, "the median batch was rung for"
        assert await s.metric(RUNG_FOR) > 0, "the worker whose clock is off is rung for too"
        off = "select count(*) from thread_events where occurred_at not between now() - interval '5 min' and now()"
        assert await s.db.fetchval(off) == 0, "times are Postgres'"


@pytest.mark.long
async def test_runs_are_executed_and_taken_over_whatever_the_clocks_of_workers_say(stack: Stack) -> None:
    """Leases and deadlines are of Postgres' clock: one an hour behind is not for ever, one ahead has not run out."""
    stack.api()
    for clock in (HOUR, -HOUR):
        stack.worker(clock, role="all")
    async with stage(stack) as s:
        thread, talk = await s.new_thread(), Talk()
        run = await talk.say(s, thread, "/slow 2 by any clock")
        first = await s.held(thread, run, deltas=3)
        await first.kill()
        began = time.monotonic()
        assert (await s.ended(thread, run))["status"] == "completed"
        assert time.monotonic() - began < LATEST
        first.restart()
        await stack.ready(first)
        (other,) = (worker for worker in stack.workers if worker is not first)
        await other.kill()
        late = await talk.say(s, thread, "/slow 1 by the other one")
        assert (await s.ended(thread, late, within=LATEST))["status"] == "completed"
        _, faults = await talk.judge(s)
        assert faults == []


@OFFSETS
async def test_a_runner_is_told_the_time_of_its_deadline(stack: Stack, offset: int) -> None:
    stack.api()
    stack.worker(clock=offset, role="all")
    async with scene(stack) as s:
        await become(s, "tests.odd_runners:tells_the_time")
        await s.sender().settle(s.request(), prefer="respond-async")
        (run,) = await ended(s, 1)
        told = json.loads(await s.db.fetchval("select parts from messages where role = 'assistant'"))[0]["text"]
        assert abs((datetime.fromisoformat(told) - run["completed_at"]).total_seconds()) < 5


async def become(s: Scene, function: str, run_timeout: int | None = None) -> None:
    """From now on the agent runs `function`."""
    await s.db.execute(
        "update agents set runner = 'python', config = $1, run_timeout = $2, updated_at = clock_timestamp()",
        *(json.dumps({"function": function}), run_timeout),
    )


async def ended(s: Scene, runs: int) -> list[asyncpg.Record]:
    """All runs, by their place in the order, once so many are over."""

    async def over() -> bool:
        return bool(await s.db.fetchval("select count(completed_at) = $1 from runs", runs))

    await until(f"{runs} runs are over", over)
    return list(await s.db.fetch("select * from runs order by thread, seq"))


@OFFSETS
async def test_a_worker_whose_clock_is_off_executes_runs_in_order_and_in_time(stack: Stack, offset: int) -> None:
    stack.api(clock=-offset)
    stack.worker(clock=offset, role="all")
    async with scene(stack) as s:
        await become(s, "worker.runners.demo:echo")
        requests = [s.request() for _ in range(10)]
        for request in requests:
            await s.sender().settle(request, prefer="respond-async")
        runs = await ended(s, len(requests))
        assert [(run["status"], run["attempt"]) for run in runs] == [("completed", 1)] * len(runs), (
            "none is past its time"
        )
        assert all(run["completed_at"] <= after["started_at"] for run, after in pairwise(runs))
        events = await s.db.fetch("select id, occurred_at, now() as now from thread_events order by id")
        assert len(events) > 4 * len(runs)
        moments = [event["occurred_at"] for event in events]
        assert moments == sorted(moments), "ids are in the order of Postgres' times"
        assert all(abs((event["now"] - event["occurred_at"]).total_seconds()) < 300 for event in events)
        low, high = ids.earliest(moments[0]), ids.at(events[-1]["now"])
        assert all(low <= event["id"] <= high for event in events), "ids are made of Postgres' times"
        answers = await s.db.fetch("select parts from messages where role = 'assistant' order by num")
        said = [json.loads(answer["parts"])[0]["text"] for answer in answers]
        assert said == [request.events[0]["text"] for request in requests]
        assert await s.count("leases") == 0
        assert await s.metric("threadmill_lost_leases_total") == 0


@OFFSETS
async def test_a_run_has_its_time_and_its_worker_whatever_their_clocks_say(stack: Stack, offset: int) -> None:
    stack.api()
    stack.worker(clock=offset, role="all")
    async with scene(stack) as s:
        await become(s, "tests.odd_runners:hangs", run_timeout=TIME)
        await s.sender().settle(s.request(), prefer="respond-async")

        async def leased() -> bool:
            return await s.count("leases") == 1

        await until("the run is leased", leased)
        other = stack.worker(clock=-offset, role="all")  # sees leases and deadlines by another clock
        await stack.ready(other)
        lease = await s.db.fetchrow(
            "select extract(epoch from expires_at - clock_timestamp())::float8 as life,"
            " extract(epoch from deadline - clock_timestamp())::float8 as time from leases"
        )
        assert lease is not None, "neither worker took it for lost, or for late"
        assert 0 < lease["life"] <= LIFE
        assert 0 < lease["time"] <= TIME
        (run,) = await ended(s, 1)
        assert (run["status"], run["attempt"]) == ("expired", 1)
        assert TIME - 0.5 <= (run["completed_at"] - run["started_at"]).total_seconds() <= TIME + 3
