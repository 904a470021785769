"""What OpenAI's clients keep with a run: it comes back wherever the run does, within the limits of all metadata."""

from typing import Any

import pytest

from shared.settings import Settings
from tests.agents import Stage
from tests.contract.openai_client import call, refusal
from tests.service import Client, running_service

pytestmark = [
    pytest.mark.filterwarnings("ignore:The Assistants API is deprecated"),
    pytest.mark.slow,
    pytest.mark.dialect,
]

KEPT = {"order": "42", "é" * 64: "v" * 512}


@pytest.fixture
async def client(stage: Stage) -> Client:
    return stage.client


async def opened(threads: Any, text: str = "hello") -> str:
    thread = await threads.create(messages=[{"role": "user", "content": text}], metadata={"of": "the thread"})
    return str(thread.id)


async def test_metadata_of_a_run_come_back_wherever_it_is_shown(threads: Any, client: Client) -> None:
    thread = await opened(threads)
    made = await threads.runs.create(thread, assistant_id=client.agent, metadata=KEPT)
    polled = await threads.runs.poll(made.id, thread_id=thread)
    (listed,) = (await threads.runs.list(thread)).data
    assert made.metadata == polled.metadata == listed.metadata == KEPT
    assert (polled.status, (await threads.retrieve(thread)).metadata) == ("completed", {"of": "the thread"})


async def test_a_run_with_its_thread_has_its_own_and_the_thread_its_own(threads: Any, client: Client) -> None:
    given = {"messages": [{"role": "user", "content": "hello"}], "metadata": {"of": "the thread"}}
    run = await threads.create_and_run(assistant_id=client.agent, thread=given, metadata={"of": "the run"})
    assert run.metadata == (await threads.runs.retrieve(run.id, thread_id=run.thread_id)).metadata == {"of": "the run"}
    assert (await threads.retrieve(run.thread_id)).metadata == {"of": "the thread"}


async def test_a_stream_shows_them_in_each_event_of_its_run(threads: Any, client: Client) -> None:
    thread = await opened(threads)
    async with threads.runs.stream(thread_id=thread, assistant_id=client.agent, metadata=KEPT) as stream:
        shown = [(event.event, event.data.metadata) async for event in stream if "thread.run." in event.event]
    assert [name.removeprefix("thread.run.") for name, _ in shown] == ["created", "queued", "in_progress", "completed"]
    assert all(metadata == KEPT for _, metadata in shown)


async def test_a_run_that_asks_or_is_cancelled_has_them_still(stage: Stage, threads: Any) -> None:
    await stage.become("asks_two")
    thread = await opened(threads)
    run = await threads.runs.create_and_poll(thread_id=thread, assistant_id=stage.client.agent, metadata=KEPT)
    asked, _ = run.required_action.submit_tool_outputs.tool_calls
    given = [{"tool_call_id": asked.id, "output": "allow"}]
    decided = await threads.runs.submit_tool_outputs(run.id, thread_id=thread, tool_outputs=given)
    assert run.metadata == decided.metadata == KEPT
    assert (await threads.runs.cancel(run.id, thread_id=thread)).metadata == KEPT


async def test_nulls_count_as_absent_and_nothing_is_nothing(threads: Any, client: Client) -> None:
    thread = await opened(threads)
    for given, kept in (({"a": None, "b": ""}, {"b": ""}), ({"a": None}, {}), ({}, {}), (None, {})):
        run = await threads.runs.create_and_poll(thread_id=thread, assistant_id=client.agent, metadata=given)
        assert (given, run.metadata) == (given, kept)


@pytest.mark.parametrize(
    "given",
    [{f"k{n}": "v" for n in range(17)}, {"k" * 65: "v"}, {"k": "v" * 513}, {"k": 1}, {"k": {}}, [], "x"],
    ids=["pairs", "key", "value", "number", "object", "list", "text"],
)
async def test_what_is_beyond_a_limit_is_refused_and_no_run_made(threads: Any, client: Client, given: Any) -> None:
    thread = await opened(threads)
    body = {"assistant_id": client.agent, "metadata": given}
    for path in (f"/v1/threads/{thread}/runs", "/v1/threads/runs"):
        assert refusal(await call(client, "POST", path, body))[:2] == (400, "metadata")
    nested = {"assistant_id": client.agent, "thread": {"metadata": given}}
    assert refusal(await call(client, "POST", "/v1/threads/runs", nested))[:2] == (400, "thread.metadata")
    assert (await threads.runs.list(thread)).data == []


async def test_a_run_that_is_not_applied_in_time_shows_them(settings: Settings) -> None:
    """Nobody applies anything here."""
    async with running_service(settings.model_copy(update={"wait_limit": 0.2}), worker=False) as service:
        client = await service.client("acme")
        body = {"assistant_id": client.agent, "metadata": {"a": "1", "b": None}}
        run = (await call(client, "POST", "/v1/threads/runs", body)).json
        assert (run["status"], run["metadata"]) == ("queued", {"a": "1"})
