"""Rows 1, 2 and 4 of the list of faults: a process that is gone at each named point, and what follows.

Those of runs are hit in `test_crashed_runs`, of webhooks in `test_webhooks`, of files in `test_files` and
`test_artifacts`.
"""

import asyncio
import re

import pytest

from shared.crashpoints import ACCEPT, APPLY, CRASHED, EXECUTE, POINTS
from shared.deadletters import Decision, Fate, Letter, settle
from tests.faults.points import (
    DELETING,
    EXECUTING,
    EXPIRING,
    INTERRUPTED,
    LEASING,
    MAKING,
    TAKING_OVER,
    TELLING,
    UPLOADING,
    WAITING,
)
from tests.faults.processes import ROOT, Stack
from tests.faults.scene import ASYNC, scene
from tests.faults.waiting import until
from tests.variants import one_of

COMMITTED = ("api.after_commit", "api.before_ring", "api.after_ring", "api.after_outcome")
AGAIN = ("api.before_find", "api.before_rewrite", "api.after_rewrite")
PARKING = ("worker.before_park", "worker.after_park")
APPLYING = tuple(point for point in APPLY if point not in ("worker.after_count", *PARKING))
LATEST = 2.0  # seconds after which the sweep has applied what nobody rang for
LETTER = (
    "select partition, id, thread, events::text as events from batches where events::text <> '[]' order by id limit 1"
)
STATE = """
select b.attempts, b.parked_at is not null, t.held from batches b join threads t on t.id = b.thread where b.id = $1
"""
IN_CODE = re.compile(r'"((?:api|worker|webhook|file)\.(?:before|after)_\w+)"')


def test_every_crash_point_is_hit_by_a_test() -> None:
    accepting = {"api.before_commit", "api.before_judge", *COMMITTED, *AGAIN}
    counting = {"worker.after_count", *PARKING}
    executing = {LEASING, *EXECUTING, *WAITING, *INTERRUPTED, *TAKING_OVER, *EXPIRING, *TELLING}
    assert accepting == set(ACCEPT)
    assert executing == set(EXECUTE)
    assert {*accepting, *APPLYING, *counting, *executing, *UPLOADING, *DELETING, *MAKING} == set(POINTS)


def test_every_crash_point_stands_in_the_code_and_no_other_does() -> None:
    code = [path for part in ("api", "worker", "shared") for path in (ROOT / part).rglob("*.py")]
    found = {point for path in code if path.name != "crashpoints.py" for point in IN_CODE.findall(path.read_text())}
    assert found == set(POINTS)


async def test_an_api_that_is_killed_before_the_commit_stores_nothing_and_a_retry_is_accepted(stack: Stack) -> None:
    healthy, broken, _ = stack.api(), stack.api(testing="crash:api.before_commit"), stack.worker()
    async with scene(stack) as s:
        before, request = await s.count(), s.request()
        reply = await s.sender(broken).send(request)
        assert reply.status is None
        assert await broken.died() == CRASHED
        assert await s.count() == before
        reply = await s.sender(healthy).send(request)
        assert (reply.status, reply.replayed) == (200, False)
        assert await s.violations() == []


@pytest.mark.parametrize("point", one_of(*COMMITTED))
async def test_what_an_api_committed_before_it_was_killed_is_applied_and_replayed(stack: Stack, point: str) -> None:
    healthy, broken, _ = stack.api(), stack.api(testing=f"crash:{point}"), stack.worker()
    async with scene(stack) as s:
        request = s.request()
        assert (await s.sender(broken).send(request)).status is None
        assert await broken.died() == CRASHED
        (age,) = await s.settled(request)
        assert age < LATEST
        replies = [await s.sender(healthy).send(request) for _ in range(2)]
        assert [(reply.status, reply.replayed) for reply in replies] == [(200, True)] * 2
        assert replies[0].outcome == replies[1].outcome != None  # noqa: E711 - both, and there is one
        assert await s.violations() == []


@pytest.mark.parametrize("point", one_of(*AGAIN))
async def test_a_flush_that_is_taken_again_row_by_row_ends_in_rows_that_are_whole(stack: Stack, point: str) -> None:
    """The test has the table of batches locked until the flush has failed of it: each row is then tried by itself."""
    healthy, broken = stack.api(), stack.api(testing=f"crash:{point}")
    async with scene(stack) as s:
        before, requests = await s.count(), [s.request() for _ in range(3)]

        async def has_failed() -> bool:
            return "taken again row by row" in broken.log

        async with asyncio.TaskGroup() as group:
            async with s.db.transaction():
                await s.db.execute("lock table batches in exclusive mode")
                sent = [group.create_task(s.sender(broken).send(request)) for request in requests]
                await until("the flush has failed", has_failed)
            assert await broken.died() == CRASHED
        assert all(task.result().status is None for task in sent)
        stored = int(point == "api.after_rewrite")
        assert await s.count() == before + stored, "one row at most, and all of it"
        stack.worker()
        for request in requests:
            await s.sender(healthy).settle(request)
        assert [request.replies[-1].replayed for request in requests].count(True) == stored
        assert await s.violations() == []


async def test_an_api_that_is_killed_before_it_judges_a_repeat_changes_nothing(stack: Stack) -> None:
    healthy, broken, _ = stack.api(), stack.api(testing="crash:api.before_judge"), stack.worker()
    async with scene(stack) as s:
        request = s.request()
        first = await s.sender(healthy).send(request)
        assert (await s.sender(broken).send(request)).status is None
        assert await broken.died() == CRASHED
        again = await s.sender(healthy).send(request)
        assert (again.status, again.replayed, again.outcome) == (200, True, first.outcome)
        assert await s.violations() == []


@pytest.mark.parametrize("role", one_of("all", "apply"))  # `all` leases runs, too
async def test_what_a_worker_had_in_hand_when_it_was_killed_is_applied_once(stack: Stack, role: str) -> None:
    """At one point after the other, by one worker after the other."""
    stack.api()
    async with scene(stack) as s:
        for point in APPLYING:
            requests = [s.request() for _ in range(3)]
            for request in requests:
                assert (await s.sender().send(request, prefer=ASYNC)).status == 200
            if point == "worker.after_look":
                await stack.servers.flush_redis()  # only the sweep finds them
            assert await stack.worker(role=role, testing=f"crash:{point}").died() == CRASHED, point
            healthy = stack.worker(role=role)
            await s.settled(*requests)
            if point != APPLYING[-1]:
                await healthy.kill()
        assert await s.violations() == []


async def test_a_try_that_was_not_counted_when_its_worker_was_killed_is_counted_by_the_next_one(stack: Stack) -> None:
    """Nothing is parked too early; what can be applied at last is applied once."""
    stack.api()
    async with scene(stack) as s:
        poison, behind = s.request(), s.request()
        for request in (poison, behind):
            assert (await s.sender().send(request, prefer=ASYNC)).status == 200
        right = await s.db.fetchval("select events::text from batches order by id desc offset 1 limit 1")
        change = "update batches set events = $1::text::json where id = (select max(id) - 1 from batches)"
        await s.db.execute(change, '[{"type": "nonsense"}]')
        assert await stack.worker(testing="crash:worker.after_count").died() == CRASHED
        assert await s.db.fetchval("select sum(attempts) from batches") == 0, "it was not committed"
        stack.worker()

        async def is_counted() -> bool:
            return bool(await s.db.fetchval("select max(attempts) from batches"))

        await until("a try is counted", is_counted)
        await s.db.execute(change, right)
        await s.settled(poison, behind)
        assert await s.violations() == []


@pytest.mark.parametrize("point", one_of(*PARKING))
async def test_a_batch_is_parked_once_whoever_is_killed_around_it(stack: Stack, point: str) -> None:
    """Its fifth try counts, and its thread is held, with the batch that is parked: both or neither."""
    stack.api()
    async with scene(stack) as s:
        poison, behind = s.request(), s.request()
        for request in (poison, behind):
            assert (await s.sender().send(request, prefer=ASYNC)).status == 200
        letter = await s.db.fetchrow(LETTER)
        change = "update batches set events = $2::text::json where id = $1"
        await s.db.execute(change, letter["id"], '[{"type": "nonsense"}]')
        assert await stack.worker(testing=f"crash:{point}").died(within=60) == CRASHED
        done = point == "worker.after_park"
        assert tuple(await s.db.fetchrow(STATE, letter["id"])) == ((5, True, True) if done else (4, False, False))
        stack.worker()

        async def is_parked() -> bool:
            return tuple(await s.db.fetchrow(STATE, letter["id"])) == (5, True, True)

        await until("it is parked", is_parked)
        assert not await s.applied(behind), "it waits behind its dead letter"
        assert await s.db.fetchval("select count(*) from batches where parked_at is not null") == 1
        await s.db.execute(change, letter["id"], letter["events"])
        place = Letter(letter["partition"], letter["id"], letter["thread"])
        await settle(s.db, place, Decision(Fate.REPLAY))
        await s.settled(poison, behind)
        assert await s.violations() == []
