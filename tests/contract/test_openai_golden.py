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


async def test_the_requests_of_the_page_are_answered_as_it_says(client: Client) -> None:
    thread = await client.new_thread()
    path = f"/threads/{thread}/messages"
    made = await call(client, "POST", path, REQUEST)
    assert (made.status, kinds(made.json, PAGE["create"]["answer"])) == (PAGE["create"]["status"], [])
    assert known(made.json, thread) == []
    listed = await call(client, "GET", path)
    assert (listed.status, kinds(listed.json, PAGE["list"]["answer"])) == (PAGE["list"]["status"], [])
    assert listed.json == [made.json]
    read = await call(client, "GET", f"{path}/{made.json['id']}")
    assert (read.status, read.json) == (PAGE["read"]["status"], made.json)
    updated = await call(client, "POST", f"{path}/{made.json['id']}", PAGE["update"]["request"])
    assert (updated.status, updated.json) == (PAGE["update"]["status"], made.json)


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
