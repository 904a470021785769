"""Runs streamed to OpenAI's own client, and what stands on the wire for it."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import openai
import pytest

from api import streams
from shared.settings import Settings
from tests import odd_runners
from tests.agents import Stage
from tests.contract.openai_client import call, sdk
from tests.odd_runners import Gate
from tests.service import Client, message, running_service

pytestmark = [
    pytest.mark.filterwarnings("ignore:The Assistants API is deprecated"),
    pytest.mark.slow,
    pytest.mark.dialect,
]

SAID = ["thread.message.created", "thread.message.in_progress", "thread.message.delta"]
BEGUN = ["thread.run.created", "thread.run.queued", "thread.run.in_progress"]


@pytest.fixture
async def client(stage: Stage) -> Client:
    return stage.client


async def opened(threads: Any, text: str = "hello") -> str:
    return str((await threads.create(messages=[{"role": "user", "content": text}])).id)


async def follow(stream: Any, events: list[Any], at_delta: Callable[[], Awaitable[object]] | None = None) -> None:
    """Adds to `events` what a stream tells until it ends; something may be done at its first delta."""
    async with asyncio.timeout(20), stream as handler:
        async for event in handler:
            if at_delta is not None and event.event == SAID[2] and SAID[2] not in outline(events):
                await at_delta()
            events.append(event)


def outline(events: list[Any]) -> list[str]:
    """The names of events, deltas in a row as one."""
    names = [event.event for event in events]
    return [name for n, name in enumerate(names) if name != SAID[2] or names[n - 1] != name]


def told(events: list[Any]) -> str:
    """All that the deltas say."""
    deltas = [event.data.delta.content[0].text.value for event in events if event.event == SAID[2]]
    return "".join(deltas)


async def test_a_run_is_streamed_from_its_making_to_its_end(threads: Any, client: Client) -> None:
    thread = await opened(threads, "one two three")
    async with threads.runs.stream(thread_id=thread, assistant_id=client.agent) as stream:
        events = [event async for event in stream]
        run, messages = await stream.get_final_run(), await stream.get_final_messages()
    assert outline(events) == [*BEGUN, *SAID, "thread.message.completed", "thread.run.completed"]
    assert told(events) == "one two three"
    assert {event.data.id for event in events if "run" in event.event} == {run.id}
    assert [event.data.status for event in events[:3]] == ["queued", "queued", "in_progress"]
    (answer,) = (await threads.messages.list(thread, run_id=run.id)).data
    assert messages == [answer]
    assert run == await threads.runs.retrieve(run.id, thread_id=thread)
    assert (run.status, run.usage.total_tokens) == ("completed", 6)


async def test_what_is_put_together_of_the_deltas_is_the_message(threads: Any, client: Client) -> None:
    thread = await opened(threads, "one two\nthree")
    async with threads.runs.stream(thread_id=thread, assistant_id=client.agent) as stream:
        snapshots = [
            stream.current_message_snapshot.content[0].text async for event in stream if event.event == SAID[2]
        ]
    assert (snapshots[-1].value, snapshots[-1].annotations) == ("one two\nthree", [])


async def test_a_new_thread_comes_first_in_the_stream_of_its_run(threads: Any, client: Client) -> None:
    given = {"messages": [{"role": "user", "content": "hello"}], "metadata": {"a": "1"}}
    async with threads.create_and_run_stream(assistant_id=client.agent, thread=given) as stream:
        events = [event async for event in stream]
    assert outline(events)[:4] == ["thread.created", *BEGUN]
    assert events[0].data == await threads.retrieve(events[1].data.thread_id)
    assert told(events) == "hello"


async def test_a_stream_ends_where_the_run_asks_and_another_one_goes_on(stage: Stage, threads: Any) -> None:
    await stage.become("worker.runners.demo:approve")
    thread = await opened(threads)
    async with threads.runs.stream(thread_id=thread, assistant_id=stage.client.agent) as stream:
        events = [event async for event in stream]
        run = await stream.get_final_run()
    assert outline(events)[-2:] == ["thread.message.completed", "thread.run.requires_action"]
    (asked,) = run.required_action.submit_tool_outputs.tool_calls
    assert asked.function.name == "request_permission"
    given = [{"tool_call_id": asked.id, "output": "allow"}]
    async with threads.runs.submit_tool_outputs_stream(thread_id=thread, run_id=run.id, tool_outputs=given) as stream:
        events = [event async for event in stream]
    assert outline(events) == [*BEGUN[1:], *SAID, "thread.message.completed", "thread.run.completed"]
    assert "hello" in told(events)


async def test_a_stream_of_some_outputs_says_what_is_still_asked(stage: Stage, threads: Any) -> None:
    await stage.become("asks_two")
    thread = await opened(threads)
    run = await threads.runs.create_and_poll(thread_id=thread, assistant_id=stage.client.agent)
    first, second = run.required_action.submit_tool_outputs.tool_calls
    for call_id, wanted in ((first.id, [second.id]), (second.id, None)):
        given = [{"tool_call_id": call_id, "output": "allow"}]
        async with threads.runs.submit_tool_outputs_stream(
            thread_id=thread, run_id=run.id, tool_outputs=given
        ) as stream:
            events = [event async for event in stream]
        calls = events[-1].data.required_action.submit_tool_outputs.tool_calls
        assert events[-1].event == "thread.run.requires_action"
        assert wanted in (None, [one.id for one in calls])
    assert outline(events)[0] == "thread.run.queued"
    assert [json.loads(one.function.arguments)["title"] for one in calls] == ["Third?"]


@pytest.mark.parametrize(
    ("function", "names", "message_status"),
    [
        ("cut", [*SAID, "thread.message.completed", *SAID, "thread.message.incomplete", "thread.run.failed"], "failed"),
        ("tools", [*SAID, "thread.message.completed", *SAID, "thread.message.completed", "thread.run.completed"], "ok"),
    ],
)
async def test_each_message_of_a_run_has_its_beginning_and_its_end(
    stage: Stage, threads: Any, function: str, names: list[str], message_status: str
) -> None:
    await stage.become(function)
    thread = await opened(threads)
    async with threads.runs.stream(thread_id=thread, assistant_id=stage.client.agent) as stream:
        events = [event async for event in stream]
        messages = await stream.get_final_messages()
    assert outline(events) == [*BEGUN, *names]
    listed = (await threads.messages.list(thread, order="asc", run_id=events[0].data.id)).data
    assert messages == listed
    assert (listed[-1].incomplete_details is None) is (message_status == "ok")


async def test_a_run_that_is_cancelled_meanwhile_says_so(stage: Stage, threads: Any) -> None:
    await stage.become("hangs")
    thread, events = await opened(threads), list[Any]()
    stream = threads.runs.stream(thread_id=thread, assistant_id=stage.client.agent)
    await follow(stream, events, lambda: threads.runs.cancel(events[0].data.id, thread_id=thread))
    assert outline(events)[-2:] == ["thread.message.incomplete", "thread.run.cancelled"]
    assert events[-2].data.incomplete_details.reason == "run_cancelled"


async def test_a_run_that_loses_its_worker_goes_on_in_the_same_stream(stage: Stage, threads: Any) -> None:
    """What its first attempt said and the second one says otherwise is a message of its own, and not whole."""
    await stage.become("differs")
    thread, events = await opened(threads), list[Any]()
    stream = threads.runs.stream(thread_id=thread, assistant_id=stage.client.agent)
    await follow(stream, events, lambda: stage.lose(events[0].data.id))
    cut, whole = "thread.message.incomplete", "thread.message.completed"
    assert outline(events) == [*BEGUN, *SAID, cut, *SAID, whole, "thread.run.completed"]
    assert told(events) == "attempt 1attempt 2"


async def test_who_reads_slower_than_the_run_speaks_gets_all_of_it(
    stage: Stage, threads: Any, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit into the stream's queue is read from the log."""
    monkeypatch.setattr(odd_runners, "FLOOD", 100_000)
    monkeypatch.setattr(streams, "FRAMES", 1)
    await stage.become("flood")
    thread = await opened(threads)
    body = {"assistant_id": client.agent, "stream": True}
    headers = {"Authorization": f"Bearer {client.token}"}
    async with client.session.post(f"{client.url}/v1/threads/{thread}/runs", json=body, headers=headers) as response:
        run = (await threads.runs.list(thread)).data[0]
        await threads.runs.poll(run.id, thread_id=thread)
        lines = (await response.text()).splitlines()
    said = [json.loads(line[6:]) for name, line in pairwise(lines) if name == "event: thread.message.delta"]
    (message,) = (await threads.messages.list(thread, run_id=run.id)).data
    text = "".join(delta["delta"]["content"][0]["text"]["value"] for delta in said)
    assert (len(text), text == message.content[0].text.value) == (odd_runners.FLOOD, True)
    assert lines[-3:-1] == ["event: done", "data: [DONE]"]


async def test_other_runs_of_the_thread_are_not_in_it(threads: Any, client: Client) -> None:
    thread = await opened(threads, "/slow 1")
    events: list[Any] = []
    stream = threads.runs.stream(thread_id=thread, assistant_id=client.agent)
    await follow(stream, events, lambda: client.send(thread, message("another")))
    assert {event.data.id for event in events if "run" in event.event} == {events[0].data.id}
    assert "another" not in told(events)


async def test_a_client_that_goes_away_does_not_stop_the_run(
    stage: Stage, threads: Any, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(odd_runners, "gate", Gate())
    await stage.become("shouts_at_once")
    thread = await opened(threads, "loud")
    async with threads.runs.stream(thread_id=thread, assistant_id=client.agent) as stream:
        async for event in stream:
            if event.event == "thread.run.in_progress":
                break
    odd_runners.gate.opened.set()
    odd_runners.gate.ended.set()
    run = (await threads.runs.list(thread)).data[0]
    assert (await threads.runs.poll(run.id, thread_id=thread)).status == "completed"
    assert (await threads.messages.list(thread)).data[0].content[0].text.value == "LOUD"


async def test_a_thread_that_is_deleted_ends_the_stream_of_its_run(stage: Stage, threads: Any) -> None:
    await stage.become("hangs")
    thread, events = await opened(threads), list[Any]()
    stream = threads.runs.stream(thread_id=thread, assistant_id=stage.client.agent)
    await follow(stream, events, lambda: threads.delete(thread))
    assert outline(events)[-1] == "thread.run.cancelled"


async def test_a_token_that_is_revoked_ends_the_stream_with_an_error(stage: Stage, threads: Any) -> None:
    await stage.become("hangs")
    thread, events = await opened(threads), list[Any]()
    stream = threads.runs.stream(thread_id=thread, assistant_id=stage.client.agent)
    with pytest.raises(openai.APIError, match="token"):
        await follow(stream, events, lambda: stage.service.pool.execute("update tokens set revoked_at = now()"))
    assert outline(events)[-1] == SAID[2]


async def test_what_is_refused_is_refused_before_a_stream_begins(threads: Any, client: Client) -> None:
    thread = await opened(threads, "/slow 30")
    run = await threads.runs.create(thread, assistant_id=client.agent)
    with pytest.raises(openai.BadRequestError):
        async with threads.runs.stream(thread_id=thread, assistant_id=client.agent):
            pass
    await threads.runs.cancel(run.id, thread_id=thread)


async def test_the_wire_has_named_events_one_line_each_and_done_at_the_end(threads: Any, client: Client) -> None:
    thread = await opened(threads, "two\nlines")
    reply = await call(
        client,
        "POST",
        f"/v1/threads/{thread}/runs",
        {"assistant_id": client.agent, "stream": True},
        X_Request_Id="mine-1",
    )
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reply.headers["x-request-id"] == "mine-1"
    frames = reply.body.decode().removesuffix("\n\n").split("\n\n")
    assert frames[-1] == "event: done\ndata: [DONE]"
    for frame in frames[:-1]:
        name, data = frame.split("\n")
        assert name.startswith("event: thread.")
        assert json.loads(data.removeprefix("data: "))["object"].startswith("thread.")


async def test_without_an_apply_in_time_the_stream_says_so_and_ends(settings: Settings) -> None:
    """Nobody applies anything here."""
    quick = settings.model_copy(update={"wait_limit": 0.2})
    async with running_service(quick, worker=False) as service:
        client = await service.client("acme")
        async with sdk(client, max_retries=0) as made:
            threads: Any = made.beta.threads
            events: list[Any] = []
            with pytest.raises(openai.APIError, match="ask for it"):
                await follow(threads.create_and_run_stream(assistant_id=client.agent), events)
    assert outline(events) == ["thread.created", "thread.run.created", "thread.run.queued"]
