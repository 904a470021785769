"""Runs by OpenAI's own client: asked for, polled, decided, cancelled, listed; what is refused, and as which error."""

import asyncio
import os
import sys
from typing import Any

import openai
import pytest

from shared import agents, ids
from shared.settings import Settings
from tests.agents import Stage
from tests.contract.openai_client import call, refusal, said, sdk
from tests.contract.quick_start import SHOWN, program, told
from tests.service import Client, message, running_service

pytestmark = [
    pytest.mark.filterwarnings("ignore:The Assistants API is deprecated"),
    pytest.mark.slow,
    pytest.mark.dialect,
]


@pytest.fixture
async def client(stage: Stage) -> Client:
    return stage.client


async def test_a_run_answers_all_that_was_said_and_its_messages_name_it(threads: Any, client: Client) -> None:
    thread = await threads.create(messages=[{"role": "user", "content": "one"}])
    await threads.messages.create(thread.id, role="user", content="two")
    run = await threads.runs.create_and_poll(
        thread_id=thread.id,
        assistant_id=client.agent,
        additional_messages=[{"role": "user", "content": "three", "metadata": {"a": "1"}}],
        instructions="ignored",
    )
    assert (run.status, run.assistant_id, run.thread_id) == ("completed", client.agent, thread.id)
    assert (run.usage.prompt_tokens, run.usage.completion_tokens, run.usage.total_tokens) == (3, 3, 6)
    assert run.created_at <= run.started_at <= run.completed_at
    assert (run.required_action, run.last_error, run.cancelled_at, run.failed_at) == (None, None, None, None)
    answer = ("assistant", "one\ntwo\nthree")
    assert await said(threads, thread.id) == [("user", "one"), ("user", "two"), ("user", "three"), answer]
    assert await said(threads, thread.id, run_id=run.id) == [answer]
    found = [m async for m in threads.messages.list(thread.id) if m.run_id == run.id]
    assert [(m.assistant_id, m.content[0].text.value) for m in found] == [(client.agent, answer[1])]


async def test_a_run_with_its_thread_is_made_at_once(threads: Any, client: Client) -> None:
    run = await threads.create_and_run_poll(
        assistant_id=client.agent,
        thread={"messages": [{"role": "user", "content": "hello"}], "metadata": {"a": "1"}},
    )
    assert run.status == "completed"
    assert (await threads.retrieve(run.thread_id)).metadata == {"a": "1"}
    assert await said(threads, run.thread_id) == [("user", "hello"), ("assistant", "hello")]


async def test_a_run_is_queued_when_it_is_made(threads: Any, client: Client) -> None:
    thread = await threads.create(messages=[{"role": "user", "content": "hello"}])
    run = await threads.runs.create(thread.id, assistant_id=client.agent)
    assert (run.status, run.started_at, run.usage) == ("queued", None, None)


async def test_a_run_is_cancelled_and_a_finished_one_can_not_be(threads: Any, client: Client) -> None:
    thread = await threads.create(messages=[{"role": "user", "content": "/slow 30"}])
    run = await threads.runs.create(thread.id, assistant_id=client.agent)
    gone = await threads.runs.cancel(run.id, thread_id=thread.id)
    assert (gone.status, gone.completed_at) == ("cancelled", None)
    assert gone.cancelled_at >= gone.created_at
    with pytest.raises(openai.BadRequestError) as refused:
        await threads.runs.cancel(run.id, thread_id=thread.id)
    assert refused.value.status_code == 400
    with pytest.raises(openai.BadRequestError):
        await threads.runs.submit_tool_outputs(
            run.id, thread_id=thread.id, tool_outputs=[{"tool_call_id": ids.mint(), "output": "allow"}]
        )


async def test_a_run_that_fails_says_why_and_keeps_what_it_said(stage: Stage, threads: Any) -> None:
    await stage.become("cut")
    thread = await threads.create(messages=[{"role": "user", "content": "hello"}])
    run = await threads.runs.create_and_poll(thread_id=thread.id, assistant_id=stage.client.agent)
    assert (run.status, run.last_error.code) == ("failed", "server_error")
    assert run.last_error.message == "kitchen.empty: Out of tea."
    assert run.failed_at >= run.created_at
    found = [m async for m in threads.messages.list(thread.id, order="asc")][1:]
    assert [(m.status, m.content[0].text.value) for m in found] == [("completed", "whole"), ("incomplete", "cut sh")]
    assert found[1].incomplete_details.reason == "run_failed"
    assert (found[0].incomplete_at, found[1].completed_at) == (None, None)


async def test_a_busy_thread_refuses_a_run_as_a_bad_request_which_no_client_repeats(
    stage: Stage, client: Client
) -> None:
    async with sdk(client) as repeating:  # it would repeat 409, 429 and 5xx twice
        threads: Any = repeating.beta.threads
        thread = await threads.create(messages=[{"role": "user", "content": "/slow 30"}])
        run = await threads.runs.create(thread.id, assistant_id=client.agent)
        with pytest.raises(openai.BadRequestError) as refused:
            await threads.runs.create(
                thread.id, assistant_id=client.agent, additional_messages=[{"role": "user", "content": "not taken"}]
            )
        assert "active run" in refused.value.message
        assert await said(threads, thread.id) == [("user", "/slow 30")]
        await threads.runs.cancel(run.id, thread_id=thread.id)


async def test_runs_are_listed_page_by_page_in_either_order(threads: Any, client: Client) -> None:
    thread = await threads.create(messages=[{"role": "user", "content": "hello"}])
    made = [(await threads.runs.create_and_poll(thread_id=thread.id, assistant_id=client.agent)).id for _ in range(5)]
    for order, wanted in (("asc", made), ("desc", made[::-1])):
        assert [run.id async for run in threads.runs.list(thread.id, order=order, limit=2)] == wanted
    page = await threads.runs.list(thread.id, order="asc", before=made[3], limit=2)
    assert ([run.id for run in page.data], page.has_more) == (made[1:3], True)
    for name in ("after", "before"):
        for cursor in (ids.mint(), "nonsense"):
            reply = await call(client, "GET", f"/v1/threads/{thread.id}/runs?{name}={cursor}")
            assert refusal(reply)[:2] == (400, name)


async def test_a_run_of_the_native_dialect_is_a_run_here(threads: Any, client: Client) -> None:
    thread = await client.new_thread("hello")
    (run,) = (await threads.runs.list(thread)).data
    assert (await threads.runs.poll(run.id, thread_id=thread)).status == "completed"
    await client.send(thread, message("again"))
    assert len((await threads.runs.list(thread)).data) == 2


async def test_the_first_run_gives_a_thread_its_agent(stage: Stage, threads: Any, client: Client) -> None:
    async with stage.service.pool.acquire() as db:
        other = await agents.create_agent(db, client.account, "other", "echo", published=True)
        closed = await agents.create_agent(db, client.account, "closed", "echo")
    thread = await threads.create(messages=[{"role": "user", "content": "hello"}])
    assert (await client.call("GET", f"/threads/{thread.id}")).json["thread"]["agent_id"] is None
    await threads.runs.create_and_poll(thread_id=thread.id, assistant_id=client.agent)
    assert (await client.call("GET", f"/threads/{thread.id}")).json["thread"]["agent_id"] == client.agent
    for agent in (other.id, closed.id):
        with pytest.raises(openai.BadRequestError):
            await threads.runs.create(thread.id, assistant_id=agent)
    await client.call("POST", f"/threads/{thread.id}/archive")
    with pytest.raises(openai.BadRequestError):
        await threads.runs.create(thread.id, assistant_id=client.agent)


async def test_what_does_not_exist_is_not_found_and_what_is_missing_named(
    stage: Stage, threads: Any, client: Client
) -> None:
    stranger = await stage.service.client("globex")
    thread = await threads.create(messages=[{"role": "user", "content": "hello"}])
    run = await threads.runs.create_and_poll(thread_id=thread.id, assistant_id=client.agent)
    asked = {"assistant_id": client.agent}
    given = {"tool_outputs": [{"tool_call_id": ids.mint(), "output": "allow"}]}
    for who, place, one in (
        (stranger, thread.id, run.id),
        (client, ids.mint(), run.id),
        (client, "nonsense", run.id),
        (client, thread.id, ids.mint()),
        (client, thread.id, "run_abc"),
    ):
        for method, path, body in (
            ("GET", f"/{one}", None),
            ("POST", f"/{one}/cancel", None),
            ("POST", f"/{one}/submit_tool_outputs", given),
        ):
            assert refusal(await call(who, method, f"/v1/threads/{place}/runs{path}", body))[0] == 404
    for who, place in ((stranger, thread.id), (client, ids.mint()), (client, "nonsense")):
        assert refusal(await call(who, "GET", f"/v1/threads/{place}/runs"))[0] == 404
        assert refusal(await call(who, "POST", f"/v1/threads/{place}/runs", asked))[0] == 404
    for agent in (stranger.agent, ids.mint(), "asst_abc"):
        for path in (f"/v1/threads/{thread.id}/runs", "/v1/threads/runs"):
            assert refusal(await call(client, "POST", path, {"assistant_id": agent}))[0] == 404
    for path in (f"/v1/threads/{thread.id}/runs", "/v1/threads/runs"):
        assert refusal(await call(client, "POST", path, {}))[:2] == (400, "assistant_id")
        assert refusal(await call(client, "POST", path, asked | {"stream": "yes"}))[:2] == (400, "stream")
    assert len((await threads.runs.list(thread.id)).data) == 1


async def test_without_an_apply_in_time_the_minted_ids_are_the_answer(settings: Settings) -> None:
    """Nobody applies anything here."""
    quick = settings.model_copy(update={"wait_limit": 0.2})
    async with running_service(quick, worker=False) as service:
        client = await service.client("acme")
        thread = (await call(client, "POST", "/v1/threads", {"metadata": {"a": "1"}})).json
        assert thread["metadata"] == {"a": "1"}
        path = f"/v1/threads/{thread['id']}"
        made = (await call(client, "POST", f"{path}/messages", {"role": "user", "content": "hello"})).json
        assert (made["status"], made["completed_at"], made["content"][0]["text"]["value"]) == (
            "in_progress",
            None,
            "hello",
        )
        assert ids.parse(made["id"])
        run = (await call(client, "POST", f"{path}/runs", {"assistant_id": client.agent})).json
        assert (run["status"], run["assistant_id"]) == ("queued", client.agent)
        assert refusal(await call(client, "POST", path, {"metadata": {"b": "2"}}))[0] == 503
        deleted = await call(client, "DELETE", path)
        assert (refusal(deleted)[0], deleted.headers["retry-after"]) == (503, "2")
        assert (await call(client, "GET", path)).status == 200


async def test_the_quick_start_of_the_page_works_as_it_stands(client: Client) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program("python")), env=os.environ | told(client), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(30):
        shown, _ = await process.communicate()
    assert shown.decode().splitlines() == SHOWN
