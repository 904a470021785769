"""Row 11 of the list of faults: a process whose clock is an hour off changes neither order, nor dedupe, nor latency."""

import time

import pytest

from tests.faults.clients import Load
from tests.faults.executions.stage import stage
from tests.faults.executions.talks import Talk
from tests.faults.processes import Stack
from tests.faults.scene import RUNG_FOR, scene

HOUR = 3_600
LATEST = 15.0  # seconds: 10 until a run goes on elsewhere, and what is left of it


@pytest.mark.parametrize("offset", [HOUR, -HOUR], ids=["api ahead", "api behind"])
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
