"""Row 6 of the list of faults: a worker that is gone at each named point of a run; it goes on elsewhere, once.

What would only take time is passed over: the lease of a dead worker ends at once.
"""

from collections.abc import Mapping

import pytest

from shared.crashpoints import CRASHED
from tests.faults.executions import rows
from tests.faults.executions.answers import ASKED, EXPIRED, echoed
from tests.faults.executions.phases import check_said
from tests.faults.executions.stage import Document, Stage, stage
from tests.faults.executions.talks import Talk
from tests.faults.points import EXECUTING, EXPIRING, INTERRUPTED, LEASING, QUICK, TAKING_OVER, WAITING
from tests.faults.processes import Stack
from tests.faults.waiting import until
from tests.variants import one_of


async def struck(s: Stage, point: str, agent: str, text: str) -> tuple[str, str]:
    """A new thread and its first run, whose worker is gone at this point; nobody waits for its lease to run out."""
    broken = s.stack.worker(role="all", testing=f"crash:{point}")
    thread = await s.new_thread(agent)
    run = await s.say(thread, text)
    assert await broken.died() == CRASHED, point
    await pass_leases(s)
    return thread, run


async def pass_leases(s: Stage) -> None:
    await s.db.execute("update leases set expires_at = clock_timestamp()")


async def decide(s: Stage, thread: str, run: str) -> None:
    event: Document = {"type": "permission_decision", "requestId": await s.request(run), "decision": "allow_once"}
    answer = await s.send(thread, event)
    assert answer["warnings"] == []


async def faults(s: Stage, wholes: Mapping[str, str]) -> list[str]:
    """In the rows, and in what each run said: all of its text once, or a beginning where it was interrupted."""
    await s.idle(10)
    await s.unleased(10)
    found = await rows.read(s.db)
    return [*rows.check(found), *check_said(found, wholes)]


@pytest.mark.long
async def test_a_run_whose_worker_was_killed_completes_elsewhere_once_with_its_exact_text(stack: Stack) -> None:
    """At one point after the other, by one worker after the other."""
    stack.api()
    async with stage(stack) as s:
        talk, losses = Talk(), {}
        for point, (text, lost) in EXECUTING.items():
            thread, run = await struck(s, point, "echo", text)
            talk.texts[run], talk.threads[run], losses[run] = text, thread, lost
            healthy = s.stack.worker(role="all")
            assert (await s.ended(thread, run))["status"] == "completed", point
            await s.unleased(5)
            await healthy.kill()
        _, wrong = await talk.judge(s)
        assert wrong == []
        assert {row["id"]: row["losses"] for row in await s.db.fetch("select id, losses from runs")} == losses


async def test_a_run_whose_worker_was_killed_before_it_had_the_lease_loses_nobody(stack: Stack) -> None:
    """Where one worker applies and another one executes; a drain that leases is killed in `test_crashpoints`."""
    stack.api()
    stack.worker()
    async with stage(stack) as s:
        broken = stack.worker(role="execute", testing=f"crash:{LEASING}")
        thread = await s.new_thread()
        run = await s.say(thread, QUICK)
        assert await broken.died() == CRASHED
        assert await s.db.fetchval("select count(*) from leases") == 0
        stack.worker(role="execute")
        assert (await s.ended(thread, run))["status"] == "completed"
        assert await s.db.fetchval("select attempt from runs") == 1
        assert await faults(s, {run: echoed(QUICK)}) == []


async def test_a_run_that_asked_when_its_worker_was_killed_asks_once_and_goes_on_when_it_may(stack: Stack) -> None:
    stack.api()
    wholes: dict[str, str] = {}
    async with stage(stack) as s:
        for point in WAITING:
            thread, run = await struck(s, point, "approve", QUICK)
            wholes[run] = ASKED + QUICK
            healthy = s.stack.worker(role="all")
            await until("it waits", lambda r=run: is_in(s, r, "waiting_input"))  # type: ignore[misc]  # the default binds
            await decide(s, thread, run)
            assert (await s.ended(thread, run))["status"] == "completed", point
            assert await s.db.fetchval("select count(*) from permission_requests where run = $1", run) == 1
            await healthy.kill()
        assert await faults(s, wholes) == []


@pytest.mark.long
async def test_a_run_that_was_interrupted_when_its_worker_was_killed_is_cancelled_and_the_next_one_runs(
    stack: Stack,
) -> None:
    stack.api()
    wholes: dict[str, str] = {}
    async with stage(stack) as s:
        for point in INTERRUPTED:
            broken = s.stack.worker(role="all", testing=f"crash:{point}")
            thread = await s.new_thread()
            run = await s.say(thread, "/slow 20 and no more")
            await s.held(thread, run, deltas=2)
            answer = await s.send(thread, {"type": "user_interrupt"}, {"type": "user_message", "text": "what now"})
            second = answer["events"][1]["run"]["id"]
            wholes |= {run: echoed("/slow 20 and no more"), second: echoed("what now")}
            assert await broken.died() == CRASHED, point
            await pass_leases(s)
            healthy = s.stack.worker(role="all")
            assert (await s.ended(thread, run))["status"] == "cancelled"
            assert (await s.ended(thread, second))["status"] == "completed"
            await healthy.kill()
        assert await faults(s, wholes) == []


@pytest.mark.long
async def test_a_worker_that_is_killed_while_it_takes_a_lost_run_over_leaves_it_to_the_next_one(stack: Stack) -> None:
    stack.api()
    wholes: dict[str, str] = {}
    async with stage(stack) as s:
        for point in TAKING_OVER:
            thread, run = await struck(s, "worker.after_lease", "echo", QUICK)
            wholes[run] = echoed(QUICK)
            assert await s.stack.worker(role="all", testing=f"crash:{point}").died() == CRASHED, point
            healthy = s.stack.worker(role="all")
            assert (await s.ended(thread, run))["status"] == "completed", point
            assert await s.db.fetchval("select losses from runs where id = $1", run) == 1, point
            await healthy.kill()
        assert await faults(s, wholes) == []


@pytest.mark.parametrize("point", one_of(*EXPIRING))
async def test_a_request_whose_time_was_up_when_the_sweep_was_killed_expires_once(stack: Stack, point: str) -> None:
    stack.api()
    async with stage(stack) as s:
        asking = s.stack.worker(role="all")
        thread = await s.new_thread("approve")
        run = await s.say(thread, QUICK)
        await until("it waits", lambda: is_in(s, run, "waiting_input"))
        await asking.kill()
        await s.db.execute("update permission_requests set expires_at = clock_timestamp()")
        assert await s.stack.worker(role="all", testing=f"crash:{point}").died() == CRASHED
        s.stack.worker(role="all")
        assert (await s.ended(thread, run))["status"] == "completed"
        assert [row["state"] for row in await s.db.fetch("select state from permission_requests")] == ["expired"]
        assert await faults(s, {run: ASKED + EXPIRED}) == []


async def is_in(s: Stage, run: str, status: str) -> bool:
    return bool(await s.db.fetchval("select status = $2 from runs where id = $1", run, status))
