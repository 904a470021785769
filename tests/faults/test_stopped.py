"""A worker that stops in the middle of a drain loses it to another one, and has no effect when it goes on."""

import signal

import pytest

from tests.faults.processes import Stack
from tests.faults.scene import ASYNC, is_stopped, scene
from tests.faults.waiting import until
from tests.variants import one_of

# Before the commit only: behind it, there is nothing to lose.
POINTS = ["worker.after_lock", "worker.after_note", "worker.before_commit"]
HELD_UP = 4.0  # seconds of another worker: the 2 s after which Postgres takes the transaction away, and a sweep


@pytest.mark.parametrize("point", one_of(*POINTS))
async def test_a_worker_that_stops_in_a_drain_holds_nobody_up_and_does_nothing_when_it_goes_on(
    stack: Stack, point: str
) -> None:
    stack.api()
    stopped = stack.worker(testing=f"stop:{point}")
    async with scene(stack) as s:
        request = s.request()
        await s.sender().send(request, prefer=ASYNC)
        await until("it stops", lambda: is_stopped(stopped))
        healthy = stack.worker()
        await stack.ready(healthy)
        await s.settled(request, within=HELD_UP)
        stopped.process.send_signal(signal.SIGCONT)
        await stack.ready(stopped)
        others = [s.request() for _ in range(3)]
        for other in others:
            await s.sender().settle(other)
        assert await s.db.fetchval("select max(attempts) from batches") == 0
        assert await s.violations() == []
