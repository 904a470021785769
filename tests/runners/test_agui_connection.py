"""The connection to an AG-UI endpoint: it breaks, falls silent, is refused; and nothing keeps it open."""

import asyncio
import itertools
from contextlib import aclosing
from typing import Any, cast

import httpx2
import pytest
from ag_ui.core import RunAgentInput
from aiohttp import web

from deploy import ports
from tests.runners.agui import FINISHED, SAID, STARTED, Upstream, begin, failure, outputs, run
from worker.runners import Context, RunnerError, TextDelta, registry
from worker.runners.agui import failures
from worker.runners.registry import Surroundings


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


def test_every_error_of_the_client_has_its_row() -> None:
    kinds = [httpx2.HTTPError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    assert len(kinds) > 15
    for kind in kinds:
        assert issubclass(kind, failures.CAUGHT), kind
        assert failures.of_exception(kind.__new__(kind)).code.startswith("runner."), kind
