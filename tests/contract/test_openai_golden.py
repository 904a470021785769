"""The published page of thread messages, field by field: its requests, and what they are answered."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.contract.openai_client import call, refusal
from tests.contract.shapes import differences
from tests.service import Client

pytestmark = [pytest.mark.slow, pytest.mark.dialect]  # each with a service and a worker of its own

PAGE: dict[str, Any] = json.loads(
    (Path(__file__).parent / "golden" / "openai" / "messages.json").read_text(encoding="utf-8")
)
# The page's own request has `"role": "text"`, as every text of it is `text`; a role is one of two words.
REQUEST = PAGE["create"]["request"] | {"role": "user"}


def kinds(given: Any, page: Any, place: str = "") -> list[str]:
    """Where a real answer has other fields than the page, or another kind of value; null fits everything."""
    if given is None or page is None:
        return []
    if type(given) is not type(page):
        return [f"{place}: {given!r} for {page!r}"]
    if isinstance(page, dict):
        found = [f"{place}: {sorted(given)} for {sorted(page)}"] if set(given) != set(page) else []
        return found + [line for key in page if key in given for line in kinds(given[key], page[key], f"{place}.{key}")]
    if isinstance(page, list):
        return [line for n, item in enumerate(given if page else []) for line in kinds(item, page[0], f"{place}.{n}")]
    return []


def known(message: dict[str, Any], thread: str) -> list[str]:
    """Where a message is not what the request made it, value by value."""
    assert message["created_at"] > 1_700_000_000
    assert message["completed_at"] >= message["created_at"]
    shown, wanted = (
        {key: value for key, value in one.items() if key not in ("created_at", "completed_at")}
        for one in (message, PAGE["known"])
    )
    return differences(shown, wanted, {"thread": thread, "message": message["id"]})


async def asked(client: Client, name: str, thread: str, message: str = "", query: str = "") -> Any:
    """A request as the page has it, answered with the page's status and its fields, of their kinds."""
    page = PAGE[name]
    path = page["path"].replace("{threadId}", thread).replace("{messageId}", message) + query
    body = None if "request" not in page else REQUEST if name == "create" else page["request"]
    reply = await call(
        client, page["method"], path, body, **{k.replace("-", "_"): v for k, v in page["headers"].items()}
    )
    assert (reply.status, kinds(reply.json, page["answer"])) == (page["status"], []), reply
    return reply.json


async def test_the_requests_of_the_page_are_answered_as_it_says(client: Client) -> None:
    thread = await client.new_thread()
    made = await asked(client, "create", thread)
    assert known(made, thread) == []
    assert await asked(client, "read", thread, made["id"]) == made
    assert await asked(client, "update", thread, made["id"]) == made
    more = await asked(client, "create", thread)
    for query, wanted in {
        "": [more, made],
        "?limit=1": [more],
        "?order=asc": [made, more],
        f"?after={more['id']}": [made],
        f"?before={made['id']}": [more],
    }.items():
        assert await asked(client, "list", thread, query=query) == wanted
    assert set(PAGE["list"]["query"]) == {"limit", "order", "after", "before"}


async def test_a_field_that_the_page_requires_is_missed_and_another_not(client: Client) -> None:
    thread = await client.new_thread()
    path = f"/threads/{thread}/messages"
    for name, (_, need) in PAGE["create"]["fields"].items():
        reply = await call(client, "POST", path, {key: REQUEST[key] for key in REQUEST if key != name})
        assert (name, reply.status) == (name, 400 if need == "required" else 201)
        assert need == "optional" or refusal(reply)[1] == name
    made = (await call(client, "GET", path)).json[0]["id"]
    for name, (_, need) in PAGE["update"]["fields"].items():
        assert (name, need, (await call(client, "POST", f"{path}/{made}", {})).status) == (name, "optional", 200)


def test_the_page_s_lengths_are_those_of_its_bodies() -> None:
    """So nothing of them is left out here."""
    for name in ("create", "update"):
        body = json.dumps(PAGE[name]["request"], separators=(",", ":"))
        assert len(body) == PAGE[name]["content_length"]


async def test_the_create_of_the_page_as_it_stands_is_refused_by_its_role(client: Client) -> None:
    thread = await client.new_thread()
    reply = await call(client, "POST", f"/threads/{thread}/messages", PAGE["create"]["request"])
    assert refusal(reply)[:2] == (400, "role")


async def test_the_same_handlers_speak_openais_form_under_v1_or_with_its_header(client: Client) -> None:
    thread = await client.new_thread()
    for path, headers in ((f"/v1/threads/{thread}", {}), (f"/threads/{thread}", {"OpenAI_Beta": "assistants=v2"})):
        made = await call(client, "POST", f"{path}/messages", REQUEST, **headers)
        assert (made.status, known(made.json, thread)) == (200, [])
        page = (await call(client, "GET", f"{path}/messages?limit=1", **headers)).json
        id_ = made.json["id"]
        assert page.pop("has_more") is (path[1] == "t")
        assert page == {"object": "list", "data": [made.json], "first_id": id_, "last_id": id_}
