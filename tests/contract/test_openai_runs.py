"""Runs by OpenAI's own client: asked for, polled, decided, cancelled, listed; what is refused, and as which error."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest

from shared import accounts, ids
from shared.settings import Settings
from tests.agents import Stage, running_stage
from tests.contract.openai_client import call, refusal, sdk
from tests.service import Client, message, running_api, running_service
from tests.watch import until

pytestmark = pytest.mark.filterwarnings("ignore:The Assistants API is deprecated")


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    async with running_stage(settings) as stage:
        yield stage


@pytest.fixture
async def client(stage: Stage) -> Client:
    return stage.client


@pytest.fixture
async def threads(client: Client) -> AsyncIterator[Any]:
    """`beta.threads` of a client; not typed, because all of it is marked as deprecated."""
    async with sdk(client, max_retries=0) as made:
        yield made.beta.threads


async def said(threads: Any, thread: str, **query: Any) -> list[tuple[str, str]]:
    """Role and text of the messages of a thread, oldest first."""
    return [(m.role, m.content[0].text.value) async for m in threads.messages.list(thread, order="asc", **query)]


async def asking(stage: Stage, threads: Any, function: str, text: str = "hello") -> tuple[str, Any]:
    """A thread with a run that waits for permissions."""
    await stage.become(function)
    thread = await threads.create(messages=[{"role": "user", "content": text}])
    run = await threads.runs.create_and_poll(thread_id=thread.id, assistant_id=stage.client.agent)
    assert run.status == "requires_action"
    return thread.id, run


def outputs(run: Any, *words: str) -> list[dict[str, str]]:
    """An output for each call of a run."""
    calls = run.required_action.submit_tool_outputs.tool_calls
    return [{"tool_call_id": call.id, "output": word} for call, word in zip(calls, words, strict=True)]


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


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ('{"decision": "allow"}', "a=allowed b=allowed"),
        ("allow", "a=allowed b=allowed"),
        ('{"decision":"deny"}', "a=rejected b=rejected"),
        (' "deny" ', "a=rejected b=rejected"),
    ],
)
async def test_each_open_permission_is_a_call_and_its_output_the_decision(
    stage: Stage, threads: Any, output: str, words: str
) -> None:
    thread, run = await asking(stage, threads, "asks_two")
    calls = run.required_action.submit_tool_outputs.tool_calls
    assert [(call.type, call.function.name) for call in calls] == [("function", "request_permission")] * 2
    assert [call.function.arguments for call in calls] == [
        '{"title":"First?","tool":"t","input":{"n":1}}',
        '{"title":"Second?","tool":null,"input":null}',
    ]
    again = await threads.runs.submit_tool_outputs_and_poll(
        run_id=run.id, thread_id=thread, tool_outputs=outputs(run, output, output)
    )
    assert [call.function.arguments for call in again.required_action.submit_tool_outputs.tool_calls] == [
        '{"title":"Third?","tool":null,"input":null}'
    ]
    done = await threads.runs.submit_tool_outputs_and_poll(
        run_id=run.id, thread_id=thread, tool_outputs=outputs(again, "allow")
    )
    assert (done.status, done.required_action) == ("completed", None)
    assert (await said(threads, thread))[-1][1].startswith(f"{words} c=allowed")


async def test_what_is_decided_of_some_leaves_the_others_open(stage: Stage, threads: Any) -> None:
    thread, run = await asking(stage, threads, "asks_two")
    first, second = outputs(run, "allow", "deny")
    left = await threads.runs.submit_tool_outputs(run.id, thread_id=thread, tool_outputs=[second])
    assert left.status == "requires_action"
    assert [call.id for call in left.required_action.submit_tool_outputs.tool_calls] == [first["tool_call_id"]]
    with pytest.raises(openai.BadRequestError) as refused:
        await threads.runs.submit_tool_outputs(run.id, thread_id=thread, tool_outputs=[second])
    assert refused.value.param == "tool_outputs.0.tool_call_id"


async def test_an_output_is_refused_by_what_is_wrong_in_it(stage: Stage, threads: Any, client: Client) -> None:
    thread, run = await asking(stage, threads, "asks_two")
    first, second = outputs(run, "allow", "allow")
    path = f"/v1/threads/{thread}/runs/{run.id}/submit_tool_outputs"
    for given, param in (
        ([], "tool_outputs"),
        ([first, first], "tool_outputs.1.tool_call_id"),
        ([first, first | {"tool_call_id": first["tool_call_id"].lower()}], "tool_outputs.1.tool_call_id"),
        ([first, second | {"tool_call_id": ids.mint()}], "tool_outputs.1.tool_call_id"),
        ([first, second | {"tool_call_id": "call_1"}], "tool_outputs.1.tool_call_id"),
        ([first, {"tool_call_id": second["tool_call_id"]}], "tool_outputs.1.output"),
        *(
            ([first, second | {"output": word}], "tool_outputs.1.output")
            for word in (
                "",
                "yes",
                "Allow it",
                "{}",
                '{"decision": "maybe"}',
                '{"decision": ["allow"]}',
                "{",
                '"',
                "[" * 9,
            )
        ),
    ):
        reply = await call(client, "POST", path, {"tool_outputs": given})
        assert (given, *refusal(reply)[:2]) == (given, 400, param)
    assert (await threads.runs.retrieve(run.id, thread_id=thread)).required_action == run.required_action


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


async def test_a_run_that_waits_is_cancelled_with_its_calls(stage: Stage, threads: Any) -> None:
    thread, run = await asking(stage, threads, "asks_two")
    gone = await threads.runs.cancel(run.id, thread_id=thread)
    assert (gone.status, gone.required_action) == ("cancelled", None)


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
        other = await accounts.create_agent(db, client.account, "other", "echo", published=True)
        closed = await accounts.create_agent(db, client.account, "closed", "echo")
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


async def test_errors_are_the_classes_that_the_client_has_for_them(client: Client) -> None:
    async with sdk(client.using("mst_" + "a" * 43), max_retries=0) as unknown:
        with pytest.raises(openai.AuthenticationError) as refused:
            await unknown.beta.threads.create()
        assert (refused.value.code, refused.value.type) == ("invalid_api_key", "invalid_request_error")
        assert refused.value.request_id
    async with sdk(client, max_retries=0) as known:
        with pytest.raises(openai.NotFoundError):
            await known.beta.threads.retrieve("nonsense")
        with pytest.raises(openai.BadRequestError) as bad:
            await known.beta.threads.create(metadata={"a": "v" * 513})
        assert (bad.value.param, bad.value.code) == ("metadata", "invalid_request")


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
        assert (await call(client, "DELETE", path)).json["deleted"] is True


async def test_what_is_decided_or_cancelled_and_not_applied_yet_is_not_asked_for_again(
    stage: Stage, threads: Any, client: Client, settings: Settings
) -> None:
    thread, run = await asking(stage, threads, "asks_two")
    path = f"/v1/threads/{thread}/runs/{run.id}"
    given = {"tool_outputs": outputs(run, "allow", "allow")}
    async with running_api(settings.model_copy(update={"wait_limit": 0.2})) as url:
        hasty = replace(client, url=url)
        await stage.service.pool.execute("update partitions set paused = true")
        decided = (await call(hasty, "POST", f"{path}/submit_tool_outputs", given)).json
        assert (decided["status"], decided["required_action"]) == ("queued", None)
        assert (await call(hasty, "POST", f"{path}/cancel")).json["status"] == "cancelling"
        assert (await call(hasty, "GET", path)).json["status"] == "requires_action"
        await stage.service.pool.execute("update partitions set paused = false")

    async def cancelled() -> bool:
        return bool((await call(client, "GET", path)).json["status"] == "cancelled")

    await until(cancelled)


async def test_the_quick_start_of_the_page_works_as_it_stands(
    client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = Path(__file__).parents[2] / "docs" / "dialects.md"
    (program, *_) = re.findall(
        r"^```python\n(import os\n\nfrom openai .*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL
    )
    monkeypatch.setenv("THREADMILL_URL", client.url)
    monkeypatch.setenv("THREADMILL_TOKEN", client.token)
    monkeypatch.setenv("THREADMILL_AGENT", client.agent)
    capsys.readouterr()
    await asyncio.to_thread(exec, compile(program, str(page), "exec"), {})
    shown = [line for line in capsys.readouterr().out.splitlines() if "answered" not in line]
    assert shown == [
        "completed",
        "And as a stream?",
        "user: Hello, Threadmill!",
        "assistant: Hello, Threadmill!",
        "user: And as a stream?",
        "assistant: And as a stream?",
    ]
