"""Idempotency-Key in the AIML / OpenAI dialect: each write repeated, also changed, and behind a delete."""

import json
from typing import Any

import pytest

from shared import agents
from tests.agents import Stage
from tests.contract.openai_calls import HELLO, is_replay, listed, opened, post
from tests.contract.openai_client import call, refusal
from tests.service import Client, Reply, running_api
from tests.watch import until

pytestmark = [pytest.mark.slow, pytest.mark.dialect]  # each with a service and a worker of its own

KEY = {"Idempotency_Key": "order-1"}


@pytest.fixture
async def client(stage: Stage) -> Client:
    return stage.client


async def over(client: Client, path: str, *statuses: str) -> dict[str, Any]:
    """The run once it has one of these statuses."""

    async def there() -> dict[str, Any] | None:
        run: dict[str, Any] = (await call(client, "GET", path)).json
        return run if run["status"] in statuses else None

    return await until(there)


def told_of(stream: Reply) -> tuple[list[str], dict[str, Any], str]:
    """The names of a stream's events without deltas, its last document, and what its deltas say."""
    assert (stream.status, stream.body[-14:]) == (200, b"data: [DONE]\n\n")
    names, documents, said = [], [], ""
    for frame in stream.body.decode().rstrip().split("\n\n"):
        name, data = (line.partition(": ")[2] for line in frame.splitlines() if not line.startswith(":"))
        if name == "thread.message.delta":
            said += json.loads(data)["delta"]["content"][0]["text"]["value"]
        elif name != "done":
            names.append(name)
            documents.append(json.loads(data))
    return names, documents[-1], said


@pytest.mark.parametrize(("prefix", "status"), [("", 201), ("/v1", 200)])
async def test_a_message_is_added_once_and_told_again_with_its_id_also_when_it_is_gone(
    client: Client, prefix: str, status: int
) -> None:
    thread = await opened(client)
    path = f"{prefix}/threads/{thread}/messages"
    first = await post(client, path, HELLO, **KEY)
    assert is_replay(await post(client, path, HELLO, **KEY), first)
    assert (first.status, await listed(client, path)) == (status, [first.json])
    assert (await post(client, path, HELLO)).json["id"] != first.json["id"]
    for ended in (f"{path}/{first.json['id']}", f"/v1/threads/{thread}"):
        assert (await call(client, "DELETE", ended)).status == 200
        assert is_replay(await post(client, path, HELLO, **KEY), first)
    assert refusal(await post(client, path, HELLO))[0] == 404


@pytest.mark.parametrize("prefix", ["", "/v1"])
async def test_an_edit_is_made_once_and_a_removal_told_again(client: Client, prefix: str) -> None:
    thread = await opened(client, HELLO)
    (message,) = await listed(client, f"{prefix}/threads/{thread}/messages")
    path = f"{prefix}/threads/{thread}/messages/{message['id']}"
    change = {"metadata": {"a": "", "b": "2"}}
    first = await post(client, path, change, **KEY)
    assert first.json == message | {"metadata": {"b": "2"}} == (await call(client, "GET", path)).json
    await post(client, path, {"metadata": {"b": "3"}})
    assert is_replay(await post(client, path, change, **KEY), first)
    assert (await call(client, "GET", path)).json["metadata"] == {"b": "3"}
    gone = await call(client, "DELETE", path, Idempotency_Key="gone")
    assert is_replay(await call(client, "DELETE", path, Idempotency_Key="gone"), gone)
    assert is_replay(await post(client, path, change, **KEY), first)
    assert refusal(await call(client, "DELETE", path, Idempotency_Key="other"))[0] == 404
    assert refusal(await post(client, path, change))[0] == 404


async def test_an_edit_of_nothing_is_told_again_as_it_was(client: Client) -> None:
    thread = await opened(client, HELLO)
    (message,) = await listed(client, f"/threads/{thread}/messages")
    for path in (f"/v1/threads/{thread}", f"/threads/{thread}/messages/{message['id']}"):
        key = {"Idempotency_Key": path}
        first = await post(client, path, {}, **key)
        assert (await post(client, path, {"metadata": {"n": "1"}})).json["metadata"] == first.json["metadata"] | {
            "n": "1"
        }
        assert is_replay(await post(client, path, {"metadata": None}, **key), first)


async def test_a_thread_is_made_once_edited_once_and_its_end_told_again(client: Client) -> None:
    body = {"messages": [HELLO, HELLO], "metadata": {"a": "1"}}
    first = await post(client, "/v1/threads", body, **KEY)
    path, change = f"/v1/threads/{first.json['id']}", {"metadata": {"b": "2"}}
    edited = await post(client, path, change, Idempotency_Key="edit")
    assert edited.json == first.json | {"metadata": {"a": "1", "b": "2"}}
    await post(client, path, {"metadata": {"b": "3"}})
    assert is_replay(await post(client, "/v1/threads", body, **KEY), first)
    assert is_replay(await post(client, path, change, Idempotency_Key="edit"), edited)
    assert (await call(client, "GET", path)).json["metadata"] == {"a": "1", "b": "3"}
    assert len(await listed(client, f"{path}/messages")) == 2
    gone = await call(client, "DELETE", path, Idempotency_Key="gone")
    assert is_replay(await call(client, "DELETE", path, Idempotency_Key="gone"), gone)
    assert is_replay(await post(client, path, change, Idempotency_Key="edit"), edited)
    assert is_replay(await post(client, "/v1/threads", body, **KEY), first)
    assert refusal(await call(client, "DELETE", path))[0] == 404
    empty = await post(client, "/v1/threads", None, Idempotency_Key="empty")
    assert is_replay(await post(client, "/v1/threads", {}, Idempotency_Key="empty"), empty)


async def test_a_run_is_started_once_and_told_again_as_it_was_made(stage: Stage, client: Client) -> None:
    thread = await opened(client)
    path = f"/v1/threads/{thread}/runs"
    body = {"assistant_id": client.agent, "additional_messages": [HELLO], "metadata": {"m": "1"}}
    first = await post(client, path, body, **KEY)
    assert (first.json["status"], first.json["started_at"], first.json["metadata"]) == ("queued", None, {"m": "1"})
    await over(client, f"{path}/{first.json['id']}", "completed")
    assert is_replay(await post(client, path, body, **KEY), first)
    assert [run["id"] for run in await listed(client, path)] == [first.json["id"]]
    assert len(await listed(client, f"/threads/{thread}/messages")) == 2
    async with stage.service.pool.acquire() as db:
        await agents.unpublish_agent(db, client.agent)
    await client.call("POST", f"/threads/{thread}/archive")
    assert is_replay(await post(client, path, body, **KEY), first)
    await call(client, "DELETE", f"/v1/threads/{thread}")
    async with running_api(stage.service.settings) as url:  # one that does not remember the agent as it was
        late = Client(client.session, url, client.account, client.token_id, client.token, client.agent)
        assert is_replay(await post(late, path, body, **KEY), first)
        assert refusal(await post(late, path, body))[0] == 404


async def test_a_run_with_its_thread_is_made_once(client: Client) -> None:
    body = {"assistant_id": client.agent, "thread": {"messages": [HELLO], "metadata": {"a": "1"}}}
    first = await post(client, "/v1/threads/runs", body, **KEY)
    path = f"/v1/threads/{first.json['thread_id']}"
    await over(client, f"{path}/runs/{first.json['id']}", "completed")
    assert is_replay(await post(client, "/v1/threads/runs", body, **KEY), first)
    await call(client, "DELETE", path)
    assert is_replay(await post(client, "/v1/threads/runs", body, **KEY), first)


async def test_a_run_that_is_streamed_is_followed_again_from_its_beginning(client: Client) -> None:
    thread = await opened(client, HELLO)
    for path, body in (
        (f"/v1/threads/{thread}/runs", {"assistant_id": client.agent}),
        ("/v1/threads/runs", {"assistant_id": client.agent, "thread": {"messages": [HELLO]}}),
    ):
        key = {"Idempotency_Key": path}
        first = await post(client, path, body | {"stream": True}, **key)
        again = await post(client, path, body | {"stream": True}, **key)
        assert again.headers["idempotency-replayed"] == "true"
        assert (told_of(again), told_of(first)[2]) == (told_of(first), "hello")
        run = told_of(first)[1]
        assert [one["id"] for one in await listed(client, f"/v1/threads/{run['thread_id']}/runs")] == [run["id"]]


async def test_a_cancel_is_told_again_and_so_is_that_it_came_too_late(client: Client) -> None:
    thread = await opened(client, {"role": "user", "content": "/slow 30"})
    run = (await post(client, f"/v1/threads/{thread}/runs", {"assistant_id": client.agent})).json["id"]
    path = f"/v1/threads/{thread}/runs/{run}/cancel"
    first = await post(client, path, **KEY)
    assert first.json["status"] == "cancelled"
    assert is_replay(await post(client, path, **KEY), first)
    late = await post(client, path, Idempotency_Key="late")
    assert (late.status, is_replay(await post(client, path, Idempotency_Key="late"), late)) == (400, True)
    await call(client, "DELETE", f"/v1/threads/{thread}")
    assert is_replay(await post(client, path, **KEY), first)


async def test_outputs_are_decided_once_and_told_again_with_what_they_left_open(stage: Stage, client: Client) -> None:
    await stage.become("asks_two")
    thread = await opened(client, HELLO)
    run = (await post(client, f"/v1/threads/{thread}/runs", {"assistant_id": client.agent})).json["id"]
    path = f"/v1/threads/{thread}/runs/{run}"
    calls = (await over(client, path, "requires_action"))["required_action"]["submit_tool_outputs"]["tool_calls"]
    one, two = ([{"tool_call_id": each["id"], "output": "allow"}] for each in calls)
    first = await post(client, f"{path}/submit_tool_outputs", {"tool_outputs": one}, **KEY)
    assert first.json["required_action"]["submit_tool_outputs"]["tool_calls"] == calls[1:]
    assert is_replay(await post(client, f"{path}/submit_tool_outputs", {"tool_outputs": one}, **KEY), first)
    second = {"tool_outputs": two, "stream": True}
    stream = await post(client, f"{path}/submit_tool_outputs", second, Idempotency_Key="stream")
    again = await post(client, f"{path}/submit_tool_outputs", second, Idempotency_Key="stream")
    assert again.headers["idempotency-replayed"] == "true"
    assert told_of(again) == told_of(stream)
    assert told_of(stream)[1]["status"] == "requires_action"  # what it asks for next
    await post(client, f"{path}/cancel")
    await call(client, "DELETE", f"/v1/threads/{thread}")
    assert is_replay(await post(client, f"{path}/submit_tool_outputs", {"tool_outputs": one}, **KEY), first)


async def test_a_key_that_was_used_otherwise_is_a_bad_request_which_no_client_repeats(client: Client) -> None:
    thread, other = await opened(client), await opened(client)
    path = f"/threads/{thread}/messages"
    first = await post(client, path, HELLO, **KEY)
    message = f"{path}/{first.json['id']}"
    for reply in (
        await post(client, path, HELLO | {"content": "another"}, **KEY),
        await post(client, f"/threads/{other}/messages", HELLO, **KEY),
        await post(client, f"/v1{path}", HELLO, **KEY),
        await post(client, path, HELLO, OpenAI_Beta="assistants=v2", **KEY),
        await post(client, message, {"metadata": {}}, **KEY),
        await call(client, "DELETE", message, **KEY),
        await post(client, "/v1/threads", None, **KEY),
        await post(client, f"/v1/threads/{thread}", {}, **KEY),
        await post(client, f"/v1/threads/{thread}/runs", {"assistant_id": client.agent}, **KEY),
        await post(client, "/v1/threads/runs", {"assistant_id": client.agent}, **KEY),
    ):
        assert (refusal(reply)[0], reply.json["error"]["code"]) == (400, "idempotency_conflict")
        assert not {"retry-after", "idempotency-replayed"} & set(reply.headers)
    native = await client.send(thread, {"type": "user_interrupt"}, **KEY)
    assert native.error[:2] == (409, "idempotency_conflict")
    assert await listed(client, path) == [first.json]
    for place in (f"/threads/{other}/messages", f"/v1/threads/{thread}/runs"):
        assert await listed(client, place) == []


async def test_the_same_request_spelt_otherwise_is_the_same(client: Client) -> None:
    thread = await opened(client)
    path = f"/threads/{thread}/messages"
    first = await post(client, path, {"role": "user", "content": "hello"}, **KEY)
    for place, body in (
        (path, b'{ "metadata": {}, "content": [{"text": "h\\u0065llo", "type": "text"}], "role": "user", "x": 1 }'),
        (path, {"role": "user", "content": "hello", "metadata": None, "attachments": []}),
        (path.replace(thread, thread.lower()), {"role": "user", "content": "hello", "metadata": {"a": None}}),
    ):
        assert is_replay(await post(client, place, body, **KEY), first)
