"""The published pages of Cortex threads, field by field: their requests, and what they are answered in both shapes."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.contract.cortex_client import THREADS, Cortex
from tests.service import Reply

pytestmark = [pytest.mark.slow, pytest.mark.dialect]  # each with a service and a worker of its own

PAGE = json.loads((Path(__file__).parent / "golden" / "cortex" / "threads.json").read_text(encoding="utf-8"))
FIRST = 1_000_000_000
KINDS = {"integer": int, "string": str}


def kinds(document: Any) -> Any:
    """A document with the kinds of its values in their places."""
    if isinstance(document, dict):
        return {key: kinds(value) for key, value in document.items()}
    return [kinds(item) for item in document] if isinstance(document, list) else type(document)


async def asked(cortex: Cortex, name: str, thread: int = FIRST, query: str = "") -> Reply:
    """A request as its page has it, with both headers, which the pages want on every call."""
    page = PAGE[name]
    path = page["path"].replace("{id}", str(thread)) + query
    headers = {"Content_Type": PAGE["headers"]["Content-Type"]}
    reply = await cortex.call(page["method"], path, page.get("request"), **headers)
    assert (name, reply.status) == (name, 200), reply
    return reply


def has(given: dict[str, Any], fields: dict[str, str]) -> None:
    """The fields of a page's table, of their kinds, and no others. The page's own example has a parent that is null."""
    assert set(given) == set(fields)
    for name, kind in fields.items():
        value = given[name]
        assert isinstance(value, KINDS[kind]) or (name == "parent_id" and value is None), (name, value)


async def test_the_requests_of_the_pages_are_answered_as_they_say(cortex: Cortex) -> None:
    assert kinds((await asked(cortex, "create")).json) == kinds(PAGE["create"]["answer"])
    await cortex.ask("Hello, I need help.", thread_id=FIRST)
    updated = await asked(cortex, "update")
    assert updated.json == {"status": PAGE["update"]["answer"]["status"].replace("xxxx", str(FIRST))}
    pages = [(await asked(cortex, "describe", query="?page_size=1&last_message_id=")).json]
    oldest = pages[0]["messages"][-1]["message_id"]
    pages.append((await asked(cortex, "describe", query=f"?page_size=1&last_message_id={oldest}")).json)
    for page, role in zip(pages, ("assistant", "user"), strict=True):
        has(page["metadata"], PAGE["describe"]["fields"]["metadata"])
        has(page["messages"][0], PAGE["describe"]["fields"]["messages"])
        assert [one["role"] for one in page["messages"]] == [role]
    (listed,) = (await asked(cortex, "list", query="?origin_application=my_app")).json
    has(listed, PAGE["list"]["fields"])
    assert listed == pages[0]["metadata"]
    assert (await asked(cortex, "delete")).json == PAGE["delete"]["answer"]


def test_the_tables_of_the_pages_are_those_of_their_examples() -> None:
    """What a page says of itself twice is the same here."""
    assert set(PAGE["create"]["fields"]) == set(PAGE["create"]["request"])
    assert set(PAGE["update"]["fields"]) == set(PAGE["update"]["request"])
    assert set(PAGE["describe"]["query"]) == {"page_size", "last_message_id"}
    assert set(PAGE["list"]["query"]) == {"origin_application"}
    has(PAGE["describe"]["answer"]["metadata"], PAGE["describe"]["fields"]["metadata"])
    for message in PAGE["describe"]["answer"]["messages"]:
        has(message, PAGE["describe"]["fields"]["messages"])
    has(PAGE["list"]["answer"][0], PAGE["list"]["fields"])


async def test_the_create_page_is_answered_with_a_number_as_text(cortex: Cortex) -> None:
    page = PAGE["create"]
    reply = await cortex.call(page["method"], page["path"], page["request"])
    assert (reply.status, reply.body) == (200, b'"%d"' % FIRST)
    assert kinds(reply.json) == kinds(page["answer"])


async def test_the_live_service_answers_a_create_with_metadata(live: Cortex) -> None:
    reply = await live.call("POST", THREADS, PAGE["create"]["request"])
    assert reply.status == 200
    assert kinds(reply.json) == kinds(PAGE["describe"]["answer"]["metadata"])
    assert (reply.json["thread_id"], reply.json["thread_name"]) == (FIRST, "")
    assert reply.json == await live.metadata(FIRST)


async def talked(cortex: Cortex) -> int:
    """The page's thread: a name, an application, a question, an answer."""
    thread = await cortex.new(**PAGE["create"]["request"])
    await cortex.ask("Hello, I need help.", thread_id=thread, parent_message_id=0)
    named = await cortex.call("POST", f"{THREADS}/{thread}", {"thread_name": "Support Chat"})
    assert named.status == 200
    return thread


async def test_the_describe_page_has_its_fields_and_their_kinds(cortex: Cortex) -> None:
    thread = await talked(cortex)
    page, given = PAGE["describe"]["answer"], await cortex.describe(thread)
    assert kinds(given["metadata"]) == kinds(page["metadata"])
    assert given["metadata"] | {"thread_id": thread, "thread_name": "Support Chat"} == given["metadata"]
    assert [kinds(one) for one in reversed(given["messages"])] == [kinds(one) for one in page["messages"]]
    answer, question = given["messages"]
    assert (question["role"], question["message_payload"]) == ("user", "Hello, I need help.")
    assert (answer["role"], answer["message_payload"]) == ("assistant", "Hello, I need help.")
    assert (question["parent_id"], answer["parent_id"]) == (None, question["message_id"])


async def test_the_live_service_s_payload_is_a_message_as_json(live: Cortex) -> None:
    thread = await talked(live)
    given = await live.describe(thread)
    assert kinds(given["messages"][1]) == kinds(PAGE["describe"]["answer"]["messages"][0])
    assert [json.loads(one["message_payload"]) for one in given["messages"]] == [
        {"role": role, "content": [{"type": "text", "text": "Hello, I need help."}]} for role in ("assistant", "user")
    ]


async def test_the_update_page_is_answered_word_by_word(cortex: Cortex) -> None:
    thread, page = await cortex.new(), PAGE["update"]
    reply = await cortex.call(page["method"], f"{THREADS}/{thread}", page["request"])
    assert (reply.status, reply.json) == (200, {"status": page["answer"]["status"].replace("xxxx", str(thread))})
    assert (await cortex.metadata(thread))["thread_name"] == page["request"]["thread_name"]
    for nothing in ({}, None, {"thread_name": None}, {"unknown": 1}):
        assert (await cortex.call("POST", f"{THREADS}/{thread}", nothing)).status == 200
    assert (await cortex.metadata(thread))["thread_name"] == page["request"]["thread_name"]
    assert (await cortex.call("POST", f"{THREADS}/{thread}", {"thread_name": ""})).status == 200
    assert (await cortex.metadata(thread))["thread_name"] == ""


async def test_the_list_page_is_a_bare_array_newest_first(cortex: Cortex) -> None:
    first, second = await cortex.new(origin_application="my_app"), await cortex.new(origin_application="other")
    await cortex.call("POST", f"{THREADS}/{first}", {"thread_name": "Support Chat"})
    reply = await cortex.call("GET", THREADS)
    assert [kinds(one) for one in reply.json] == kinds(PAGE["list"]["answer"]) * 2
    assert [one["thread_id"] for one in reply.json] == [first, second]
    assert reply.json == [await cortex.metadata(first), await cortex.metadata(second)]
    mine = await cortex.call("GET", f"{THREADS}?origin_application=my_app")
    assert [one["thread_id"] for one in mine.json] == [first]
    assert (await cortex.call("GET", f"{THREADS}?origin_application=nobody")).json == []
    assert len((await cortex.call("GET", f"{THREADS}?origin_application=")).json) == 2


async def test_the_delete_page_is_answered_once(cortex: Cortex) -> None:
    thread = await cortex.new()
    assert (await cortex.call("DELETE", f"{THREADS}/{thread}")).json == PAGE["delete"]["answer"]
    for method, body in (("DELETE", None), ("GET", None), ("POST", {})):
        reply = await cortex.call(method, f"{THREADS}/{thread}", body)
        assert (reply.status, reply.json["error_code"]) == (404, "not_found")
    assert (await cortex.call("GET", THREADS)).json == []
