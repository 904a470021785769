"""The runner `openai` against a local server that speaks its protocol: answers, tools, permissions, steering."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.model_tools import ADD, EXPLODE, PAY, tool, used
from tests.openai_server import OpenAIServer, calls, chunk, falls_silent, says, serving, streams, texts, wants
from tests.runs import collect, context, message, state_of, text_of
from worker.runners import (
    Checkpoint,
    Context,
    Custom,
    Decision,
    MessageEnd,
    PermissionRequest,
    Runner,
    RunnerError,
    TextDelta,
    ThinkingDelta,
    ToolCompleted,
    ToolStarted,
    Usage,
    Verdict,
)
from worker.runners.registry import Surroundings, open_runner

KEY = "sk-test-0123456789abcdef"


@pytest.fixture
async def server() -> AsyncIterator[OpenAIServer]:
    used.clear()
    async with serving() as server:
        yield server


def runner(server: OpenAIServer, **config: Any) -> Runner:
    given = {"base_url": server.url, "model": "m", "api_key_env": "MODEL_KEY", "retries": 0, "timeout": 5.0, **config}
    return open_runner("openai", given, Surroundings(private_endpoints=True, environment={"MODEL_KEY": KEY}))


def roles(server: OpenAIServer) -> list[str]:
    return [sent["role"] for sent in server.last_messages()]


def tool_answers(server: OpenAIServer) -> dict[str, str]:
    return {sent["tool_call_id"]: sent["content"] for sent in server.last_messages() if sent["role"] == "tool"}


async def test_an_answer_streams_piece_by_piece_and_its_usage_is_counted(server: OpenAIServer) -> None:
    server.answers.append(says("Good ", "morning", usage=(12, 3)))
    assert await collect(runner(server), context()) == [
        TextDelta("Good "),
        TextDelta("morning"),
        MessageEnd(),
        Usage(12, 3),
    ]


async def test_the_request_says_what_is_configured_and_nothing_else(server: OpenAIServer) -> None:
    agent = runner(
        server, system="Be brief.", temperature=0.5, max_tokens=9, parameters={"top_p": 0.1}, tools=[ADD], history=2
    )
    history = [message("old"), message("older", "assistant"), message("Yes?", "assistant")]
    await collect(agent, context("Hello", history))
    assert server.bodies[0] == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "assistant", "content": "older"},
            {"role": "assistant", "content": "Yes?"},
            {"role": "user", "content": "Hello"},
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "max_tokens": 9,
        "top_p": 0.1,
        "tools": [
            {
                "type": "function",
                "function": {"name": "add", "description": "", "parameters": ADD["parameters"]},
            }
        ],
    }


async def test_the_workers_environment_does_not_reach_the_endpoint(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID", "BASE_URL"):
        monkeypatch.setenv(f"OPENAI_{name}", "ambient")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Ambient: ambient\nAuthorization: ambient")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    await collect(runner(server), context())
    await collect(runner(server, api_key_env=None), context())
    assert not [value for headers in server.headers for value in headers.values() if "ambient" in value]
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert "Authorization" not in server.headers[1]
    assert server.headers[0]["Accept-Encoding"] == "identity"
    assert not [name for name in server.headers[0] if name.lower().startswith("x-")]


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
async def test_what_the_model_thinks_is_no_part_of_its_message(server: OpenAIServer, name: str) -> None:
    server.answers.append(streams(chunk({name: "Hm."}), *texts("Yes.")))
    outputs = await collect(runner(server), context())
    assert outputs == [ThinkingDelta("Hm."), TextDelta("Yes."), MessageEnd()]


async def test_a_refusal_is_an_answer(server: OpenAIServer) -> None:
    server.answers.append(streams(chunk({"refusal": "I can't."})))
    assert text_of(await collect(runner(server), context())) == "I can't."


async def test_an_answer_that_met_its_limit_stands_and_says_so(server: OpenAIServer) -> None:
    server.answers.append(says("Once upon", finish="length"))
    outputs = await collect(runner(server), context())
    assert outputs == [TextDelta("Once upon"), MessageEnd(), Custom("truncated", {"reason": "length"})]


async def test_several_tools_of_a_turn_are_used_in_order_and_told_to_the_model(server: OpenAIServer) -> None:
    server.answers += [
        wants(("c1", "add", '{"a": 1, "b": 2}'), ("c2", "add", '{"a": 3, "b": 4}'), text=("Let me see.",)),
        says("3.0 and 7.0"),
    ]
    outputs = await collect(runner(server, tools=[ADD]), context())
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
    outputs = await collect(runner(server, tools=[EXPLODE]), context())
    assert ToolCompleted("c1", "The tool failed: LookupError: no such thing: me", error=True) in outputs
    assert "no such thing: me" in tool_answers(server)["c1"]
    assert text_of(outputs) == "Sorry."


async def test_a_tool_that_hangs_ends_at_its_time(server: OpenAIServer) -> None:
    server.answers += [wants(("c1", "hang", "{}")), says("Never mind.")]
    outputs = await collect(runner(server, tools=[tool("hang", timeout=0.05)]), context())
    assert ToolCompleted("c1", "The tool gave no answer within 0.05 seconds.", error=True) in outputs


async def test_what_a_tool_returns_is_cut_and_fit_to_be_stored(server: OpenAIServer) -> None:
    server.answers += [wants(("c1", "long", ""), ("c2", "odd", "{}")), says("Ok.")]
    outputs = await collect(runner(server, tools=[tool("long"), tool("odd")]), context())
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
    outputs = await collect(runner(server, tools=[ADD, PAY]), context())
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
    await collect(runner(server, tools=[loose]), context())
    assert tool_answers(server) == {"c1": "pay takes no argument 'key'."}
    assert not used


async def test_a_tool_that_asks_waits_with_the_conversation_in_its_checkpoint(server: OpenAIServer) -> None:
    server.answers.append(wants(("c1", "pay", '{"order": "42"}'), text=("I would pay.",)))
    outputs = await collect(runner(server, tools=[PAY]), context("Pay 42"))
    request = PermissionRequest("c1", 'pay {"order":"42"}', "pay", {"order": "42"}, 60.0)
    assert outputs[-2:] == [Checkpoint(state_of(outputs)), request]
    assert [sent["role"] for sent in state_of(outputs)["messages"]] == ["user", "assistant"]
    assert json.loads(json.dumps(state_of(outputs))) == state_of(outputs)
    assert not used


async def test_several_questions_are_asked_at_once_after_what_needs_none(server: OpenAIServer) -> None:
    server.answers.append(
        wants(("c1", "pay", '{"order": "1"}'), ("c2", "add", '{"a": 1, "b": 1}'), ("c3", "pay", '{"order": "3"}'))
    )
    outputs = await collect(runner(server, tools=[PAY, ADD]), context())
    assert [output.id for output in outputs[-2:] if isinstance(output, PermissionRequest)] == ["c1", "c3"]
    assert isinstance(outputs[-3], Checkpoint)
    assert used == [("add", 1, 1)]


async def test_each_decision_is_followed_and_told_to_the_model_in_the_order_of_the_calls(server: OpenAIServer) -> None:
    server.answers += [
        wants(*((f"c{n}", "pay", json.dumps({"order": str(n)})) for n in range(3)), ("c3", "add", '{"a":1,"b":1}')),
        says("Done."),
    ]
    agent = runner(server, tools=[PAY, ADD])
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
    agent = runner(server, tools=[PAY])
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
    agent = runner(server, tools=[ADD, tool("pay", "order")])
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
    agent = runner(server, tools=[tool("pay", "order")])
    first = next(output.state for output in await collect(agent, context()) if isinstance(output, Checkpoint))
    await collect(agent, context(state=first, attempt=2))
    assert used == [("pay", "2", "r:call_1_0")] * 2


async def test_endpoints_that_number_every_call_the_same_are_understood(server: OpenAIServer) -> None:
    first, second = calls(("c1", "add", '{"a":1,"b":1}')), calls(("c2", "add", '{"a":2,"b":2}'))
    server.answers += [streams(*first, *second), says("Done.")]
    await collect(runner(server, tools=[ADD]), context())
    assert used == [("add", 1, 1), ("add", 2, 2)]


async def test_a_model_that_wants_tools_for_ever_is_stopped(server: OpenAIServer) -> None:
    server.answers += [wants(("c", "add", '{"a":1,"b":1}'))] * 4
    with pytest.raises(RunnerError) as caught:
        await collect(runner(server, tools=[ADD], max_turns=3), context())
    assert (caught.value.code, caught.value.retryable) == ("runner.too_many_turns", False)
    assert len(used) == 3


async def test_a_message_that_arrives_between_turns_goes_along(server: OpenAIServer) -> None:
    server.answers += [wants(("c1", "add", '{"a":1,"b":1}')), says("Two, and hi.")]
    ctx = context()
    ctx.steer.offer(message("first", ident="s0"))
    stream = runner(server, tools=[ADD])(ctx)
    outputs = []
    async for output in stream:
        outputs.append(output)
        if isinstance(output, ToolStarted):
            ctx.steer.offer(message("say hi, too", ident="s1"))
    assert roles(server) == ["user", "user", "assistant", "tool", "user"]
    assert ctx.steer.acknowledged() == ["s0", "s1"]
    assert text_of(outputs) == "Two, and hi."


async def test_a_message_that_arrives_with_the_answer_gets_another_turn(server: OpenAIServer) -> None:
    server.answers += [says("Done."), says("And now, too.")]
    ctx = context()
    outputs = []
    async for output in runner(server)(ctx):
        outputs.append(output)
        if output == TextDelta("Done."):
            ctx.steer.offer(message("More!", ident="s1"))
    checkpoint = next(output for output in outputs if isinstance(output, Checkpoint))
    assert checkpoint.state["messages"][-1] == {"role": "user", "content": "More!"}
    assert text_of(outputs) == "Done.And now, too."
    assert [output for output in outputs if not isinstance(output, Checkpoint)] == [
        TextDelta("Done."),
        MessageEnd(),
        TextDelta("And now, too."),
        MessageEnd(),
    ]


async def test_an_interrupt_in_mid_stream_closes_the_connection(server: OpenAIServer) -> None:
    server.answers.append(falls_silent(*texts("Well")))
    task = asyncio.create_task(collect(runner(server), context()))
    async with asyncio.timeout(10):
        await server.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.gone.wait()


async def test_a_driver_that_goes_away_in_mid_stream_closes_the_connection(server: OpenAIServer) -> None:
    server.answers.append(falls_silent(*texts("Well")))
    stream = runner(server)(context())
    async with asyncio.timeout(10):
        assert await anext(aiter(stream)) == TextDelta("Well")
        await stream.aclose()  # type: ignore[attr-defined]  # as above
        await server.gone.wait()


async def test_a_long_history_leaves_room_in_the_checkpoint(server: OpenAIServer) -> None:
    server.answers += [wants(("c1", "add", '{"a":1,"b":1}')), says("2")]
    history = [message("ü" * 100_000 + str(n)) for n in range(20)]
    outputs = await collect(runner(server, tools=[ADD]), context("x" * 250_000, history))
    assert len(json.dumps(state_of(outputs), ensure_ascii=False).encode()) < 1024 * 1024
    kept = [sent["content"][-2:] for sent in server.last_messages()[:-3]]
    assert kept == ["18", "19"], "the newest"


async def test_a_conversation_without_room_in_a_checkpoint_fails_with_its_reason(server: OpenAIServer) -> None:
    many = [(f"c{n}", "long", "{}") for n in range(20)]
    server.answers.append(wants(*many))
    with pytest.raises(RunnerError, match="beyond 1 MiB") as caught:
        await collect(runner(server, tools=[tool("long")]), context())
    assert caught.value.code == "runner.conversation_too_long"


@pytest.mark.parametrize("state", [7, {"version": 2, "rounds": 0, "messages": []}, {"messages": "x"}])
async def test_a_checkpoint_of_another_runner_is_refused(server: OpenAIServer, state: Any) -> None:
    with pytest.raises(RunnerError) as caught:
        await collect(runner(server), context(state=state))
    assert caught.value.code == "runner.state_unreadable"
    assert not server.bodies


async def test_many_runs_share_one_runner(server: OpenAIServer) -> None:
    agent = runner(server)

    async def one(ctx: Context) -> str:
        return text_of(await collect(agent, ctx))

    answers = await asyncio.gather(*(one(context(f"n{n}")) for n in range(20)))
    assert answers == [f"You said: n{n}" for n in range(20)]
