"""Rows 1, 2, 4 and 6 of the list of faults: a process that is gone at each named point, and what follows."""

import pytest

from shared.crashpoints import CRASHED, POINTS
from tests.faults.executions.stage import stage
from tests.faults.executions.talks import Talk
from tests.faults.processes import Stack
from tests.faults.scene import ASYNC, scene
from tests.faults.test_artifacts import MAKING
from tests.faults.test_files import DELETING, UPLOADING

COMMITTED = ("api.after_commit", "api.after_ring")
APPLYING = ("worker.after_lock", "worker.after_note", "worker.before_commit", "worker.after_commit")
EXECUTING = ("worker.after_lease", "worker.before_append", "worker.after_append")
LATEST = 2.0  # seconds after which the sweep has applied what nobody rang for


def test_every_crash_point_is_hit_by_a_test_here() -> None:
    assert {"api.before_commit", *COMMITTED, *APPLYING, *EXECUTING, *UPLOADING, *DELETING, *MAKING} == set(POINTS)


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


@pytest.mark.parametrize("point", COMMITTED)
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


@pytest.mark.parametrize("role", ["apply", "all"])  # with `all` runs are leased in the same transaction
@pytest.mark.parametrize("point", APPLYING)
async def test_what_a_worker_had_in_hand_when_it_was_killed_is_applied_once(
    stack: Stack, point: str, role: str
) -> None:
    stack.api()
    async with scene(stack) as s:
        requests = [s.request() for _ in range(3)]
        for request in requests:
            assert (await s.sender().send(request, prefer=ASYNC)).status == 200
        assert await stack.worker(role=role, testing=f"crash:{point}").died() == CRASHED
        stack.worker(role=role)
        await s.settled(*requests)
        assert await s.violations() == []


@pytest.mark.parametrize("point", EXECUTING)
async def test_a_run_whose_worker_was_killed_there_completes_elsewhere_once_with_its_exact_text(
    stack: Stack, point: str
) -> None:
    """The first of what the run says is then taken and not written, or written and not known to be."""
    stack.api()
    broken = stack.worker(role="all", testing=f"crash:{point}")
    async with stage(stack) as s:
        thread, talk = await s.new_thread(), Talk()
        run = await talk.say(s, thread, "/slow 1 to the end")
        assert await broken.died() == CRASHED
        assert await s.count(thread, run) == (point == "worker.after_append")
        stack.worker(role="all")
        assert (await s.ended(thread, run))["status"] == "completed"
        found, faults = await talk.judge(s)
        assert faults == []
        assert [(executed.id, executed.attempt) for executed in found.runs] == [(run, 2)]
