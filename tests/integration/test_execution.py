"""Runs that run: what a runner yields becomes, on real servers and through a worker."""

import itertools
from collections.abc import AsyncIterator

import pytest

from shared.settings import Settings
from tests.agents import Stage, running_stage
from tests.odd_runners import FLOOD
from tests.watch import until

GRACE = 5.0  # seconds, the contract's


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    async with running_stage(settings) as stage:
        yield stage


async def test_a_message_starts_a_run_that_answers_and_completes(stage: Stage) -> None:
    thread, run = await stage.start("hello there, you")
    done = await stage.until(thread, run, "completed")
    assert done["finalOutput"] == {"text": "hello there, you"}
    assert done["createdAt"] <= done["startedAt"] <= done["completedAt"]
    found = [(event["type"], event["runId"]) for event in await stage.events(thread)]
    assert found == [
        ("user.message", run),
        ("session.status", None),
        ("run.started", run),
        ("agent.message.delta", run),
        ("usage.updated", run),
        ("run.completed", run),
        ("session.status", None),
    ]
    shown = (await stage.client.call("GET", f"/threads/{thread}")).json
    assert (shown["thread"]["status"], shown["run"]["id"]) == ("IDLE", run)
    assert await stage.leases() == 0


async def test_a_run_that_raises_fails_with_its_code_and_keeps_what_it_said(stage: Stage) -> None:
    await stage.become("refuses")
    thread, run = await stage.start()
    failed = await stage.until(thread, run, "failed")
    assert failed["error"] == {"code": "kitchen.empty", "message": "Out of tea.", "retryable": True}
    kept = await stage.service.pool.fetchrow("select * from messages where run = $1 and role = 'assistant'", run)
    assert (kept["status"], kept["incomplete_reason"]) == ("incomplete", "kitchen.empty")
    assert "so far" in kept["parts"]


async def test_of_what_a_failed_run_said_only_the_last_message_is_marked(stage: Stage) -> None:
    await stage.become("cut")
    thread, run = await stage.start()
    await stage.until(thread, run, "failed")
    rows = await stage.service.pool.fetch(
        "select parts::jsonb -> 0 ->> 'text' as text, status from messages"
        " where run = $1 and role = 'assistant' order by num",
        run,
    )
    assert [tuple(row) for row in rows] == [("whole", "completed"), ("cut sh", "incomplete")]


async def test_what_an_author_s_exception_says_is_not_for_clients(stage: Stage) -> None:
    await stage.become("raises")
    thread, run = await stage.start()
    failed = await stage.until(thread, run, "failed")
    assert failed["error"]["code"] == "runner.failed"
    assert "secret" not in str(await stage.events(thread)) + str(failed)


@pytest.mark.parametrize(
    ("function", "code"),
    [
        ("garbage", "runner.invalid_output"),
        ("asks_again", "runner.invalid_output"),
        ("no_such_function", "runner.unavailable"),
        ("no.such.module:run", "runner.unavailable"),
    ],
)
async def test_a_runner_that_breaks_the_contract_fails_its_run_with_a_code(
    stage: Stage, function: str, code: str
) -> None:
    await stage.become(function)
    thread, run = await stage.start()
    if function == "asks_again":
        await stage.until(thread, run, "waiting_input")
        (request,) = (await stage.requests(thread)).values()
        await stage.decide(thread, request)
    assert (await stage.until(thread, run, "failed"))["error"]["code"] == code
    await stage.become("worker.runners.demo:echo")
    assert await stage.until(thread, await stage.say(thread, "still there"), "completed")


async def test_text_that_postgres_can_not_keep_is_replaced(stage: Stage) -> None:
    await stage.become("nul")
    thread, run = await stage.start()
    done = await stage.until(thread, run, "completed")
    assert done["finalOutput"] == {"text": "a\ufffdb\ufffdc"}


async def test_every_output_has_its_event(stage: Stage) -> None:
    await stage.become("tools")
    thread, run = await stage.start()
    done = await stage.until(thread, run, "completed")
    assert done["finalOutput"] == {"text": "second"}
    events = [event for event in await stage.events(thread) if event["runId"] == run]
    shown = [(e["type"], e["content"], e.get("toolCallId"), e["status"]) for e in events[2:-1]]
    assert shown == [
        ("agent.thinking.delta", "hm", None, "available"),
        ("tool.use.started", None, "call-1", "available"),
        ("tool.use.completed", "found", "call-1", "available"),
        ("tool.use.started", None, "call-2", "available"),
        ("tool.use.completed", "no milk", "call-2", "error"),
        ("agent.message.delta", "first", None, "available"),
        ("agent.message.delta", "second", None, "available"),
        ("usage.updated", '{"input_tokens":3,"output_tokens":4}', None, "available"),
        ("usage.updated", '{"input_tokens":10,"output_tokens":20}', None, "available"),
    ]
    assert [e["tokens"] for e in events if e["type"] == "usage.updated"] == [7, 30]
    assert all(e["durationMs"] is not None for e in events if e["type"] in ("tool.use.completed", "run.completed"))
    usage = await stage.service.pool.fetchval("select usage::text from runs where id = $1", run)
    assert usage == '{"input_tokens": 13, "total_tokens": 37, "output_tokens": 24}'


@pytest.mark.slow
@pytest.mark.long
async def test_a_flood_is_written_whole_and_holds_nobody_up(stage: Stage) -> None:
    await stage.become("flood")
    thread, run = await stage.start()
    await stage.said(run, "0123456789")
    await stage.become("worker.runners.demo:echo")
    other, its = await stage.start("beside it")
    await stage.until(other, its, "completed", timeout=5)
    done = await stage.until(thread, run, "completed", timeout=60)
    assert len(done["finalOutput"]["text"]) == FLOOD
    assert await stage.text(run) == done["finalOutput"]["text"]
    rows = await stage.service.pool.fetchval("select count(*) from thread_events where run = $1", run)
    assert rows < FLOOD / 100


async def test_a_runner_that_hangs_ends_at_its_deadline(stage: Stage) -> None:
    await stage.become("hangs", run_timeout=1)
    thread, run = await stage.start()
    expired = await stage.until(thread, run, "expired", timeout=4)
    assert expired["error"]["code"] == "run.expired"
    await stage.become("worker.runners.demo:echo")
    assert await stage.until(thread, await stage.say(thread, "next"), "completed")


async def test_runs_of_a_thread_execute_one_at_a_time_in_their_order(stage: Stage) -> None:
    thread, first = await stage.start("/slow 1 one")
    runs = [first, *[await stage.say(thread, text) for text in ("two", "three", "four")]]
    found = [await stage.until(thread, run, "completed") for run in runs]
    for before, after in itertools.pairwise(found):
        assert before["completedAt"] <= after["startedAt"]


async def test_the_history_is_there_for_who_asks(stage: Stage) -> None:
    thread, run = await stage.start("one")
    await stage.until(thread, run, "completed")
    await stage.until(thread, await stage.say(thread, "two"), "completed")
    await stage.become("remembers")
    run = await stage.say(thread, "three")
    done = await stage.until(thread, run, "completed")
    assert done["finalOutput"] == {"text": "user:two|assistant:two"}


async def test_a_message_that_queued_up_knows_the_answers_before_it(stage: Stage) -> None:
    await stage.become("remembers_all")
    thread, first = await stage.start("A")
    runs = [first, await stage.say(thread, "B"), await stage.say(thread, "C")]
    told = [(await stage.until(thread, run, "completed"))["finalOutput"]["text"] for run in runs]
    assert told == ["0:", "1:A", "2:A,B"]


async def test_what_a_lost_attempt_said_otherwise_is_no_history(stage: Stage) -> None:
    await stage.become("differs")
    thread, run = await stage.start("one")
    await stage.said(run, "attempt 1")
    await stage.lose(run)
    await stage.until(thread, run, "completed")
    await stage.become("remembers")
    done = await stage.until(thread, await stage.say(thread, "two"), "completed")
    assert done["finalOutput"]["text"] == "user:one|assistant:attempt 2"


async def test_an_interrupt_ends_a_running_run_at_once_and_keeps_what_it_said(stage: Stage) -> None:
    await stage.become("hangs")
    thread, run = await stage.start()
    await stage.said(run, "I think, ")
    answer = await stage.interrupt(thread)
    assert answer["events"][0]["run"]["status"] == "cancelled"
    kept = await stage.service.pool.fetchrow("select * from messages where run = $1 and role = 'assistant'", run)
    assert (kept["status"], kept["incomplete_reason"]) == ("incomplete", "cancelled")
    assert "I think, " in kept["parts"]
    await stage.become("worker.runners.demo:echo")
    await stage.until(thread, await stage.say(thread, "next"), "completed", timeout=3)
    assert (await stage.run(thread, run))["finalOutput"] is None


@pytest.mark.parametrize("function", ["ignores", "deaf"])
async def test_a_runner_that_ignores_its_interrupt_delays_the_next_run_for_five_seconds(
    stage: Stage, function: str
) -> None:
    await stage.become(function)
    thread, run = await stage.start()
    await stage.said(run, "no. ")
    await stage.interrupt(thread)
    said = await stage.text(run)
    await stage.become("worker.runners.demo:echo")
    await stage.until(thread, await stage.say(thread, "next"), "completed", timeout=GRACE + 3)
    assert await stage.text(run) == said
    last = (await stage.service.pool.fetch("select type from thread_events where run = $1 order by id", run))[-1]
    assert last["type"] == "run.completed"


async def test_a_steering_message_reaches_the_runner_and_starts_no_run(stage: Stage) -> None:
    await stage.become("steered")
    thread, run = await stage.start()
    await stage.said(run, "ready")
    assert await stage.say(thread, "left", on_busy="steer") == run
    await stage.said(run, "ready left")
    assert await stage.say(thread, "stop", on_busy="steer") == run
    done = await stage.until(thread, run, "completed")
    assert done["finalOutput"] == {"text": "ready left stop"}
    runs = (await stage.client.call("GET", f"/threads/{thread}/runs")).json["runs"]
    assert len(runs) == 1


async def test_a_steering_message_that_comes_too_late_becomes_a_run(stage: Stage) -> None:
    thread, run = await stage.start("/slow 1 ")
    await stage.said(run, "1 ")
    assert await stage.say(thread, "later", on_busy="steer") == run
    await stage.until(thread, run, "completed")

    async def second() -> str | None:
        runs = (await stage.client.call("GET", f"/threads/{thread}/runs")).json["runs"]
        return str(runs[0]["id"]) if len(runs) == 2 else None

    late = await until(second)
    assert late is not None
    done = await stage.until(thread, late, "completed")
    assert done["finalOutput"] == {"text": "later"}
    (said,) = [event for event in await stage.events(thread) if event["content"] == "later" and "user" in event["type"]]
    assert said["runId"] == late


async def test_a_message_that_interrupts_goes_before_the_queued_ones(stage: Stage) -> None:
    await stage.become("worker.runners.demo:echo")
    thread, run = await stage.start("/slow 30 ")
    await stage.said(run, "1 ")
    queued = await stage.say(thread, "queued")
    urgent = await stage.say(thread, "urgent", on_busy="interrupt")
    first, second = await stage.until(thread, urgent, "completed"), await stage.until(thread, queued, "completed")
    assert first["completedAt"] <= second["startedAt"]
    assert (await stage.run(thread, run))["status"] == "cancelled"
