"""The two published pages of Mosoo v1, field by field: their requests as they stand, their answers."""

import json
import re
from pathlib import Path
from typing import Any

from shared import ids
from tests.contract.shapes import differences, uncovered
from tests.service import Client, upload

GOLDEN = Path(__file__).parent / "golden"
USER = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def golden(name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return value


def known(client: Client) -> dict[str, str]:
    return {"agent": client.agent, "token": client.token_id}


async def test_the_create_page_without_files_is_answered_field_by_field(client: Client) -> None:
    page = golden("create_thread")
    request = {key: value for key, value in page["request"].items() if key != "files"}
    reply = await client.call("POST", f"/agents/{client.agent}/threads", request)
    assert reply.status == page["status_without_files"]
    assert differences(reply.json, page["answer_without_files"], known(client)) == []


async def test_the_create_page_as_it_stands_names_its_unknown_file(client: Client) -> None:
    page = golden("create_thread")
    reply = await client.call("POST", f"/agents/{client.agent}/threads", page["request"])
    assert (reply.status, reply.json) == (page["status_with_files"], page["answer_with_files"])


async def test_the_create_page_with_a_file_that_is_there_is_answered_as_without(client: Client) -> None:
    page = golden("create_thread")
    file = (await upload(client)).json["file"]["id"]
    request = page["request"] | {"files": [{"file_id": f"file_{file}"}]}
    reply = await client.call("POST", f"/agents/{client.agent}/threads", request)
    assert reply.status == page["status_without_files"]
    assert differences(reply.json, page["answer_without_files"], known(client)) == []
    listed = (await client.call("GET", f"/threads/{reply.json['thread']['id']}/files")).json["files"]
    assert [one["id"] for one in listed] == [file]


async def test_every_field_of_the_create_page_is_in_the_answer(client: Client) -> None:
    page = golden("create_thread")
    request = {**page["request"], "files": [], "attributed_user_id": USER}
    reply = await client.call("POST", f"/agents/{client.agent}/threads", request)
    assert uncovered(reply.json, page["page_answer"]) == []
    assert reply.json["thread"]["attributed_user"] == {"id": USER}


async def test_the_send_page_is_answered_field_by_field(client: Client) -> None:
    page = golden("send_events")
    body = {"attributed_user_id": USER, "client_external_ref": "linear-ENG-123"}
    thread = (await client.call("POST", f"/agents/{client.agent}/threads", body)).json["thread"]["id"]
    reply = await client.call("POST", f"/threads/{thread}/events", page["request"])
    assert reply.status == page["status"]
    assert differences(reply.json, page["answer"], known(client) | {"thread": thread}) == []
    assert uncovered(reply.json, page["page_answer"]) == []


async def test_a_warning_has_the_fields_of_the_send_page(client: Client) -> None:
    page = golden("send_events")
    reply = await client.send(await client.new_thread(), {"type": "user_interrupt"})
    assert uncovered(reply.json["warnings"], page["page_answer"]["warnings"]) == []
    assert [warning["code"] for warning in reply.json["warnings"]] == ["no_active_run"]


async def test_an_id_is_taken_in_either_case_and_given_in_upper_case(client: Client) -> None:
    thread = await client.new_thread()
    assert re.fullmatch(golden("send_events")["thread_id_pattern"], thread)
    reply = await client.call("GET", f"/threads/{thread.lower()}")
    assert reply.json["thread"]["id"] == thread == thread.upper()


async def test_a_key_of_the_page_s_length_is_taken(client: Client) -> None:
    thread = await client.new_thread()
    for length in (1, golden("send_events")["key_limit"]):
        first = await client.send(thread, {"type": "user_interrupt"}, Idempotency_Key="k" * length)
        second = await client.send(thread, {"type": "user_interrupt"}, Idempotency_Key="k" * length)
        assert (first.status, first.body) == (second.status, second.body)
        assert "idempotency-replayed" not in first.headers
        assert second.headers["idempotency-replayed"] == "true"


async def test_a_key_longer_than_the_page_allows_is_refused(client: Client) -> None:
    limit = golden("send_events")["key_limit"]
    reply = await client.send(ids.mint(), {"type": "user_interrupt"}, Idempotency_Key="k" * (limit + 1))
    assert reply.error[:2] == (400, "invalid_request")
