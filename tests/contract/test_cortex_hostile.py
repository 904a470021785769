"""Hostile input in the Cortex dialect: each gets its refusal in this dialect's envelope, and nothing is stored."""

import json
from typing import Any

import pytest

from tests.agents import Stage
from tests.contract.cortex_client import RUN, THREADS, Cortex, asking, deciding, texts
from tests.contract.storing import stored
from tests.hostile import SQL
from tests.service import Client, Service

pytestmark = [pytest.mark.slow, pytest.mark.dialect]  # each with a service and a worker of its own

ENVELOPE = {"message", "code", "error_code", "request_id"}
REFUSED: list[tuple[str, Any, str]] = [
    (THREADS, [], "The body"),
    (THREADS, {"origin_application": "a" * 17}, "origin_application"),
    (THREADS, {"origin_application": "ä" * 8 + "x"}, "origin_application"),
    (THREADS, {"origin_application": 7}, "origin_application"),
    ("<thread>", {"thread_name": "x" * 1_001}, "thread_name"),
    ("<thread>", {"thread_name": ["x"]}, "thread_name"),
    (RUN, {}, "messages"),
    (RUN, {"messages": []}, "messages"),
    (RUN, {"messages": asking("a")["messages"] * 2}, "messages"),
    (RUN, {"messages": [{"role": "assistant", "content": "a"}]}, "messages.0.role"),
    (RUN, {"messages": [{"content": "a"}]}, "messages.0.role"),
    (RUN, {"messages": [{"role": "user"}]}, "messages.0.content"),
    (RUN, {"messages": [{"role": "user", "content": []}]}, "messages.0.content"),
    (RUN, {"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages.0.content"),
    (RUN, {"messages": [{"role": "user", "content": [{"text": "a"}]}]}, "messages.0.content"),
    (RUN, {"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content"),
    (RUN, {"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "messages.0.content"),
    (RUN, asking(" \n "), "messages.0.content"),
    (RUN, asking("x" * (256 * 1024 + 1)), "messages.0.content"),
    (RUN, asking("a", stream="yes"), "stream"),
    (RUN, asking("a", thread_id=-1), "thread_id"),
    (RUN, asking("a", thread_id="x"), "thread_id"),
    (RUN, asking("a", thread_id="1" * 20), "thread_id"),
    (RUN, asking("a", thread_id=True), "thread_id"),
    (RUN, asking("a", parent_message_id=1), "thread_id"),
    (f"{RUN}?thread_id=true", asking("a"), "thread_id"),
    (f"{RUN}?thread_id=true", asking("a", thread_id=1_000_000_000), "thread_id"),
]
QUERIES = [
    "page_size=0",
    "page_size=101",
    "page_size=-1",
    "page_size=ten",
    "page_size=%D9%A1",
    "page_size=1.5",
    "last_message_id=x",
    "last_message_id=-1",
    "last_message_id=" + "9" * 20,
    "last_message_id=%00",
]
NO_NUMBERS = [
    "0",
    "999999999",
    "1" * 19,
    "9" * 19,
    "9" * 20,
    "x",
    "1e9",
    "-1",
    "%D9%A1",
    "1000000000%0A",
    "%00",
    "01ARZ3NDEKTSV4RRFFQ69G5FAV",
]


@pytest.fixture
async def cortex(client: Client) -> Cortex:
    return Cortex(client)


async def test_a_refusal_names_the_field_and_stores_nothing(service: Service, cortex: Cortex) -> None:
    thread = await cortex.new()
    before = await stored(service)
    for path, body, named in REFUSED:
        reply = await cortex.call("POST", path.replace("<thread>", f"{THREADS}/{thread}"), body)
        assert (named, reply.status, set(reply.json)) == (named, 400, ENVELOPE), (body, reply)
        assert reply.json["message"].startswith(named), (body, reply)
        assert (reply.json["error_code"], reply.json["code"]) == ("invalid_request", "399400")
        assert reply.json["request_id"] == reply.headers["x-snowflake-request-id"]
    assert await stored(service) == before


async def test_a_query_that_can_not_be_read_is_named(cortex: Cortex) -> None:
    thread = await cortex.new()
    for query in QUERIES:
        reply = await cortex.call("GET", f"{THREADS}/{thread}?{query}")
        assert (query, reply.status) == (query, 400)
        assert reply.json["message"].split(":")[0] == query.split("=")[0]


async def test_a_list_is_asked_for_in_text_of_16_bytes(cortex: Cortex) -> None:
    for given in ("a" * 17, "%C3%A4" * 9, "a%00b"):
        assert (await cortex.call("GET", f"{THREADS}?origin_application={given}")).status == 400
    for given in ("a" * 16, "%C3%A4" * 8, "%27%20or%201%3D1", "%FF"):
        assert (await cortex.call("GET", f"{THREADS}?origin_application={given}")).json == []


async def test_what_is_no_thread_s_number_is_not_found(cortex: Cortex) -> None:
    await cortex.new()
    for name in NO_NUMBERS:
        for method, body in (("GET", None), ("POST", {"thread_name": "mine"}), ("DELETE", None)):
            reply = await cortex.call(method, f"{THREADS}/{name}", body)
            assert (name, reply.status, set(reply.json)) == (name, 404, ENVELOPE)


async def test_what_is_checked_first_is_told_first(cortex: Cortex) -> None:
    """Token, path, body, key, thread."""
    nobody = Cortex(cortex.client.using("mst_" + "x" * 43))
    for path in (f"{THREADS}/x", "/api/v2/databases/a/schemas/b/agents/nobody:run", RUN):
        reply = await nobody.call("POST", path, b"not JSON")
        assert (reply.status, set(reply.json), reply.json["code"]) == (401, ENVELOPE, "399401")
    assert (await cortex.call("POST", f"{THREADS}/x", b"not JSON")).status == 404
    assert (await cortex.call("POST", "/api/v2/databases/a/schemas/b/agents/nobody:run", b"not JSON")).status == 404
    reply = await cortex.call("POST", f"{THREADS}/1", b"not JSON", Idempotency_Key="x" * 129)
    assert reply.json["error_code"] == "invalid_json"
    assert (await cortex.call("POST", f"{THREADS}/1", {}, Idempotency_Key="x" * 129)).status == 400
    assert (await cortex.call("POST", f"{THREADS}/1", {}, Idempotency_Key="x")).status == 404


async def test_unknown_routes_and_methods_answer_in_the_same_envelope(cortex: Cortex) -> None:
    for method, path, status in (
        ("GET", "/api/v2/cortex", 404),
        ("GET", f"{THREADS}/1/messages", 404),
        ("PUT", THREADS, 405),
        ("GET", RUN, 405),
        ("POST", "/api/v2/databases/a/schemas/b/agents/echo", 404),
        ("POST", "/api/v2/databases/a/schemas/b/agents/:run", 404),
    ):
        reply = await cortex.call(method, path)
        assert (path, reply.status, set(reply.json)) == (path, status, ENVELOPE)


async def test_sql_in_every_string_is_text_and_reads_back_equal(stage: Stage) -> None:
    """Of threads and of messages, which the agent says again."""
    cortex = Cortex(stage.client)
    for text in SQL:
        application = text.encode()[:16].decode(errors="ignore")
        thread = await cortex.new(origin_application=application)
        assert (await cortex.call("POST", f"{THREADS}/{thread}", {"thread_name": text})).status == 200
        found = await cortex.metadata(thread)
        assert (found["thread_name"], found["origin_application"]) == (text, application)
        assert texts(await cortex.ask(text, thread_id=thread, parent_message_id=0)) == [text]
        answer, asked = (await cortex.describe(thread))["messages"]
        assert (asked["message_payload"], answer["message_payload"]) == (text, text)
    assert len((await cortex.call("GET", THREADS)).json) == len(SQL)


async def test_sql_in_a_tool_result_is_its_note_or_refused(stage: Stage) -> None:
    cortex = Cortex(stage.client)
    await stage.become("asks_two")
    for text in SQL:
        thread = await cortex.new()
        first, second = opened(await cortex.ask("go", thread_id=thread))
        before = await stored(stage.service)
        for part in (
            {"type": "text", "text": text},
            {"type": "json", "json": {"decision": text}},
            {"type": "text", "text": json.dumps({"decision": text})},
        ):
            reply = await cortex.call("POST", RUN, resulting(thread, {first: part}))
            assert (text, reply.status) == (text, 400)
            assert reply.json["message"].startswith("messages.0.content.0.tool_result.content: "), reply
        assert await stored(stage.service) == before
        assert (await cortex.call("POST", RUN, deciding(thread, (text, "allow")))).status == 404
        given = {"decision": "deny", "note": text}
        parts: dict[str, Any] = {first: {"type": "json", "json": given}}
        parts |= {second: {"type": "text", "text": json.dumps(given)}}
        assert (await cortex.call("POST", RUN, resulting(thread, parts, stream=False))).status == 200
        notes = "select note from permission_requests where id = any($1)"
        assert [row["note"] for row in await stage.service.pool.fetch(notes, [first, second])] == [text] * 2


def opened(answer: dict[str, Any]) -> list[str]:
    return [part["tool_use"]["tool_use_id"] for part in answer["content"] if part["type"] == "tool_use"]


def resulting(thread: int, parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Decisions whose content is as it is, by the ids of requests."""
    body = deciding(thread, *((request, "") for request in parts), **fields)
    for one, part in zip(body["messages"][0]["content"], parts.values(), strict=True):
        one["tool_result"]["content"] = [part]
    return body
