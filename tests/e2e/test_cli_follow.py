"""`threadmill run show --follow`: what a run says, in a terminal, while it says it."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from shared.settings import Settings
from tests.agents import Stage, running_stage
from tests.e2e.command_line import Threadmill
from tests.e2e.terminal import at_terminal

pytestmark = pytest.mark.timeout(60)

HOSTILE = "\x1b[31mred\x07\x9b2J \u202eevil\r\ttab"


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    async with running_stage(settings) as stage:
        await stage.become("worker.runners.demo:approve")
        yield stage


async def asking(stage: Stage) -> tuple[str, str]:
    """A thread with a run that has said something, and waits to be allowed to go on."""
    thread, run = await stage.start("you may")
    await stage.until(thread, run, "waiting_input")
    return thread, run


async def allow(stage: Stage, thread: str) -> None:
    (request,) = (await stage.requests(thread)).values()
    await stage.decide(thread, request)


@pytest.mark.parametrize("redis", ["there", pytest.param("away", marks=pytest.mark.slow)])  # looks every two seconds
async def test_a_run_is_followed_to_its_end_as_lines(stage: Stage, threadmill: Threadmill, redis: str) -> None:
    thread, run = await asking(stage)
    away = {"REDIS_URL": "redis://127.0.0.1:1/0"} if redis == "away" else {}
    following = asyncio.ensure_future(threadmill("run", "show", run, "--follow", "--json", **away))
    await allow(stage, thread)
    ended = await following
    assert (ended.code, ended.err) == (0, "")
    lines = [
        line for line in ended.out.splitlines() if line[0] == "{"
    ]  # the service in this process says something, too
    first, *events, last = map(json.loads, lines)
    assert (first["run"]["id"], last["run"]["status"]) == (run, "completed")
    told = [one["event"] for one in events]
    assert [event["type"] for event in told if event["type"].startswith("run.")] == ["run.started", "run.completed"]
    assert {event["run"] for event in told} == {run}
    said = [event["content"] for event in told if event["type"] == "agent.message.delta"]
    assert "".join(said) == await stage.text(run)


async def test_what_a_terminal_would_obey_is_not_passed_on(stage: Stage, threadmill: Threadmill) -> None:
    await stage.become("worker.runners.demo:echo")
    thread, run = await stage.start(HOSTILE)
    await stage.until(thread, run)
    assert HOSTILE in await stage.text(run)
    for form in ((), ("--json",)):
        ended = await threadmill("run", "show", run, "--follow", *form)
        assert (ended.code, ended.err, "[31mred" in ended.out) == (0, "", True)
        assert all(char.isprintable() or char in "\n\t" for char in ended.out)


@pytest.mark.slow
async def test_it_comes_while_it_is_said_and_ctrl_c_leaves_the_run_alone(
    stage: Stage, environment: dict[str, str]
) -> None:
    thread, run = await asking(stage)
    async with (
        at_terminal(environment, "run", "show", run, "--follow") as one,
        at_terminal(environment, "run", "show", run, "-f", "--thread", thread) as other,
    ):
        for terminal in (one, other):
            await terminal.until("\nAnswer 'you may'?")
        one.interrupt()
        assert (await one.until("interrupted\n")).split() == ["threadmill:"], "no traceback, and nothing else"
        assert await one.ended() == 130
        await allow(stage, thread)
        await other.until("run.completed\n\nThe run is completed.\n")
        assert await other.ended() == 0


async def test_a_run_that_is_removed_or_unknown_ends_it_with_a_reason(stage: Stage, threadmill: Threadmill) -> None:
    thread, run = await asking(stage)
    following = asyncio.ensure_future(threadmill("run", "show", run, "--follow"))
    await stage.client.call("DELETE", f"/threads/{thread}")
    ended = await following
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.endswith("The run is cancelled.\n")
    unknown = await threadmill("run", "show", "0" * 26, "--follow", "--json")
    assert (unknown.code, unknown.out, "There is no run" in unknown.err) == (1, "", True)
