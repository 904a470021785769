"""What a model answers, as outputs of a run; what it is asked with, and messages that arrive meanwhile."""

import asyncio

import pytest

from tests.model_tools import ADD
from tests.openai_server import OpenAIServer, chunk, falls_silent, says, streams, texts, wants
from tests.runners.openai import KEY, roles, runner
from tests.runs import collect, context, message, text_of
from worker.runners import Checkpoint, Context, Custom, MessageEnd, TextDelta, ThinkingDelta, ToolStarted, Usage


async def test_an_answer_streams_piece_by_piece_and_its_usage_is_counted(server: OpenAIServer) -> None:
    server.answers.append(says("Good ", "morning", usage=(12, 3)))
    assert await collect(runner(server.url), context()) == [
        TextDelta("Good "),
        TextDelta("morning"),
        MessageEnd(),
        Usage(12, 3),
    ]


async def test_the_request_says_what_is_configured_and_nothing_else(server: OpenAIServer) -> None:
    agent = runner(
        server.url, system="Be brief.", temperature=0.5, max_tokens=9, parameters={"top_p": 0.1}, tools=[ADD], history=2
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
    await collect(runner(server.url), context())
    await collect(runner(server.url, api_key_env=None), context())
    assert not [value for headers in server.headers for value in headers.values() if "ambient" in value]
    assert server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert "Authorization" not in server.headers[1]
    assert server.headers[0]["Accept-Encoding"] == "identity"
    assert not [name for name in server.headers[0] if name.lower().startswith("x-")]


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
async def test_what_the_model_thinks_is_no_part_of_its_message(server: OpenAIServer, name: str) -> None:
    server.answers.append(streams(chunk({name: "Hm."}), *texts("Yes.")))
    outputs = await collect(runner(server.url), context())
    assert outputs == [ThinkingDelta("Hm."), TextDelta("Yes."), MessageEnd()]


async def test_a_refusal_is_an_answer(server: OpenAIServer) -> None:
    server.answers.append(streams(chunk({"refusal": "I can't."})))
    assert text_of(await collect(runner(server.url), context())) == "I can't."


async def test_an_answer_that_met_its_limit_stands_and_says_so(server: OpenAIServer) -> None:
    server.answers.append(says("Once upon", finish="length"))
    outputs = await collect(runner(server.url), context())
    assert outputs == [TextDelta("Once upon"), MessageEnd(), Custom("truncated", {"reason": "length"})]


async def test_a_message_that_arrives_between_turns_goes_along(server: OpenAIServer) -> None:
    server.answers += [wants(("c1", "add", '{"a":1,"b":1}')), says("Two, and hi.")]
    ctx = context()
    ctx.steer.offer(message("first", ident="s0"))
    stream = runner(server.url, tools=[ADD])(ctx)
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
    async for output in runner(server.url)(ctx):
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
    task = asyncio.create_task(collect(runner(server.url), context()))
    async with asyncio.timeout(10):
        await server.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.gone.wait()


async def test_a_driver_that_goes_away_in_mid_stream_closes_the_connection(server: OpenAIServer) -> None:
    server.answers.append(falls_silent(*texts("Well")))
    stream = runner(server.url)(context())
    async with asyncio.timeout(10):
        assert await anext(aiter(stream)) == TextDelta("Well")
        await stream.aclose()  # type: ignore[attr-defined]  # a runner is an async generator, its protocol says less
        await server.gone.wait()


async def test_many_runs_share_one_runner(server: OpenAIServer) -> None:
    agent = runner(server.url)

    async def one(ctx: Context) -> str:
        return text_of(await collect(agent, ctx))

    answers = await asyncio.gather(*(one(context(f"n{n}")) for n in range(20)))
    assert answers == [f"You said: n{n}" for n in range(20)]
