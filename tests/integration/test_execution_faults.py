"""Runs that would harm others, or be told of wrongly: odd exceptions, outputs that are refused, answers lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest

from shared import ids
from shared.settings import Settings
from tests import odd_runners
from tests.agents import Stage, running_stage
from tests.odd_runners import Gate
from tests.pipeline import running_crew
from tests.proxy import Wire, wire_to
from tests.service import message, running_service
from tests.watch import until
from worker.runners.drive import MOST_REQUESTS

REFUSED = {
    "code": "runner.invalid_output",
    "message": "The database refused what the runner yielded.",
    "retryable": False,
}


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    async with running_stage(settings) as stage:
        yield stage


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate()
    monkeypatch.setattr(odd_runners, "gate", gate)
    return gate


@asynccontextmanager
async def wired_stage(settings: Settings) -> AsyncIterator[tuple[Stage, Wire]]:
    """A stage whose worker, and nobody else, reaches Postgres by a wire."""
    async with (
        running_service(settings, worker=False) as service,
        wire_to(settings.database_url) as wire,
        running_crew(settings.model_copy(update={"database_url": wire.url}), "all"),
    ):
        yield Stage(service, await service.client("acme")), wire


async def refuse(stage: Stage, text: str) -> None:
    """From now on Postgres refuses what holds this text, whoever says it."""
    await stage.service.pool.execute(
        f"alter table thread_events add check (content not like '%{text}%')",  # not a value: a statement has none here
    )


async def refuse_event(stage: Stage, thread: str, kind: str) -> None:
    """From now on Postgres refuses such events of one thread."""
    uuid = ids.to_bytes(thread).hex()
    await stage.service.pool.execute(
        f"alter table thread_events add check (thread <> '{uuid}'::uuid or type <> '{kind}') not valid"
    )


async def waiting(gate: Gate, number: int) -> None:
    async def look() -> bool:
        return len(gate.waiting) == number

    await until(look)


async def test_a_refused_neighbour_and_a_lost_connection_double_no_text(settings: Settings, gate: Gate) -> None:
    async with wired_stage(settings) as (stage, wire):
        await stage.become("shouts_at_once")
        await refuse(stage, "POISON")
        started = []
        for number, text in enumerate(("aaa", "poison", "bbb"), 1):
            started.append(await stage.start(text))
            await waiting(gate, number)
        wire.lose_answer_to(b"BBB", b"BBB")  # in the append of all, which is refused; then in the one alone
        gate.opened.set()
        await stage.said(started[2][1], "BBB")
        gate.ended.set()
        ended = [await stage.until(*run) for run in started]
        assert wire.lost == 1
        assert [await stage.text(run) for _, run in started] == ["AAA", "", "BBB"]
        assert [run["status"] for run in ended] == ["completed", "failed", "completed"]
        assert ended[1]["error"] == REFUSED


async def test_a_run_whose_answer_was_refused_fails_whenever_it_returns(stage: Stage) -> None:
    await stage.become("shouts_and_leaves")
    await refuse(stage, "ANSWER")
    started = [await stage.start(str(turns)) for turns in range(12)]
    for thread, run in started:
        ended = await stage.until(thread, run)
        assert (ended["status"], ended["error"], ended["finalOutput"]) == ("failed", REFUSED, None)
        assert await stage.text(run) == ""
    assert await stage.leases() == 0


async def test_a_message_whose_commit_was_not_answered_is_kept_once(settings: Settings, gate: Gate) -> None:
    async with wired_stage(settings) as (stage, wire):
        await stage.become("ends_a_message")
        wire.lose_answer_to(b'"m0"', b"commit")  # the message's parts are written behind its text
        thread, run = await stage.start()

        async def lost() -> bool:
            return wire.lost == 1

        await until(lost)
        gate.ended.set()
        assert (await stage.until(thread, run, "completed"))["finalOutput"] == {"text": "m1"}
        rows = await stage.service.pool.fetch(
            "select parts::jsonb -> 0 ->> 'text' as text from messages where run = $1 and role = 'assistant'"
            " order by num",
            run,
        )
        assert [row["text"] for row in rows] == ["m0", "m1"]


async def test_twenty_queued_runs_follow_one_another_without_the_sweep(settings: Settings) -> None:
    async with running_stage(settings.model_copy(update={"sweep": False})) as stage:
        for _ in range(3):
            thread = await stage.client.new_thread()
            sent = await stage.send(thread, *(message(str(number)) for number in range(20)))
            for event in sent["events"]:
                await stage.until(thread, event["run"]["id"], "completed", timeout=5)


@pytest.mark.parametrize(
    ("function", "field"),
    [
        ("nests_input", "ToolStarted.input"),
        ("nests_state", "Checkpoint.state"),
        ("nests_custom", "Custom.data"),
        ("nests_request", "PermissionRequest.input"),
    ],
)
async def test_json_nested_too_deep_fails_its_run_with_the_name_of_the_field(
    stage: Stage, function: str, field: str
) -> None:
    await stage.become(f"tests.nesting_runners:{function}")
    thread, run = await stage.start("64")
    if function == "nests_request":
        await stage.until(thread, run, "waiting_input")
        (request,) = (await stage.requests(thread)).values()
        await stage.decide(thread, request)
    await stage.until(thread, run, "completed")
    assert (await stage.client.call("GET", f"/threads/{thread}/events")).status == 200
    error = (await stage.until(*await stage.start("65"), "failed"))["error"]
    assert error["code"] == "runner.invalid_output"
    assert f"{field} must be nested at most 64 levels deep" in error["message"]


async def test_an_input_that_can_not_be_read_hides_neither_history_nor_stream(stage: Stage) -> None:
    await stage.become("tools")
    thread, run = await stage.start()
    await stage.until(thread, run, "completed")
    logged = await stage.events(thread)
    deep = '{"in":' * 1_000 + "1" + "}" * 1_000
    spoilt = await stage.service.pool.execute(
        "update thread_events set tool_input = $2 where thread = $1 and tool_call_id = 'call-1'"
        " and type = 'tool.use.started'",
        *(thread, deep),
    )
    assert spoilt == "UPDATE 1"
    shown = await stage.events(thread)
    assert [event["id"] for event in shown] == [event["id"] for event in logged]
    assert [event.get("toolInput") for event in shown if event["type"] == "tool.use.started"] == [None, {"q": "milk"}]
    url = f"{stage.client.url}/api/v1/threads/{thread}/events/stream?until=run"
    fields = {"Authorization": f"Bearer {stage.client.token}"}
    async with stage.client.session.get(url, headers=fields) as stream:
        heard = await asyncio.wait_for(stream.text(), 5)
    assert [event["id"] for event in logged if f"id: {event['id']}\n" not in heard] == []


async def test_a_run_that_asks_too_much_at_once_fails(stage: Stage) -> None:
    await stage.become("asks_many")
    thread, run = await stage.start(str(MOST_REQUESTS + 1))
    error = (await stage.until(thread, run, "failed"))["error"]
    assert error["code"] == "runner.invalid_output"
    assert f"more than {MOST_REQUESTS} permissions" in error["message"]
    assert await stage.requests(thread) == {}


async def test_as_many_requests_as_a_call_may_make_are_asked_and_closed_with_their_thread(stage: Stage) -> None:
    await stage.become("asks_many")
    thread, run = await stage.start(str(MOST_REQUESTS))
    await stage.until(thread, run, "waiting_input")
    assert len(await stage.requests(thread)) == MOST_REQUESTS
    assert (await stage.client.call("POST", f"/threads/{thread}/archive", {})).status == 200
    await stage.until(thread, run, "cancelled")
    states = partial(
        stage.service.pool.fetch, "select distinct state from permission_requests where thread = $1", thread
    )
    assert [row["state"] for row in await states()] == ["superseded"]


@pytest.mark.parametrize(
    "function", ["raises_base", "presses_ctrl_c", "exits", "raises_generator_exit", "cancels_itself"]
)
async def test_whatever_a_runner_raises_fails_its_run_and_harms_no_other(stage: Stage, function: str) -> None:
    await stage.become("steered")
    other = await stage.start()
    await stage.said(other[1], "ready")
    await stage.become(f"tests.ending_runners:{function}")
    thread, run = await stage.start()
    failed = await stage.until(thread, run, "failed", timeout=3)
    assert failed["error"]["code"] == "runner.failed"
    assert "secret" not in str(failed)
    assert await stage.text(run) == "so far"
    await stage.say(other[0], "stop", on_busy="steer")
    await stage.until(*other, "completed")


async def test_a_runner_that_exits_when_it_is_interrupted_harms_no_other(stage: Stage) -> None:
    await stage.become("steered")
    other = await stage.start()
    await stage.said(other[1], "ready")
    await stage.become("tests.ending_runners:exits_when_interrupted")
    thread, run = await stage.start()
    await stage.said(run, "so far")
    await stage.interrupt(thread)
    await stage.until(thread, run, "cancelled")

    async def released() -> bool:
        return await stage.leases() == 1

    await until(released)
    await stage.say(other[0], "stop", on_busy="steer")
    await stage.until(*other, "completed")


async def test_a_thread_that_can_not_be_taken_keeps_no_other_from_a_worker(settings: Settings) -> None:
    async with running_service(settings) as service:  # nobody executes yet: one take has them all
        stage = Stage(service, await service.client("acme"))
        await stage.become("worker.runners.demo:echo")
        before, refused, behind = [await stage.start() for _ in range(3)]
        await refuse_event(stage, refused[0], "run.started")
        async with running_crew(settings, "all"):
            await stage.until(*before, "completed", timeout=5)
            await stage.until(*behind, "completed", timeout=5)
        assert (await stage.run(*refused))["status"] == "queued"


async def test_a_lost_run_that_can_not_be_settled_keeps_no_other_lost(settings: Settings) -> None:
    async with running_stage(settings.model_copy(update={"run_attempts": 1}), "tests.odd_runners:hangs") as stage:
        before, refused, behind = [await stage.start() for _ in range(3)]
        for _, run in (before, refused, behind):
            await stage.said(run, "I think")
        await refuse_event(stage, refused[0], "run.failed")

        async def failed() -> bool:
            await stage.lose_leases()  # heartbeats lengthen them until they are found
            return [(await stage.run(*one))["status"] for one in (before, behind)] == ["failed"] * 2

        await until(failed)
        assert (await stage.run(*refused))["status"] == "running"
