"""Row 10 of the list of faults: a batch that kills whoever applies it is found and parked; kills alone park nothing."""

import asyncio

import pytest

from shared.crashpoints import CRASHED
from tests.faults.clients import Load, chance
from tests.faults.processes import Member, Stack
from tests.faults.scene import ASYNC, scene
from tests.faults.waiting import until

MOST_DEATHS = 8  # once among others, five times alone; and some slack


async def keep_alive(member: Member) -> None:
    """Starts it again whenever it died of its armed fault."""
    while True:
        assert await member.died(within=120) == CRASHED
        member.restart()


async def test_a_batch_that_kills_its_worker_is_parked_and_other_threads_go_on(stack: Stack) -> None:
    api, worker = stack.api(), stack.worker(testing="poison_kill:deadly")
    async with scene(stack) as s:
        poison = s.request({"type": "user_message", "text": "this is deadly"})
        behind = s.request()
        others = [s.request(thread=await s.new_thread(api)) for _ in range(5)]
        supervisor = asyncio.create_task(keep_alive(worker))
        for request in (poison, behind, *others):
            assert (await s.sender().send(request, prefer=ASYNC)).status == 200
        await s.settled(*others, within=40)
        parked = "select attempts, error from batches where parked_at is not null"
        await until("it is parked", lambda: s.db.fetchrow(parked), within=60)
        supervisor.cancel()
        row = await s.db.fetchrow(parked)
        assert (row["attempts"], row["error"]) == (5, "the worker that applied it died")
        assert worker.deaths <= MOST_DEATHS
        assert not await s.applied(behind), "it waits behind its dead letter"
        refused = await s.sender().send(poison)
        assert (refused.status, "dead letter" in refused.body["error"]["message"]) == (409, True)
        assert await s.db.fetchval("select count(*) from batches where parked_at is not null") == 1


@pytest.mark.long
async def test_a_storm_of_kills_without_poison_parks_nothing(stack: Stack) -> None:
    stack.api()
    workers = [stack.worker() for _ in range(3)]
    async with scene(stack) as s:
        threads = [s.thread, *[await s.new_thread(stack.apis[0]) for _ in range(7)]]
        load = Load(s.sender(), threads, seed=1, batches=600, clients=8, pace=90.0, prefer_async=1, repeated=0)
        running, rng = asyncio.create_task(load.run()), chance(1)
        while not running.done():
            victim = rng.choice(workers)
            await until(f"{victim.name} works", lambda v=victim: stack.is_ready(v))  # type: ignore[misc]  # the default binds
            await victim.kill()
            victim.restart()
        await running
        s.history += load.history
        assert sum(worker.deaths for worker in workers) >= 3
        assert await s.violations() == []
