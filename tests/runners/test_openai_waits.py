"""Tools that ask before they are used, and checkpoints that a run of a model goes on from."""

import json
from typing import Any

import pytest

from tests.model_tools import ADD, PAY, tool, used
from tests.openai_server import OpenAIServer, says, wants
from tests.runners.openai import runner, tool_answers
from tests.runs import collect, context, message, state_of, text_of
from worker.runners import Checkpoint, Decision, PermissionRequest, RunnerError, ToolStarted, Verdict


async def test_a_tool_that_asks_waits_with_the_conversation_in_its_checkpoint(server: OpenAIServer) -> None:
    server.answers.append(wants(("c1", "pay", '{"order": "42"}'), text=("I would pay.",)))
    outputs = await collect(runner(server.url, tools=[PAY]), context("Pay 42"))
    request = PermissionRequest("c1", 'pay {"order":"42"}', "pay", {"order": "42"}, 60.0)
    assert outputs[-2:] == [Checkpoint(state_of(outputs)), request]
    assert [sent["role"] for sent in state_of(outputs)["messages"]] == ["user", "assistant"]
    assert json.loads(json.dumps(state_of(outputs))) == state_of(outputs)
    assert not used


async def test_several_questions_are_asked_at_once_after_what_needs_none(server: OpenAIServer) -> None:
    server.answers.append(
        wants(("c1", "pay", '{"order": "1"}'), ("c2", "add", '{"a": 1, "b": 1}'), ("c3", "pay", '{"order": "3"}'))
    )
    outputs = await collect(runner(server.url, tools=[PAY, ADD]), context())
    assert [output.id for output in outputs[-2:] if isinstance(output, PermissionRequest)] == ["c1", "c3"]
    assert isinstance(outputs[-3], Checkpoint)
    assert used == [("add", 1, 1)]


async def test_each_decision_is_followed_and_told_to_the_model_in_the_order_of_the_calls(server: OpenAIServer) -> None:
    server.answers += [
        wants(*((f"c{n}", "pay", json.dumps({"order": str(n)})) for n in range(3)), ("c3", "add", '{"a":1,"b":1}')),
        says("Done."),
    ]
    agent = runner(server.url, tools=[PAY, ADD])
    state = state_of(await collect(agent, context()))
    decisions = {
        "c0": Decision(Verdict.ALLOWED),
        "c1": Decision(Verdict.REJECTED, "too much"),
        "c2": Decision(Verdict.EXPIRED),
    }
    outputs = await collect(agent, context(state=state, decisions=decisions))
    assert used == [("add", 1, 1), ("pay", "0", "r:c0")]
    assert [output.id for output in outputs if isinstance(output, ToolStarted)] == ["c0"]
    answers = tool_answers(server)
    assert list(answers) == ["c0", "c1", "c2", "c3"]
    assert answers["c0"] == '{"paid":"0"}'
    assert "does not allow" in answers["c1"]
    assert "too much" in answers["c1"]
    assert "Nobody answered in time" in answers["c2"]
    assert text_of(outputs) == "Done."


async def test_a_run_waits_as_often_as_its_model_asks(server: OpenAIServer) -> None:
    server.answers += [
        wants(("call_0", "pay", '{"order": "1"}')),
        wants(("call_0", "pay", '{"order": "2"}')),
        says("Both."),
    ]
    agent = runner(server.url, tools=[PAY])
    decisions: dict[str, Decision] = {}
    outputs = await collect(agent, context())
    for _ in range(2):
        asked = outputs[-1]
        assert isinstance(asked, PermissionRequest)
        assert asked.id not in decisions, "an id that an endpoint says twice is not the same call"
        decisions[asked.id] = Decision(Verdict.ALLOWED)
        outputs = await collect(agent, context(state=state_of(outputs), decisions=decisions))
    assert text_of(outputs) == "Both."
    assert [order for _, order, _ in used] == ["1", "2"]
    assert len({key for _, _, key in used}) == 2


async def test_a_run_that_was_lost_goes_on_behind_the_tools_that_it_used(server: OpenAIServer) -> None:
    server.answers.append(wants(("c1", "add", '{"a": 1, "b": 1}'), ("c2", "pay", '{"order": "2"}')))
    agent = runner(server.url, tools=[ADD, tool("pay", "order")])
    stream = agent(context())
    states = []
    async for output in stream:
        if isinstance(output, Checkpoint):
            states.append(output.state)
        if isinstance(output, ToolStarted) and output.id == "c2":
            break  # the worker is killed here: nothing of the second tool is known
    await stream.aclose()  # type: ignore[attr-defined]  # a runner is an async generator, its protocol says less
    server.answers.append(says("2 and paid"))
    outputs = await collect(agent, context(state=states[-1], attempt=2))
    assert used == [("add", 1, 1), ("pay", "2", "r:c2")]
    assert text_of(outputs) == "2 and paid"


async def test_a_tool_that_was_under_way_is_used_again_with_the_same_key(server: OpenAIServer) -> None:
    server.answers += [wants(("", "pay", '{"order": "2"}')), says("x"), says("x")]
    agent = runner(server.url, tools=[tool("pay", "order")])
    first = next(output.state for output in await collect(agent, context()) if isinstance(output, Checkpoint))
    await collect(agent, context(state=first, attempt=2))
    assert used == [("pay", "2", "r:call_1_0")] * 2


async def test_a_long_history_leaves_room_in_the_checkpoint(server: OpenAIServer) -> None:
    server.answers += [wants(("c1", "add", '{"a":1,"b":1}')), says("2")]
    history = [message("ü" * 100_000 + str(n)) for n in range(20)]
    outputs = await collect(runner(server.url, tools=[ADD]), context("x" * 250_000, history))
    assert len(json.dumps(state_of(outputs), ensure_ascii=False).encode()) < 1024 * 1024
    kept = [sent["content"][-2:] for sent in server.last_messages()[:-3]]
    assert kept == ["18", "19"], "the newest"


async def test_a_conversation_without_room_in_a_checkpoint_fails_with_its_reason(server: OpenAIServer) -> None:
    many = [(f"c{n}", "long", "{}") for n in range(20)]
    server.answers.append(wants(*many))
    with pytest.raises(RunnerError, match="beyond 1 MiB") as caught:
        await collect(runner(server.url, tools=[tool("long")]), context())
    assert caught.value.code == "runner.conversation_too_long"


@pytest.mark.parametrize("state", [7, {"version": 2, "rounds": 0, "messages": []}, {"messages": "x"}])
async def test_a_checkpoint_of_another_runner_is_refused(server: OpenAIServer, state: Any) -> None:
    with pytest.raises(RunnerError) as caught:
        await collect(runner(server.url), context(state=state))
    assert caught.value.code == "runner.state_unreadable"
    assert not server.bodies
