"""The token of an AG-UI endpoint: in one header of its requests, and nowhere else."""

import traceback
from collections.abc import Iterator

import pytest
from ag_ui.core import RunAgentInput
from aiohttp import web
from structlog.testing import capture_logs

from tests.runners.agui import STARTED, TOKEN, Upstream, to_its_failure
from worker.runners import Context, RunnerError, registry
from worker.runners.registry import Surroundings


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
