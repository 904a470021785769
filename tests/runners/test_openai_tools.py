"""Tools that a model uses: in order, within their bounds; and calls of it that can't be followed."""

import pytest

from tests.model_tools import ADD, EXPLODE, PAY, tool, used
from tests.openai_server import OpenAIServer, calls, says, streams, wants
from tests.runners.openai import roles, runner, tool_answers
from tests.runs import collect, context, text_of
from worker.runners import Checkpoint, MessageEnd, PermissionRequest, RunnerError, TextDelta, ToolCompleted, ToolStarted


async def test_several_tools_of_a_turn_are_used_in_order_and_told_to_the_model(server: OpenAIServer) -> None:
    server.answers += [
        wants(("c1", "add", '{"a": 1, "b": 2}'), ("c2", "add", '{"a": 3, "b": 4}'), text=("Let me see.",)),
        says("3.0 and 7.0"),
    ]
    outputs = await collect(runner(server.url, tools=[ADD]), context())
    assert [type(output) for output in outputs] == [
        *(TextDelta, MessageEnd, Checkpoint),
        *(ToolStarted, ToolCompleted, Checkpoint) * 2,
        *(TextDelta, MessageEnd),
    ]
    assert used == [("add", 1, 2), ("add", 3, 4)]
    assert roles(server) == ["user", "assistant", "tool", "tool"]
    assert tool_answers(server) == {"c1": "3", "c2": "7"}


async def test_a_tool_that_raises_is_told_to_the_model_and_fails_no_run(server: OpenAIServer) -> None:
    server.answers += [wants(("c1", "explode", '{"why": "me"}')), says("Sorry.")]
    outputs = await collect(runner(server.url, tools=[EXPLODE]), context())
    assert ToolCompleted("c1", "The tool failed: LookupError: no such thing: me", error=True) in outputs
    assert "no such thing: me" in tool_answers(server)["c1"]
    assert text_of(outputs) == "Sorry."


async def test_a_tool_that_hangs_ends_at_its_time(server: OpenAIServer) -> None:
    server.answers += [wants(("c1", "hang", "{}")), says("Never mind.")]
    outputs = await collect(runner(server.url, tools=[tool("hang", timeout=0.05)]), context())
    assert ToolCompleted("c1", "The tool gave no answer within 0.05 seconds.", error=True) in outputs


async def test_what_a_tool_returns_is_cut_and_fit_to_be_stored(server: OpenAIServer) -> None:
    server.answers += [wants(("c1", "long", ""), ("c2", "odd", "{}")), says("Ok.")]
    outputs = await collect(runner(server.url, tools=[tool("long"), tool("odd")]), context())
    first, second = [output for output in outputs if isinstance(output, ToolCompleted)]
    assert first.output is not None
    assert len(first.output) == 64 * 1024
    assert "\0" not in first.output
    assert second.error
    assert "object, which is no JSON value" in str(second.output)


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("add", '{"a": 1, "b"', "no JSON"),
        ("add", "[1, 2]", "must be a JSON object"),
        ("add", '{"a": NaN, "b": 1}', "NaN is no number"),
        ("add", '{"a": 1e999, "b": 1}', "out of range"),
        ("add", '{"a": ' + "[" * 100 + "]" * 100 + ', "b": 1}', "nested deeper"),
        ("add", '{"a": ' + "[" * 100_000, "no JSON"),
        ("add", '{"a": 1, "b": 1, "c": 1}', "takes no argument 'c'"),
        ("add", '{"a": 1}', "missing a required argument: 'b'"),
        ("pay", '{"order": "1", "key": "mine"}', "takes no argument 'key'"),
        ("divide", "{}", "There is no tool divide, only: add, pay."),
        ("no such/tool", "{}", "There is no tool no_such_tool"),
    ],
)
async def test_a_call_that_cant_be_read_is_told_to_the_model_and_asks_nobody(
    server: OpenAIServer, name: str, arguments: str, told: str
) -> None:
    server.answers += [wants(("c1", name, arguments)), says("Sorry.")]
    outputs = await collect(runner(server.url, tools=[ADD, PAY]), context())
    completed = next(output for output in outputs if isinstance(output, ToolCompleted))
    assert completed.error
    assert told in str(completed.output)
    assert tool_answers(server)["c1"] == completed.output
    assert server.last_messages()[1]["tool_calls"][0]["function"]["arguments"] == "{}"
    assert not used
    assert not [output for output in outputs if isinstance(output, PermissionRequest)]


async def test_a_model_may_not_choose_the_key_of_a_tool_that_takes_any_argument(server: OpenAIServer) -> None:
    loose = tool("pay", "order")
    loose["parameters"]["additionalProperties"] = True
    server.answers += [wants(("c1", "pay", '{"order": "1", "key": "mine"}')), says("Sorry.")]
    await collect(runner(server.url, tools=[loose]), context())
    assert tool_answers(server) == {"c1": "pay takes no argument 'key'."}
    assert not used


async def test_endpoints_that_number_every_call_the_same_are_understood(server: OpenAIServer) -> None:
    first, second = calls(("c1", "add", '{"a":1,"b":1}')), calls(("c2", "add", '{"a":2,"b":2}'))
    server.answers += [streams(*first, *second), says("Done.")]
    await collect(runner(server.url, tools=[ADD]), context())
    assert used == [("add", 1, 1), ("add", 2, 2)]


async def test_a_model_that_wants_tools_for_ever_is_stopped(server: OpenAIServer) -> None:
    server.answers += [wants(("c", "add", '{"a":1,"b":1}'))] * 4
    with pytest.raises(RunnerError) as caught:
        await collect(runner(server.url, tools=[ADD], max_turns=3), context())
    assert (caught.value.code, caught.value.retryable) == ("runner.too_many_turns", False)
    assert len(used) == 3
