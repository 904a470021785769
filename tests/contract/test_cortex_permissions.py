"""Permissions in Cortex: a `tool_use` of an answer asks, a `tool_result` of a message decides."""

from typing import Any

import pytest

from tests.agents import Stage
from tests.contract.cortex_client import RUN, Cortex, asking, deciding, texts

pytestmark = [pytest.mark.slow, pytest.mark.dialect]  # each with a service and a worker of its own


def opened(answer: dict[str, Any]) -> list[str]:
    return [part["tool_use"]["tool_use_id"] for part in answer["content"] if part["type"] == "tool_use"]


async def test_a_permission_is_asked_for_and_decided(stage: Stage, cortex: Cortex) -> None:
    await stage.become("asks_two")
    thread = await cortex.new()
    heard = await cortex.stream(asking("go", thread_id=thread))
    assert heard[-1][0] == "response"
    first, _ = heard[-1][1]["content"]
    assert first["tool_use"] | {"name": "t", "input": {"title": "First?", "input": {"n": 1}}} == first["tool_use"]
    assert heard[-1][1]["metadata"]["assistant_message_id"] is None
    a, b = opened(heard[-1][1])
    busy = await cortex.call("POST", RUN, asking("no", thread_id=thread))
    assert busy.status == 409
    half = await cortex.call("POST", RUN, deciding(thread, (a, "allow"), stream=False))
    assert opened(half.json) == [b]
    third = await cortex.call("POST", RUN, deciding(thread, (b, "deny"), stream=False))
    (c,) = opened(third.json)
    last = await cortex.stream(deciding(thread, (c, "allow_once")))
    assert texts(last[-1][1]) == ["a=allowed b=rejected c=allowed note=None attempt=1"]
    assert [name for name, _ in last][-3:] == ["response.text", "metadata", "response"]
    again = await cortex.call("POST", RUN, deciding(thread, (c, "allow")))
    assert (again.status, again.json["error_code"]) == (409, "readiness_blocked")


async def test_a_decision_that_can_not_be_is_refused(stage: Stage, cortex: Cortex) -> None:
    await stage.become("asks_two")
    thread, other = await cortex.new(), await cortex.new()
    a, _ = opened(await cortex.ask("go", thread_id=thread))
    for body, status in (
        (deciding(thread, ("unknown", "allow")), 404),
        (deciding(other, (a, "allow")), 404),
        (deciding(thread, (a, "perhaps")), 400),
        (deciding(thread, (a, "")), 400),
        ({**deciding(thread, (a, "allow")), "thread_id": None}, 400),
        (deciding(thread, ("", "allow")), 400),
        (deciding(thread, ("x" * 256, "allow")), 400),
    ):
        reply = await cortex.call("POST", RUN, body)
        assert (body, reply.status) == (body, status)
    mixed = deciding(thread, (a, "allow"))
    mixed["messages"][0]["content"].append({"type": "text", "text": "and more"})
    assert (await cortex.call("POST", RUN, mixed)).status == 400
    states = await stage.service.pool.fetch("select distinct state from permission_requests")
    assert [row["state"] for row in states] == ["pending"]


@pytest.mark.parametrize("said", ["allow", ' {"decision": "allow", "note": "go on"} '])
async def test_a_decision_may_be_said_as_text(stage: Stage, cortex: Cortex, said: str) -> None:
    await stage.become("asks_two")
    thread = await cortex.new()
    a, b = opened(await cortex.ask("go", thread_id=thread))
    body = deciding(thread, (a, ""), (b, ""), stream=False)
    for part in body["messages"][0]["content"]:
        part["tool_result"]["content"] = [{"type": "text", "text": said}]
    reply = await cortex.call("POST", RUN, body)
    assert reply.status == 200, reply
    states = await stage.service.pool.fetch("select state, note from permission_requests order by id")
    note = "go on" if "note" in said else None
    assert [(row["state"], row["note"]) for row in states[:2]] == [("allowed", note)] * 2
