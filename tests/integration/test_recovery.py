"""Workers that are lost, stopped or told to end: their runs go on elsewhere, with nothing lost or doubled."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial

import pytest

from shared.settings import Settings
from tests.agents import Stage, running_stage
from tests.pipeline import running_crew
from tests.watch import until
from worker.execute.recovery import MOST_LOST


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    async with running_stage(settings) as stage:
        yield stage


async def test_a_run_whose_lease_ran_out_goes_on_and_its_text_is_neither_lost_nor_doubled(stage: Stage) -> None:
    thread, run = await stage.start("/slow 1 and done")
    await stage.said(run, "3 ")
    await stage.lose(run)
    done = await stage.until(thread, run, "completed")
    expected = "".join(f"{n} " for n in range(1, 11)) + "/slow 1 and done"
    assert await stage.text(run) == expected
    assert done["finalOutput"] == {"text": expected}
    messages = await stage.service.pool.fetch("select status from messages where run = $1 and role = 'assistant'", run)
    assert [row["status"] for row in messages] == ["completed"]


async def test_a_run_goes_on_from_its_checkpoint(stage: Stage) -> None:
    await stage.become("counts")
    thread, run = await stage.start()
    await stage.said(run, "12 ")
    await stage.lose(run)
    done = await stage.until(thread, run, "completed")
    assert done["finalOutput"] == {"text": "".join(f"{n} " for n in range(30))}
    assert await stage.text(run) == done["finalOutput"]["text"]


async def test_an_attempt_that_says_something_else_begins_another_message(stage: Stage) -> None:
    await stage.become("differs")
    thread, run = await stage.start()
    await stage.said(run, "attempt 1")
    await stage.lose(run)
    done = await stage.until(thread, run, "completed")
    assert done["finalOutput"] == {"text": "attempt 2"}
    rows = await stage.service.pool.fetch(
        "select parts::jsonb -> 0 ->> 'text' as text, status, incomplete_reason from messages"
        " where run = $1 and role = 'assistant' order by num",
        run,
    )
    assert [tuple(row) for row in rows] == [
        ("attempt 1", "incomplete", "runner.restarted"),
        ("attempt 2", "completed", None),
    ]
    said = [event["content"] for event in await stage.events(thread) if event["type"] == "agent.message.delta"]
    assert said == ["attempt 1", "attempt 2"]


@pytest.mark.slow
async def test_a_run_that_lost_three_workers_fails_and_may_be_tried_again(stage: Stage) -> None:
    await stage.become("hangs")
    thread, run = await stage.start()
    await stage.said(run, "I think, ")
    for _ in range(2):
        await stage.lose(run)

    async def failed_for_good() -> bool:
        await stage.lose_leases()
        return bool((await stage.run(thread, run))["completedAt"])

    await until(failed_for_good)
    failed = await stage.until(thread, run, "failed")
    assert (failed["error"]["code"], failed["error"]["retryable"]) == ("runtime.lost", True)


@pytest.mark.long
@pytest.mark.parametrize(
    ("function", "lost"),
    [("checks_the_same", 3), pytest.param("checks_another", MOST_LOST, marks=pytest.mark.slow)],
)
async def test_a_run_that_takes_its_workers_along_fails_whatever_it_checkpoints(
    stage: Stage, function: str, lost: int
) -> None:
    await stage.become(function)
    thread, run = await stage.start()

    async def checked(number: int) -> bool:
        stored = await stage.service.pool.fetchval("select checkpoint::text from runs where id = $1", run)
        return bool(stored == str(number))

    for number in range(1, lost):
        await until(partial(checked, 1 if function == "checks_the_same" else number))
        await stage.lose(run)

    async def failed_for_good() -> bool:
        await stage.lose_leases()
        return bool((await stage.run(thread, run))["completedAt"])

    await until(failed_for_good)
    assert (await stage.until(thread, run, "failed"))["error"]["code"] == "runtime.lost"
    assert await stage.service.pool.fetchval("select losses from runs where id = $1", run) >= lost


async def test_a_worker_whose_lease_was_taken_writes_nothing_any_more(stage: Stage, settings: Settings) -> None:
    """As a worker that was stopped past its lease and goes on: the epoch refuses what it says."""
    thread, run = await stage.start("/slow 3 end")
    await stage.said(run, "2 ")
    executor = stage.service.crews[0].executor
    assert executor is not None
    executor.desk.closed.set()  # it takes nothing more, and goes on with what it has
    async with running_crew(settings, "execute"):
        await stage.lose(run)
        await stage.until(thread, run, "completed")
        expected = "".join(f"{n} " for n in range(1, 31)) + "/slow 3 end"
        assert await stage.text(run) == expected

        async def idle() -> bool:
            return executor.executing == 0

        await until(idle)
    assert await stage.text(run) == expected
    kinds = await stage.service.pool.fetch("select type from thread_events where run = $1 order by id", run)
    assert [row["type"] for row in kinds].count("run.completed") == 1


async def test_a_worker_that_ends_hands_over_at_a_checkpoint(stage: Stage, settings: Settings) -> None:
    await stage.become("checks")
    thread, run = await stage.start()
    await stage.said(run, "3 ")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running_crew(settings, "execute"))
        started = asyncio.get_running_loop().time()
        await stage.service.crews[0].stop(timeout=20)
        assert asyncio.get_running_loop().time() - started < 3
        await stage.until(thread, run, "completed")
    assert await stage.text(run) == "".join(f"{n} " for n in range(30))


async def test_a_run_that_goes_on_elsewhere_has_the_time_that_is_left(stage: Stage) -> None:
    await stage.become("hangs", run_timeout=60)
    _, run = await stage.start()
    await stage.said(run, "I think, ")
    deadline = partial(stage.service.pool.fetchval, "select deadline from leases")
    first = await deadline()
    await stage.lose(run)
    assert await until(deadline) == first


async def test_a_run_that_is_handed_over_without_a_checkpoint_says_nothing_twice(
    stage: Stage, settings: Settings
) -> None:
    thread, run = await stage.start("/slow 2 end")
    await stage.said(run, "3 ")
    executor = stage.service.crews[0].executor
    assert executor is not None
    async with running_crew(settings, "execute"):
        await executor.stop(timeout=0)
        assert await stage.until(thread, run, "completed")
        assert await stage.text(run) == "".join(f"{n} " for n in range(1, 21)) + "/slow 2 end"
