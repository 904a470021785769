"""Hostile input to the AIML / OpenAI dialect: each gets its 4xx in the dialect's envelope, and stores nothing."""

import json
from typing import Any

import pytest

from shared import ids
from tests.agents import Stage
from tests.contract.openai_client import call, refusal
from tests.contract.storing import stored
from tests.hostile import SQL
from tests.service import Client, Service

pytestmark = [pytest.mark.slow, pytest.mark.dialect]  # each with a service and a worker of its own

EMPTY: tuple[Any, ...] = ({}, "", 0, False)
ODD: list[Any] = [None, [], "x", 7, True, [{}], {"role": []}, {"metadata": "x"}, {"messages": {"role": "user"}}]
ODD += [{"messages": [None]}, {"messages": "x", "thread": 7, "tool_outputs": 7, "assistant_id": 7, "metadata": 7}]
ODD += [{"role": "user", "content": "a", "attachments": odd} for odd in EMPTY]
ODD += [{"assistant_id": {}, "thread": {"messages": 7}, "tool_outputs": [7], "metadata": {"a": {}}, "messages": 7}]


async def test_bodies_of_other_shapes_are_refused_everywhere(service: Service, client: Client) -> None:
    thread = await client.new_thread()
    body = {"role": "user", "content": "a"}
    message = (await call(client, "POST", f"/v1/threads/{thread}/messages", body)).json["id"]
    before = await stored(service)
    for path in (
        f"/v1/threads/{thread}/messages",
        f"/v1/threads/{thread}/runs",
        f"/v1/threads/{thread}/runs/{ids.mint()}/submit_tool_outputs",
        "/v1/threads/runs",
    ):
        for odd in ODD:
            assert (path, odd, refusal(await call(client, "POST", path, b"null" if odd is None else odd))[0]) == (
                path,
                odd,
                400,
            )
    for path in ("/v1/threads", f"/v1/threads/{thread}", f"/v1/threads/{thread}/messages/{message}"):
        for odd in (b"null", [], "x", 7, {"metadata": "x"}, {"metadata": [1]}, {"metadata": {"a": {}}}):
            assert refusal(await call(client, "POST", path, odd))[0] == 400
    assert await stored(service) == before


async def test_sql_in_every_string_is_text_and_reads_back_equal(client: Client) -> None:
    for text in SQL:
        metadata = {text[:64]: text}
        body = {"messages": [{"role": "user", "content": text, "metadata": metadata}], "metadata": metadata}
        thread = (await call(client, "POST", "/v1/threads", body)).json
        assert thread["metadata"] == metadata
        (message,) = (await call(client, "GET", f"/threads/{thread['id']}/messages")).json
        assert (message["content"][0]["text"]["value"], message["metadata"]) == (text, metadata)
        for path in (f"/v1/threads/{thread['id']}", f"/v1/threads/{thread['id']}/messages/{message['id']}"):
            assert (await call(client, "POST", path, {"metadata": {text[:64]: None}})).json["metadata"] == {}


async def test_sql_in_a_message_of_a_run_is_text_and_said_again(stage: Stage) -> None:
    client, agent = stage.client, stage.client.agent
    for text in SQL:
        metadata, asked = {text[:64]: text}, [{"role": "user", "content": text}]
        body: dict[str, Any] = {"assistant_id": agent, "thread": {"messages": asked}, "metadata": metadata}
        first = (await call(client, "POST", "/v1/threads/runs", body)).json
        thread = first["thread_id"]
        await stage.until(thread, first["id"])
        body = {"assistant_id": agent, "additional_messages": asked, "metadata": metadata}
        run = (await call(client, "POST", f"/v1/threads/{thread}/runs", body)).json
        await stage.until(thread, run["id"])
        assert first["metadata"] == run["metadata"] == metadata
        messages = (await call(client, "GET", f"/v1/threads/{thread}/messages")).json["data"]
        assert [one["content"][0]["text"]["value"] for one in messages] == [text] * 4


async def test_sql_in_a_tool_output_is_refused_and_decides_nothing(stage: Stage) -> None:
    await stage.become("asks_two")
    thread, run = await stage.start()
    await stage.until(thread, run, "waiting_input")
    requests = await stage.requests(thread)
    path = f"/v1/threads/{thread}/runs/{run}/submit_tool_outputs"
    before = await stored(stage.service)
    for text in SQL:
        for output in (text, json.dumps(text), json.dumps({"decision": text})):
            body = {"tool_outputs": [{"tool_call_id": requests["First?"], "output": output}]}
            assert refusal(await call(stage.client, "POST", path, body))[:2] == (400, "tool_outputs.0.output")
        body = {"tool_outputs": [{"tool_call_id": text, "output": "allow"}]}
        assert refusal(await call(stage.client, "POST", path, body))[:2] == (400, "tool_outputs.0.tool_call_id")
    assert await stored(stage.service) == before
    states = await stage.service.pool.fetch("select distinct state from permission_requests")
    assert [row["state"] for row in states] == ["pending"]


async def test_sql_beside_the_word_of_a_tool_output_is_kept_nowhere(stage: Stage) -> None:
    """The word decides; this dialect has no note."""
    await stage.become("asks_two")
    for text in SQL:
        thread, run = await stage.start()
        await stage.until(thread, run, "waiting_input")
        first = (await stage.requests(thread))["First?"]
        given = {"tool_call_id": first, "output": json.dumps({"decision": "deny", "note": text})}
        path = f"/v1/threads/{thread}/runs/{run}/submit_tool_outputs"
        assert (await call(stage.client, "POST", path, {"tool_outputs": [given]})).status == 200
        row = await stage.service.pool.fetchrow("select state, note from permission_requests where id = $1", first)
        assert row is not None
        assert tuple(row) == ("rejected", None)


async def test_sql_in_paths_and_queries_is_refused(client: Client) -> None:
    thread = await client.new_thread()
    for path in (
        "/threads/'%20or%201=1--/messages",
        f"/v1/threads/{thread}/messages/';--",
        f"/v1/threads/{thread}/runs/%00",
    ):
        assert refusal(await call(client, "GET", path))[0] == 404
    for query in ("after=' or 1=1--", "before=%00", "limit=1;--", "order=desc;--", "limit=1e1", "limit=٣"):
        assert refusal(await call(client, "GET", f"/v1/threads/{thread}/messages?{query}"))[0] == 400


async def test_unknown_routes_and_methods_answer_in_the_same_envelope(client: Client) -> None:
    thread = await client.new_thread()
    for method, path, status in (
        ("GET", "/v1/nothing", 404),
        ("GET", "/threads", 404),
        ("PUT", "/v1/threads", 405),
        ("GET", "/v1/threads/runs", 405),
        ("DELETE", "/v1/threads/runs", 405),
        ("PATCH", f"/threads/{thread}/messages", 405),
    ):
        assert (path, refusal(await call(client, method, path))[0]) == (path, status)


async def test_the_token_is_looked_at_before_anything_else(client: Client) -> None:
    unknown = client.using("nonsense")
    for method, path in (("GET", "/threads/nonsense/messages"), ("POST", "/v1/threads"), ("GET", "/v1/threads/x/runs")):
        reply = await call(unknown, method, path, b"{" if method == "POST" else None)
        assert (refusal(reply)[0], reply.json["error"]["code"]) == (401, "invalid_api_key")
