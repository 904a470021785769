"""What an AG-UI endpoint can do wrong: each ends the run with its code, and nothing of it holds anybody up."""

import asyncio
import itertools
import json
import traceback
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

import httpx2
import pytest
from ag_ui import core
from ag_ui.core import RunAgentInput
from aiohttp import web
from structlog.testing import capture_logs

from deploy import ports
from tests.runners.agui import TOKEN, Upstream, begin, failure, outputs, run, to_its_failure
from worker.runners import Context, Decision, RunnerError, TextDelta, Usage, Verdict, registry
from worker.runners.agui import failures
from worker.runners.registry import Surroundings

STARTED = b'data: {"type":"RUN_STARTED","threadId":"THREAD","runId":"RUN"}\n\n'
SAID = b'data: {"type":"TEXT_MESSAGE_CHUNK","messageId":"m","delta":"Hi"}\n\n'
FINISHED = b'data: {"type":"RUN_FINISHED","threadId":"THREAD","runId":"RUN"}\n\n'


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (204, "runner.protocol", False),
        (301, "runner.protocol", False),
        (307, "runner.protocol", False),
        (400, "runner.upstream", False),
        (401, "runner.unauthorized", False),
        (403, "runner.unauthorized", False),
        (404, "runner.upstream", False),
        (408, "runner.timeout", True),
        (429, "runner.rate_limited", True),
        (500, "runner.upstream", True),
        (503, "runner.upstream", True),
        (504, "runner.timeout", True),
    ],
)
async def test_each_status_has_its_code(
    upstream: Upstream, ctx: Context, status: int, code: str, retryable: bool
) -> None:
    async def answer(request: web.Request, _: RunAgentInput) -> web.StreamResponse:
        return await begin(request, status, Location=upstream.url)

    upstream.answers.append(answer)
    error = await failure(upstream, ctx)
    assert (error.code, error.retryable) == (code, retryable)
    assert str(status) in error.message
    assert len(upstream.asked) == 1  # a redirect is not followed


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ({"Content_Type": "application/json"}, "text/event-stream"),
        ({"Content_Type": "application/vnd.ag-ui.event+proto"}, "text/event-stream"),
        ({"Content_Encoding": "gzip"}, "compressed"),
    ],
)
async def test_an_answer_of_another_kind_is_refused(
    upstream: Upstream, ctx: Context, kept: dict[str, Any], said: str
) -> None:
    upstream.sends(STARTED, **kept)
    error = await failure(upstream, ctx)
    assert error.code == "runner.protocol"
    assert said in error.message


@pytest.mark.parametrize(
    "garbage",
    [
        b"data: nonsense\n\n",
        b"data: [1]\n\n",
        b'data: {"no":"type"}\n\n',
        b'data: {"type":7}\n\n',
        b'data: {"type":"TEXT_MESSAGE_CONTENT","messageId":"m"}\n\n',
        b'data: {"type":"TOOL_CALL_CHUNK","delta":"of no call"}\n\n',
        b'data: {"type":"TOOL_CALL_START","toolCallId":"","toolCallName":"x"}\n\n',
        b'data: {"type":"TOOL_CALL_START","toolCallId":"c","toolCallName":"' + b"x" * 256 + b'"}\n\n',
        b'data: {"type":"CUSTOM","name":"n","value":NaN}\n\n',
        b'data: {"type":"CUSTOM","name":"n","value":1e999}\n\n',
        b'data: {"type":"CUSTOM","name":"n","value":' + b"9" * 5_000 + b"}\n\n",
        b'data: {"type":"CUSTOM","name":"n","value":' + b"[" * 65 + b"]" * 65 + b"}\n\n",
        b'data: {"type":"CUSTOM","name":"n","value":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n\n",
        b'data: {"type":"STATE_DELTA","delta":[{"op":"remove","path":"/nothing"}]}\n\n',
        b'data: {"type":"STATE_SNAPSHOT","snapshot":"' + b"x" * 600_000 + b'"}\n\n',
        b'data: {"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":{"type":"interrupt","interrupts":[]}}\n\n',
        b'data: {"type":"RUN_FINISHED","threadId":"t","runId":"r","outcome":{"type":"new"}}\n\n',
        b"data: " + b"x" * (1 << 20) + b"\n\n",
        b": " + b"x" * (1 << 21) + b"\n\n",
        (b"data: " + b"x" * 1_000 + b"\n") * 1_100 + b"\n",
    ],
)
async def test_garbage_ends_the_run_and_what_came_before_it_stays(
    upstream: Upstream, ctx: Context, garbage: bytes
) -> None:
    upstream.sends(STARTED, SAID, garbage, FINISHED)
    found, error = await to_its_failure(upstream, ctx)
    assert (error.code, error.retryable) == ("runner.protocol", False)
    assert found[:1] == [TextDelta("Hi")]
    assert len(error.message) < 500


async def test_a_stream_must_begin_with_a_run(upstream: Upstream, ctx: Context) -> None:
    upstream.sends(SAID, FINISHED)
    assert (await failure(upstream, ctx)).code == "runner.protocol"


async def test_a_chunk_must_say_of_which_message_it_is(upstream: Upstream, ctx: Context) -> None:
    upstream.says(core.TextMessageChunkEvent(delta="of none"))
    assert (await failure(upstream, ctx)).code == "runner.protocol"


async def test_a_stream_of_another_run_is_no_answer(upstream: Upstream, ctx: Context) -> None:
    upstream.sends(STARTED.replace(b'"RUN"', b'"THEIRS"'), SAID, FINISHED)
    error = await failure(upstream, ctx)
    assert (error.code, "another run" in error.message) == ("runner.protocol", True)


async def test_open_calls_and_their_arguments_are_bounded(upstream: Upstream, ctx: Context) -> None:
    calls = [core.ToolCallStartEvent(tool_call_id=str(n), tool_call_name="x") for n in range(1_001)]
    upstream.says(*calls)
    assert (await failure(upstream, ctx)).code == "runner.protocol"
    upstream.says(calls[0], *(core.ToolCallArgsEvent(tool_call_id="0", delta="x" * 600_000) for _ in range(2)))
    assert "1 MiB" in (await failure(upstream, ctx)).message
    upstream.says(*(core.TextMessageStartEvent(message_id=str(n)) for n in range(1_001)))
    assert "open at once" in (await failure(upstream, ctx)).message


@pytest.mark.parametrize("chunks", [(), (STARTED,), (STARTED, SAID), (STARTED, SAID, FINISHED[:-2])])
async def test_a_stream_that_ends_too_early_may_be_tried_again(
    upstream: Upstream, ctx: Context, chunks: tuple[bytes, ...]
) -> None:
    upstream.sends(*chunks)
    error = await failure(upstream, ctx)
    assert (error.code, error.retryable) == ("runner.upstream_closed", True)


async def test_a_connection_that_breaks_off_may_be_tried_again(upstream: Upstream, ctx: Context) -> None:
    async def answer(request: web.Request, _: RunAgentInput) -> web.StreamResponse:
        response = await begin(request)
        await response.write(STARTED + SAID)
        assert request.transport is not None
        request.transport.abort()
        return response

    upstream.answers.append(answer)
    error = await failure(upstream, ctx)
    assert (error.code, error.retryable) == ("runner.upstream_closed", True)


async def test_nobody_there_may_be_tried_again(upstream: Upstream, ctx: Context) -> None:
    error = await failure(upstream, ctx, url=f"http://127.0.0.1:{ports.pick()}/")
    assert (error.code, error.retryable) == ("runner.upstream", True)


async def test_an_endpoint_that_never_answers_is_left(upstream: Upstream, ctx: Context) -> None:
    async def answer(request: web.Request, _: RunAgentInput) -> web.StreamResponse:
        await upstream.end.wait()
        return await begin(request)

    upstream.answers.append(answer)
    error = await failure(upstream, ctx, timeout=0.2)
    assert (error.code, error.retryable) == ("runner.timeout", True)
    await upstream.gone()


async def test_a_stream_that_falls_silent_is_left(upstream: Upstream, ctx: Context) -> None:
    upstream.sends(STARTED, SAID, hold=True)
    error = await failure(upstream, ctx, timeout=0.2)
    assert (error.code, error.retryable) == ("runner.timeout", True)
    await upstream.gone()


async def test_comments_do_not_make_a_silent_stream_speak(upstream: Upstream, ctx: Context) -> None:
    async def answer(request: web.Request, _: RunAgentInput) -> web.StreamResponse:
        response = await begin(request)
        await response.write(STARTED)
        while not upstream.end.is_set():
            await response.write(b": still here\n\n")
            try:
                await asyncio.wait_for(upstream.end.wait(), 0.02)
            except TimeoutError:
                continue
        return response

    upstream.answers.append(answer)
    assert (await failure(upstream, ctx, timeout=0.3)).code == "runner.timeout"


async def test_a_run_error_fails_the_run_in_the_endpoints_words(upstream: Upstream, ctx: Context) -> None:
    usage = [core.TokenUsage(input_tokens=3)]
    upstream.says(core.RunErrorEvent(message="m" * 1_000, code="Model-Overloaded 529", usage=usage), finish=False)
    found, error = await to_its_failure(upstream, ctx)
    assert found == [Usage(3, 0)]
    assert error.code == "agui.model_overloaded"
    assert (len(error.message), error.retryable) == (500, False)


@pytest.mark.parametrize("code", [None, "", "500"])
async def test_a_run_error_may_come_first_and_without_a_code(
    upstream: Upstream, ctx: Context, code: str | None
) -> None:
    upstream.sends(
        b"data: " + core.RunErrorEvent(message=" ", code=code).model_dump_json(by_alias=True).encode() + b"\n\n"
    )
    error = await failure(upstream, ctx)
    assert (error.code, error.message) == ("runner.upstream", "The endpoint failed without a word.")


async def test_a_run_that_the_endpoint_stopped_is_no_success(upstream: Upstream, ctx: Context) -> None:
    end = core.RunFinishedEvent(thread_id="t", run_id="r", outcome=core.RunFinishedCancelledOutcome())
    upstream.says(end, finish=False)
    assert (await failure(upstream, ctx)).code == "runner.upstream"


async def test_cancelling_the_run_closes_the_connection(upstream: Upstream, ctx: Context) -> None:
    upstream.sends(STARTED, SAID, hold=True)
    said = asyncio.Event()

    async def drive() -> None:
        async for _ in run(upstream, ctx):
            said.set()

    task = asyncio.create_task(drive())
    await asyncio.wait_for(said.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await upstream.gone()


async def test_closing_the_runner_between_two_outputs_closes_the_connection(upstream: Upstream, ctx: Context) -> None:
    upstream.sends(STARTED, SAID, hold=True)
    async with aclosing(cast("Any", run(upstream, ctx))) as stream:
        assert await anext(stream) == TextDelta("Hi")
    await upstream.gone()


async def test_a_finished_run_does_not_wait_for_the_end_of_the_stream(upstream: Upstream, ctx: Context) -> None:
    upstream.sends(STARTED, SAID, FINISHED, hold=True)
    async with asyncio.timeout(10):
        await outputs(upstream, ctx)
    await upstream.gone()


async def test_a_flood_of_events_leaves_the_loop_to_others(upstream: Upstream, ctx: Context) -> None:
    upstream.sends(STARTED + SAID * 1_000 + FINISHED)  # one piece, all of it there when the first one is read
    turns: list[int] = []
    read = 0

    async def others() -> None:
        while True:
            turns.append(read)
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    async for _ in run(upstream, ctx):
        read += 1
    task.cancel()
    longest = max(later - earlier for earlier, later in itertools.pairwise(turns))
    assert read > 1_000
    assert longest <= 50


async def test_a_private_address_is_refused_unless_it_is_allowed(upstream: Upstream, ctx: Context) -> None:
    runner = registry.open_runner("agui", {"url": upstream.url}, Surroundings(private_endpoints=False))
    with pytest.raises(RunnerError, match="private network") as raised:
        await anext(runner(ctx))
    assert (raised.value.code, raised.value.retryable) == ("runner.upstream", False)
    assert not upstream.asked


@pytest.mark.parametrize("label", ["x" * 70, "a..b"])
async def test_a_name_that_no_host_has_is_an_error_of_ours(upstream: Upstream, ctx: Context, label: str) -> None:
    assert (await failure(upstream, ctx, url=f"http://{label}.invalid/")).code.startswith("runner.")


@pytest.mark.parametrize("value", ["", "   ", "two words", "line\nbreak", "ümlaut"])
def test_a_token_that_is_none_is_named_by_its_variable_alone(value: str) -> None:
    surroundings = Surroundings(environment={"KEY": value})
    with pytest.raises(RunnerError, match="KEY") as raised:
        registry.open_runner("agui", {"url": "https://example.com/", "token_env": "KEY"}, surroundings)
    assert raised.value.code == "runner.unavailable"
    assert not value.strip() or value not in raised.value.message


def _leaks() -> Iterator[bytes]:
    """Answers that repeat the token."""
    token = TOKEN.encode()
    yield STARTED + b'data: {"type":"RUN_ERROR","message":"bad key ' + token + b'","code":"' + token + b'"}\n\n'
    yield STARTED + b'data: {"type":"RUN_ERROR","message":"' + token.replace(b"/", b"\\/") + b'"}\n\n'
    yield b"data: " + token + b"\n\n"
    yield STARTED + b'data: {"type":"' + token + b'"}\n\n'
    yield STARTED + b'data: {"type":"TEXT_MESSAGE_START","messageId":"m","role":"' + token + b'"}\n\n'
    yield STARTED + b'data: {"type":"STATE_DELTA","delta":[{"op":"remove","path":"/' + token + b'"}]}\n\n'
    yield STARTED + b'data: {"type":"TEXT_MESSAGE_CHUNK","messageId":"m","delta":"' + token + b'"}\n\n'


@pytest.mark.parametrize("answer", list(_leaks()))
async def test_no_token_is_in_any_output_error_or_log(upstream: Upstream, ctx: Context, answer: bytes) -> None:
    upstream.sends(answer)
    await _check_silence(upstream, ctx)


@pytest.mark.parametrize("status", [307, 401, 500])
async def test_no_token_is_in_the_error_of_a_status(upstream: Upstream, ctx: Context, status: int) -> None:
    async def answer(request: web.Request, _: RunAgentInput) -> web.StreamResponse:
        return web.Response(status=status, text=TOKEN, headers={"Location": f"/{TOKEN}", "X-Echo": TOKEN})

    upstream.answers.append(answer)
    await _check_silence(upstream, ctx)


async def test_no_token_is_in_the_error_of_a_broken_connection(upstream: Upstream, ctx: Context) -> None:
    async def answer(request: web.Request, _: RunAgentInput) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.write(f"HTTP/1.1 200 OK\r\n{TOKEN}\r\n\r\n".encode())
        request.transport.close()
        return web.Response()

    upstream.answers.append(answer)
    await _check_silence(upstream, ctx)


async def _check_silence(upstream: Upstream, ctx: Context) -> None:
    with capture_logs() as logs:
        found, error = await to_its_failure(upstream, ctx, token_env="TOKEN", forwarded_props={"a": 1})
    told = f"{error.code} {error.message} " + "".join(traceback.format_exception(error))
    assert upstream.headers[0]["Authorization"] == f"Bearer {TOKEN}"
    everything = f"{told} {logs} {found}"
    assert TOKEN not in everything
    assert TOKEN.lower().replace("/", "_") not in everything


async def test_the_token_is_not_in_what_a_debugger_shows_of_the_endpoint() -> None:
    from worker.runners.agui.config import check
    from worker.runners.agui.endpoint import Endpoint

    config = check({"url": "https://example.com/", "token_env": "TOKEN"})
    assert TOKEN not in repr(Endpoint.of(config, Surroundings(environment={"TOKEN": TOKEN})))


def test_every_error_of_the_client_has_its_row() -> None:
    kinds = [httpx2.HTTPError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    assert len(kinds) > 15
    for kind in kinds:
        assert issubclass(kind, failures.CAUGHT), kind
        assert failures.of_exception(kind.__new__(kind)).code.startswith("runner."), kind


async def test_expired_and_rejected_reach_an_endpoint_that_refuses_them(upstream: Upstream, ctx: Context) -> None:
    upstream.asks(core.Interrupt(id="i", reason="r"))
    *_, checkpoint, _ = await outputs(upstream, ctx)
    upstream.says(core.RunErrorEvent(message="That was long ago.", code="stale_resume"), finish=False)
    state = json.loads(json.dumps(cast("Any", checkpoint).state))
    error = await failure(upstream, replace(ctx, state=state, decisions={"1:i": Decision(Verdict.EXPIRED)}))
    assert (error.code, error.message) == ("agui.stale_resume", "That was long ago.")
