"""The runner `openai` and an endpoint that fails, lies, falls silent or floods: each has its code, and no key leaks."""

import asyncio
import io
import json
import socket
from typing import Any

import pytest
import rich.console
import structlog
from rich.traceback import Traceback

from tests.model_tools import ADD
from tests.openai_server import (
    Answer,
    OpenAIServer,
    breaks_off,
    calls,
    chunk,
    fails,
    falls_silent,
    floods,
    says,
    sends,
    sends_pieces,
    streams,
    texts,
    wants,
)
from tests.runners.openai import KEY, runner
from tests.runs import collect, context, text_of
from worker.runners import MessageEnd, Runner, RunnerError, TextDelta
from worker.runners.outputs import TOKENS_LIMIT
from worker.runners.registry import Surroundings, open_runner


async def failure(agent: Runner) -> RunnerError:
    with pytest.raises(RunnerError) as caught:
        await collect(agent, context())
    return caught.value


def error(message: str, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "t", "code": code, "param": None}}


HTML = "<html><body><h1>503 Service Unavailable</h1></body></html>"


@pytest.mark.parametrize(
    ("answer", "code", "retryable", "said"),
    [
        (
            fails(401, error("Bad key.")),
            "runner.unauthorized",
            False,
            "The endpoint refuses the key (HTTP 401): Bad key.",
        ),
        (fails(403, error("No.")), "runner.unauthorized", False, "(HTTP 403): No."),
        (fails(404, error("No model m.")), "runner.model_not_found", False, "(HTTP 404): No model m."),
        (fails(400, error("Bad schema.")), "runner.refused", False, "(HTTP 400): Bad schema."),
        (fails(400, error("Long.", "context_length_exceeded")), "runner.conversation_too_long", False, "Long."),
        (fails(400, error("Filtered.", "content_filter")), "runner.content_filter", False, "Filtered."),
        (fails(408, "{}"), "runner.timeout", True, "(HTTP 408)."),
        (fails(429, error("Slow down.")), "runner.rate_limited", True, "Slow down."),
        (fails(429, error("Pay.", "insufficient_quota")), "runner.quota", False, "Pay."),
        (fails(500, error("Oops.")), "runner.upstream", True, "(HTTP 500): Oops."),
        (fails(503, HTML, "text/html"), "runner.upstream", True, "The endpoint failed (HTTP 503)."),
        (fails(503, HTML * 10_000, "text/html"), "runner.upstream", True, "The endpoint failed (HTTP 503)."),
        (fails(503, "no gzip", Content_Encoding="gzip"), "runner.upstream", True, "The endpoint failed (HTTP 503)."),
        (fails(302, "", Location="http://127.0.0.1:1/"), "runner.refused", False, "(HTTP 302)."),
    ],
)
async def test_each_status_has_its_code(
    server: OpenAIServer, answer: Answer, code: str, retryable: bool, said: str
) -> None:
    server.answers.append(answer)
    found = await failure(runner(server.url))
    assert (found.code, found.retryable) == (code, retryable)
    assert found.message.endswith(said)
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("answer", "code", "retryable"),
    [
        (breaks_off(*texts("We")), "runner.upstream_closed", True),
        (breaks_off(), "runner.upstream_closed", True),
        (streams(*texts("We"), finish=None), "runner.upstream_closed", True),
        (streams(finish=None), "runner.upstream_closed", True),
        (streams(*texts("We"), b"{not json"), "runner.upstream_invalid", False),
        (streams(b'"\xff"'), "runner.upstream_invalid", False),
        (streams(b"42"), "runner.upstream_invalid", False),
        (streams(b"[]"), "runner.upstream_invalid", False),
        (streams(b'{"choices": "all"}'), "runner.upstream_invalid", False),
        (streams(b'{"choices": [{"delta": {"content": {"deep": 1}}}]}'), "runner.upstream_invalid", False),
        (streams(b"[" * 100_000), "runner.upstream_invalid", False),
        (streams(*calls(*((f"c{n}", "add", "{}") for n in range(101)))), "runner.upstream_invalid", False),
        (sends(HTML.encode(), "text/html"), "runner.upstream_invalid", False),
        (sends(b'{"choices": []}', "application/json"), "runner.upstream_invalid", False),
        (sends(b"x", headers={"Content-Encoding": "gzip"}), "runner.upstream_invalid", False),
        (floods(b": " + b"x" * 100_000 + b"\n\n"), "runner.upstream_invalid", False),
        (streams(chunk({"content": "x" * 1_300_000})), "runner.upstream_invalid", False),
        (streams(error("Overloaded.")), "runner.upstream", True),
        (says("No", finish="content_filter"), "runner.content_filter", False),
        (wants(("c1", "add", '{"a": 1'), finish="length"), "runner.length", False),
    ],
)
async def test_each_way_a_stream_goes_wrong_has_its_code(
    server: OpenAIServer, answer: Answer, code: str, retryable: bool
) -> None:
    server.answers.append(answer)
    found = await failure(runner(server.url, tools=[ADD]))
    assert (found.code, found.retryable) == (code, retryable), found.message


async def test_silence_in_mid_stream_ends_at_its_time_and_closes_the_connection(server: OpenAIServer) -> None:
    server.answers.append(falls_silent(*texts("Well")))
    found = await failure(runner(server.url, timeout=0.2))
    assert (found.code, found.retryable) == ("runner.timeout", True)
    async with asyncio.timeout(10):
        await server.gone.wait()


async def test_silence_before_the_first_word_ends_at_its_time() -> None:
    """A listener that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = await failure(runner(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", timeout=0.2))
    assert (found.code, found.retryable) == ("runner.timeout", True)


async def test_an_endpoint_that_is_not_there_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    found = await failure(runner(f"http://127.0.0.1:{port}/v1"))
    assert (found.code, found.retryable) == ("runner.unreachable", True)


async def test_what_was_said_before_a_stream_broke_off_was_yielded(server: OpenAIServer) -> None:
    server.answers.append(breaks_off(*texts("Once ", "upon")))
    stream = aiter(runner(server.url)(context()))
    assert [await anext(stream) for _ in range(2)] == [TextDelta("Once "), TextDelta("upon")]
    with pytest.raises(RunnerError):
        await anext(stream)


@pytest.mark.parametrize("ending", [breaks_off, falls_silent])
async def test_an_answer_that_is_whole_needs_no_tidy_end(server: OpenAIServer, ending: Any) -> None:
    server.answers.append(ending(*texts("Hello"), chunk({}, "stop")))
    assert await collect(runner(server.url, timeout=0.5), context()) == [TextDelta("Hello"), MessageEnd()]


async def test_a_request_without_an_answer_is_sent_again_before_anything_was_shown(server: OpenAIServer) -> None:
    server.answers += [fails(503, HTML, "text/html", Retry_After_Ms="1"), fails(429, "{}", Retry_After_Ms="1")]
    assert text_of(await collect(runner(server.url, retries=2), context())) == "You said: Hello"
    assert len(server.bodies) == 3


async def test_a_stream_that_broke_off_is_not_asked_for_again(server: OpenAIServer) -> None:
    server.answers.append(breaks_off(*texts("We")))
    await failure(runner(server.url, retries=2))
    assert len(server.bodies) == 1


async def test_a_private_address_is_refused_unless_it_is_allowed(server: OpenAIServer) -> None:
    found = await failure(runner(server.url, private=False))
    assert (found.code, found.retryable) == ("runner.address_refused", False)
    assert not server.bodies


async def test_what_cant_be_stored_is_replaced(server: OpenAIServer) -> None:
    server.answers.append(streams(b'{"choices": [{"delta": {"content": "a\\u0000b\\ud800c"}}]}'))
    assert text_of(await collect(runner(server.url), context())) == "a\ufffdb\ufffdc"


async def test_an_answer_of_many_events_may_be_longer_than_one_event(server: OpenAIServer) -> None:
    many = [piece for text in texts(*["x" * 200_000] * 6) for piece in (f"data: {json.dumps(text)}\n", "\n")]
    server.answers.append(sends_pieces(*many, f"data: {json.dumps(chunk({}, 'stop'))}\n\n"))
    assert len(text_of(await collect(runner(server.url), context()))) == 1_200_000


async def test_an_endpoints_counts_are_bounded(server: OpenAIServer) -> None:
    server.answers.append(says("x", usage=(10**30, -5)))
    usage = (await collect(runner(server.url), context()))[-1]
    assert (usage.input_tokens, usage.output_tokens) == (TOKENS_LIMIT, 0)  # type: ignore[union-attr]  # else it fails here


@pytest.mark.parametrize(
    "answer",
    [
        fails(401, error(f"Incorrect API key provided: {KEY}. " + "\r\nx\0" * 1_000)),
        fails(400, error("é" * 5_000)),
        fails(500, KEY * 1_000, "text/plain"),
        streams(error(f"No: {KEY} " + "y" * 100_000)),
        streams(f"{KEY} is no JSON".encode()),
        sends(KEY.encode(), f"text/{KEY}"),
    ],
)
async def test_an_error_is_one_bounded_line_without_the_key(server: OpenAIServer, answer: Answer) -> None:
    server.answers.append(answer)
    with structlog.testing.capture_logs() as logs:
        found = await failure(runner(server.url))
    assert len(found.message) < 500
    assert found.message.isprintable()
    shown = found.message + repr(found) + drawn(found) + json.dumps(logs, default=repr)
    assert KEY not in shown
    assert "_next" in shown or "_ask" in shown, "the frames that know the key are among them"


async def test_a_runner_shows_its_key_to_nobody(server: OpenAIServer) -> None:
    agent = runner(server.url)
    assert KEY not in repr(agent)
    assert KEY not in repr(vars(agent))


def drawn(found: RunnerError) -> str:
    """As a log for people draws it: with the locals of every frame, and what it came from."""
    page = io.StringIO()
    traceback = Traceback.from_exception(type(found), found, found.__traceback__, show_locals=True)
    rich.console.Console(file=page, width=200).print(traceback)
    return page.getvalue()


@pytest.mark.parametrize("value", [None, "", "   ", "two\nlines", "clé"])
def test_a_variable_without_a_key_is_named_and_not_shown(value: str | None) -> None:
    environment = {} if value is None else {"MODEL_KEY": value}
    with pytest.raises(RunnerError, match="MODEL_KEY") as caught:
        open_runner("openai", {"model": "m", "api_key_env": "MODEL_KEY"}, Surroundings(environment=environment))
    assert caught.value.code == "runner.misconfigured"
    assert not (value and value.strip()) or value not in caught.value.message


@pytest.mark.parametrize("function", ["tests.nowhere:add", "tests.model_tools:absent", "tests.model_tools:plain"])
def test_a_tool_that_is_not_on_this_worker_is_named(function: str) -> None:
    with pytest.raises(RunnerError, match="The tool add") as caught:
        open_runner("openai", {"model": "m", "tools": [{"name": "add", "function": function}]}, Surroundings())
    assert caught.value.code == "runner.unavailable"
