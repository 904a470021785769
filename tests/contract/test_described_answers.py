"""Answers that no example gets: failed runs, runs that ask, streams of both, other shapes. All are as described."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from api.dialects.operations import Dialect, Operation
from api.reference.files import DIALECTS
from shared.settings import Settings
from tests.agents import Stage, running_stage
from tests.contract.cortex_client import asking
from tests.described import check, check_events
from tests.service import Client, running_api

pytestmark = [pytest.mark.slow, pytest.mark.dialect]  # each with a service and a worker of its own

MOSOO, CORTEX, OPENAI = DIALECTS.values()
RUN = "/cortex/agent:run"
RUNS, MESSAGES = "/v1/threads/{threadId}/runs", "/threads/{threadId}/messages"


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks, and holds each answer against its document."""

    client: Client

    async def ask(
        self, dialect: Dialect, method: str, path: str, body: Any = None, *, fields: Any = None, **names: Any
    ) -> tuple[int, str]:
        operation = find(dialect, method, path)
        url = f"{self.client.url}{dialect.root.rstrip('/')}{path.format(**names)}"
        headers = {"Authorization": f"Bearer {self.client.token}", **(fields or {})}
        async with self.client.session.request(method, url, json=body, headers=headers) as response:
            text = await response.text()
        check(dialect, operation, response.status, response.content_type, text)
        return response.status, text

    async def json(self, dialect: Dialect, method: str, path: str, body: Any = None, **names: Any) -> Any:
        return json.loads((await self.ask(dialect, method, path, body, **names))[1])

    async def events(self, dialect: Dialect, method: str, path: str, body: Any = None, **names: Any) -> list[str]:
        """The names of a stream's events."""
        status, text = await self.ask(dialect, method, path, body, **names)
        assert status == 200
        return check_events(find(dialect, method, path).answers[0], text)


def find(dialect: Dialect, method: str, path: str) -> Operation:
    (found,) = [one for one in dialect.operations if (one.method, one.path) == (method, path)]
    return found


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    async with running_stage(settings) as stage:
        yield stage


@pytest.fixture
def asker(stage: Stage) -> Asker:
    return Asker(stage.client)


async def test_the_log_of_a_run_that_does_everything(stage: Stage, asker: Asker) -> None:
    await stage.become("tools")
    thread, run = await stage.start()
    await stage.until(thread, run)
    log = await asker.json(MOSOO, "get", "/threads/{threadId}/events", threadId=thread)
    types = {event["type"] for event in log["events"]}
    assert {"tool.use.started", "tool.use.completed", "agent.thinking.delta", "usage.updated"} <= types
    found = await asker.json(MOSOO, "get", "/threads/{threadId}/runs/{runId}", threadId=thread, runId=run)
    assert found["finalOutput"] is not None


async def test_runs_that_fail_and_ask_natively(stage: Stage, asker: Asker) -> None:
    await stage.become("refuses")
    thread, run = await stage.start()
    await stage.until(thread, run, "failed")
    assert (await asker.json(MOSOO, "get", "/threads/{threadId}", threadId=thread))["run"]["error"]["retryable"]
    await stage.become("asks_two")
    await stage.until(thread, await stage.say(thread, "again"), "waiting_input")
    log = await asker.json(MOSOO, "get", "/threads/{threadId}/events", threadId=thread)
    assert [event["requestId"] for event in log["events"] if event["type"] == "tool.confirmation.required"]
    assert [
        run["status"] for run in (await asker.json(MOSOO, "get", "/threads/{threadId}/runs", threadId=thread))["runs"]
    ]


async def test_cortex_answers_of_every_kind(stage: Stage, asker: Asker) -> None:
    await stage.become("tools")
    told = await asker.events(CORTEX, "post", RUN, asking("all of it"))
    assert {"metadata", "response.status", "response.text.delta", "response.text", "response"} == set(told)
    await stage.become("worker.runners.demo:approve")
    asked = await asker.json(CORTEX, "post", RUN, asking("may I", stream=False))
    assert asked["content"][-1]["type"] == "tool_use"
    status, _ = await asker.ask(CORTEX, "post", RUN, asking("busy", thread_id=asked["metadata"]["thread_id"]))
    assert status == 409
    await stage.become("refuses")
    assert (await asker.ask(CORTEX, "post", RUN, asking("fail", stream=False)))[0] == 409
    assert (await asker.events(CORTEX, "post", RUN, asking("fail")))[-1] == "error"


async def test_both_shapes_of_cortex(stage: Stage, asker: Asker) -> None:
    thread = await asker.json(CORTEX, "post", "/cortex/threads", {})
    assert isinstance(thread, str)
    await asker.ask(CORTEX, "post", RUN, asking("hi", thread_id=thread))
    settings = stage.service.settings.model_copy(update={"cortex_shapes": "live"})
    async with running_api(settings) as url:
        live = Asker(replace(asker.client, url=url))
        assert (await live.json(CORTEX, "post", "/cortex/threads", {}))["thread_id"] > int(thread)
        page = await live.json(CORTEX, "get", "/cortex/threads/{id}", id=thread)
    assert {json.loads(one["message_payload"])["role"] for one in page["messages"]} == {"user", "assistant"}


async def test_openai_streams_of_every_kind(stage: Stage, asker: Asker) -> None:
    asked = {"assistant_id": stage.client.agent, "thread": {"messages": [_said("hi")]}, "stream": True}
    await stage.become("tools")
    told = await asker.events(OPENAI, "post", "/v1/threads/runs", asked)
    assert told[0] == "thread.created"
    assert {"thread.message.created", "thread.message.delta", "thread.message.completed"} <= set(told)
    assert told[-2:] == ["thread.run.completed", "done"]
    await stage.become("cut")
    told = await asker.events(OPENAI, "post", "/v1/threads/runs", asked)
    assert told[-3:] == ["thread.message.incomplete", "thread.run.failed", "done"]
    await stage.become("asks_two")
    told = await asker.events(OPENAI, "post", "/v1/threads/runs", asked)
    assert told[-2:] == ["thread.run.requires_action", "done"]


async def test_openai_runs_that_ask_and_fail(stage: Stage, asker: Asker) -> None:
    await stage.become("asks_two")
    thread, run = await stage.start()
    await stage.until(thread, run, "waiting_input")
    names = {"threadId": thread, "runId": run}
    found = await asker.json(OPENAI, "get", f"{RUNS}/{{runId}}", **names)
    assert len(found["required_action"]["submit_tool_outputs"]["tool_calls"]) == 2
    refused, _ = await asker.ask(OPENAI, "post", RUNS, {"assistant_id": stage.client.agent}, **names)
    assert refused == 400
    assert (await asker.json(OPENAI, "post", f"{RUNS}/{{runId}}/cancel", **names))["status"] == "cancelled"
    await stage.become("refuses")
    made = await asker.json(OPENAI, "post", RUNS, {"assistant_id": stage.client.agent}, **names)
    await stage.until(thread, made["id"], "failed")
    failed = await asker.json(OPENAI, "get", f"{RUNS}/{{runId}}", threadId=thread, runId=made["id"])
    assert failed["last_error"]["message"].startswith("kitchen.empty")
    assert len((await asker.json(OPENAI, "get", RUNS, threadId=thread))["data"]) == 2


async def test_both_forms_of_messages(stage: Stage, asker: Asker) -> None:
    thread = await stage.client.new_thread()
    for fields, status, kind in (({}, 201, list), ({"OpenAI-Beta": "assistants=v2"}, 200, dict)):
        made, _ = await asker.ask(OPENAI, "post", MESSAGES, _said("hi"), fields=fields, threadId=thread)
        assert made == status
        listed = await asker.json(OPENAI, "get", MESSAGES, fields=fields, threadId=thread)
        assert isinstance(listed, kind)


def _said(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}
