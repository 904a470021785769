"""Decisions within agent:run: what can't be stored, what is of two runs, and what no answer may wait for."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from shared.settings import Settings
from tests.agents import Stage, running_stage
from tests.contract.cortex_client import RUN, Cortex, asking, deciding, texts
from tests.contract.storing import stored

pytestmark = [pytest.mark.slow, pytest.mark.dialect]  # each with a service and a worker of its own

UNFIT = {
    '{"decision":"allow","note":"a\\u0000b"}': "\\u0000 is not taken",
    '{"decision":"allow","no\\u0000te":"a"}': "\\u0000 is not taken",
    '{"decision":"allow","note":"\\ud800"}': "lone surrogate",
    '{"decision":"allow","decision":"deny"}': "stands twice",
    '{"decision":"allow","note":' + "[" * 70 + "]" * 70 + "}": "nested deeper",
    '{"decision":"allow","n":9007199254740993}': "beyond 2^53",
    '{"decision":"allow"': "not valid JSON",
    '{"decision":"allow"} and more': "not valid JSON",
    '{"decision":NaN}': "NaN",
    "{}": "a `decision` is required",
    '{"decision":["allow"]}': "a `decision` is required",
    '{"decision":"allow","note":7}': "`note` must be a text",
}


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    async with running_stage(settings) as stage:
        await stage.become("asks_two")
        yield stage


@pytest.fixture
async def cortex(stage: Stage) -> Cortex:
    return Cortex(stage.client)


def opened(answer: dict[str, Any]) -> list[str]:
    return [part["tool_use"]["tool_use_id"] for part in answer["content"] if part["type"] == "tool_use"]


def saying(thread: int, request: str, said: str, **fields: Any) -> dict[str, Any]:
    """A decision as a text."""
    body = deciding(thread, (request, ""), **fields)
    body["messages"][0]["content"][0]["tool_result"]["content"] = [{"type": "text", "text": said}]
    return body


async def finished(cortex: Cortex, thread: int) -> list[str]:
    """The requests of a run that was decided to its end."""
    a, b = opened(await cortex.ask("go", thread_id=thread))
    reply = await cortex.call("POST", RUN, deciding(thread, (a, "allow"), (b, "deny"), stream=False))
    (c,) = opened(reply.json)
    last = await cortex.call("POST", RUN, deciding(thread, (c, "allow"), stream=False))
    assert last.status == 200, last
    return [a, b, c]


async def test_json_within_a_text_is_read_as_strictly_as_a_body(stage: Stage, cortex: Cortex) -> None:
    thread = await cortex.new()
    a, b = opened(await cortex.ask("go", thread_id=thread))
    before = await stored(stage.service)
    for said, words in UNFIT.items():
        reply = await cortex.call("POST", RUN, saying(thread, a, said))
        assert (said, reply.status, reply.json["error_code"]) == (said, 400, "invalid_request"), reply
        assert reply.json["message"].startswith("messages.0.content.0.tool_result.content: "), reply
        assert words in reply.json["message"], (said, reply)
    assert await stored(stage.service) == before
    # Nothing of it holds the thread: it goes on.
    half = await cortex.call("POST", RUN, saying(thread, a, '{"decision":"allow","note":"\\u00e4"}', stream=False))
    assert (half.status, opened(half.json)) == (200, [b])


async def test_a_request_is_decided_once_in_one_request(stage: Stage, cortex: Cortex) -> None:
    thread = await cortex.new()
    a, _ = opened(await cortex.ask("go", thread_id=thread))
    before = await stored(stage.service)
    for other in (a, a.lower()):
        reply = await cortex.call("POST", RUN, deciding(thread, (a, "allow"), (other, "deny")))
        assert (reply.status, "tool_use_id" in reply.json["message"]) == (400, True)
    assert await stored(stage.service) == before


async def test_decisions_on_two_runs_are_refused_before_anything_is_stored(stage: Stage, cortex: Cortex) -> None:
    thread = await cortex.new()
    old = await finished(cortex, thread)
    a, b = opened(await cortex.ask("once more", thread_id=thread))
    before = await stored(stage.service)
    for pair in ((a, old[0]), (old[2], a)):
        for stream in (True, False):
            body = deciding(thread, *((name, "allow") for name in pair), stream=stream)
            reply = await cortex.call("POST", RUN, body)
            assert (reply.status, reply.json["error_code"]) == (400, "invalid_request"), reply
            assert "two runs" in reply.json["message"]
    assert await stored(stage.service) == before
    half = await cortex.call("POST", RUN, deciding(thread, (a, "allow"), stream=False))
    assert opened(half.json) == [b]


async def test_the_answer_is_that_of_the_run_which_was_decided_about(cortex: Cortex) -> None:
    """Settled before, or known to nobody: what had no effect names no run."""
    thread = await cortex.new()
    a, b = opened(await cortex.ask("go", thread_id=thread))
    await cortex.call("POST", RUN, deciding(thread, (a, "allow"), stream=False))
    unknown = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    body = deciding(thread, (b, "allow"), (a, "deny"), (unknown, "allow"), stream=False)
    (c,) = opened((await cortex.call("POST", RUN, body)).json)
    last = await cortex.call("POST", RUN, deciding(thread, (c, "deny"), (a, "deny"), stream=False))
    assert texts(last.json) == ["a=allowed b=allowed c=rejected note=None attempt=1"]
    settled = await cortex.call("POST", RUN, deciding(thread, (a, "allow"), (unknown, "allow")))
    assert (settled.status, settled.json["error_code"]) == (409, "readiness_blocked")


@pytest.mark.parametrize("stream", [True, False])
async def test_a_run_that_was_over_before_its_request_is_not_waited_for(
    stage: Stage, cortex: Cortex, stream: bool
) -> None:
    await stage.become("worker.runners.demo:echo")
    thread = await cortex.new()
    body = asking("hello", thread_id=thread, stream=stream)
    assert (await cortex.call("POST", RUN, body, Idempotency_Key="k")).status == 200
    await stage.service.pool.execute("update batches set accepted_at = clock_timestamp()")
    again = await cortex.call("POST", RUN, body, Idempotency_Key="k")
    assert (again.status, again.headers["idempotency-replayed"]) == (200, "true")
    assert b'"role":"assistant"' in again.body
