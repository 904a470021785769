"""What an AG-UI endpoint can answer wrongly: each ends the run with its code."""

import json
from dataclasses import replace
from typing import Any, cast

import pytest
from ag_ui import core
from ag_ui.core import RunAgentInput
from aiohttp import web

from tests.runners.agui import FINISHED, SAID, STARTED, Upstream, begin, failure, outputs, to_its_failure
from worker.runners import Context, Decision, TextDelta, Usage, Verdict


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


async def test_expired_and_rejected_reach_an_endpoint_that_refuses_them(upstream: Upstream, ctx: Context) -> None:
    upstream.asks(core.Interrupt(id="i", reason="r"))
    *_, checkpoint, _ = await outputs(upstream, ctx)
    upstream.says(core.RunErrorEvent(message="That was long ago.", code="stale_resume"), finish=False)
    state = json.loads(json.dumps(cast("Any", checkpoint).state))
    error = await failure(upstream, replace(ctx, state=state, decisions={"1:i": Decision(Verdict.EXPIRED)}))
    assert (error.code, error.message) == ("agui.stale_resume", "That was long ago.")
