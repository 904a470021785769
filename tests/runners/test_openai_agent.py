"""The runner `openai` as a worker runs it, and by the rules that hold for every runner."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import pytest

from shared.settings import Settings
from tests.agents import Stage, running_stage
from tests.model_tools import ADD, PAY, used
from tests.openai_server import OpenAIServer, breaks_off, falls_silent, says, serving, texts, wants
from worker.runners.conformance import RULES, Outcome, Rule, check_rule
from worker.runners.registry import Surroundings, open_runner


@pytest.fixture
async def stage(settings: Settings, server: OpenAIServer) -> AsyncIterator[Stage]:
    async with running_stage(settings.model_copy(update={"private_endpoints": True})) as stage:
        config = {"base_url": server.url, "model": "m", "retries": 0, "tools": [ADD, PAY]}
        await stage.become("", runner="openai", config=json.dumps(config))
        yield stage


async def test_a_run_of_a_model_waits_for_its_user_and_completes(stage: Stage, server: OpenAIServer) -> None:
    server.answers += [
        wants(("c1", "add", '{"a": 1, "b": 2}'), ("c2", "pay", '{"order": "7"}'), text=("A moment.",)),
        says("Paid, ", "and 3.", usage=(10, 4)),
    ]
    thread, run = await stage.start("Add and pay")
    await stage.until(thread, run, "waiting_input")
    (request,) = (await stage.requests(thread)).values()
    await stage.decide(thread, request)
    done = await stage.until(thread, run, "completed")
    assert done["finalOutput"] == {"text": "Paid, and 3."}
    assert used == [("add", 1, 2), ("pay", "7", f"{run}:c2")]
    types = [event["type"] for event in await stage.events(thread) if event["runId"] == run]
    assert types.count("tool.use.completed") == 2
    assert types.count("tool.confirmation.required") == 1


async def test_the_next_run_of_a_thread_tells_the_model_what_was_said(stage: Stage, server: OpenAIServer) -> None:
    thread, run = await stage.start("One")
    await stage.until(thread, run, "completed")
    await stage.until(thread, await stage.say(thread, "Two"), "completed")
    assert [sent["content"] for sent in server.last_messages()] == ["One", "You said: One", "Two"]


async def test_a_stream_that_breaks_off_fails_the_run_and_keeps_what_was_said(
    stage: Stage, server: OpenAIServer
) -> None:
    server.answers.append(breaks_off(*texts("Once ", "upon")))
    thread, run = await stage.start()
    failed = await stage.until(thread, run, "failed")
    error = {"code": "runner.upstream_closed", "message": "The endpoint's stream broke off.", "retryable": True}
    assert failed["error"] == error
    assert await stage.text(run) == "Once upon"


async def test_an_interrupt_ends_the_call_of_the_endpoint(stage: Stage, server: OpenAIServer) -> None:
    server.answers.append(falls_silent(*texts("Well")))
    thread, run = await stage.start()
    await stage.said(run, "Well")
    await stage.interrupt(thread)
    await stage.until(thread, run, "cancelled")
    async with asyncio.timeout(10):
        await server.gone.wait()


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """The URL of a server in a thread of its own: the suite is called from no coroutine."""
    started, loop = threading.Event(), asyncio.new_event_loop()
    found: dict[str, Any] = {}

    async def serve() -> None:
        found["task"] = asyncio.current_task()
        async with serving() as server:
            found["url"] = server.url
            started.set()
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert started.wait(30)
    yield found["url"]
    loop.call_soon_threadsafe(found["task"].cancel)
    thread.join(30)
    loop.close()


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_it_keeps_every_rule_of_the_contract_and_none_is_idle(rule: Rule, elsewhere: str) -> None:
    config = {"base_url": elsewhere, "model": "m", "tools": [PAY]}
    runner = open_runner("openai", config, Surroundings(private_endpoints=True))
    found = check_rule(rule, runner, text="Please pay 42", config=config)
    assert found.outcome is Outcome.PASSED, found.why
