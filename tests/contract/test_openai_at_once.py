"""Writes of the OpenAI dialect at the same moment: equal ones with one key are one, others all count."""

import asyncio
import json
from typing import Any

import pytest

from tests.contract.openai_calls import HELLO, listed, opened, post
from tests.contract.openai_client import call
from tests.service import Client

pytestmark = [pytest.mark.slow, pytest.mark.dialect]  # each with a service and a worker of its own


async def at_once(client: Client, method: str, path: str, body: Any = None) -> list[Any]:
    """The different answers to twenty equal requests with one key, beside that one is under way."""
    key = {"Idempotency_Key": f"{method} {path} {body}"[:128]}
    replies = await asyncio.gather(*[call(client, method, path, body, **key) for _ in range(20)])
    under_way = [reply for reply in replies if reply.status == 409]
    assert {reply.headers["retry-after"] for reply in under_way} <= {"2"}
    taken = [reply for reply in replies if reply not in under_way]
    assert {reply.status for reply in taken} == {200}
    assert sum("idempotency-replayed" not in reply.headers for reply in taken) == 1
    return [json.loads(body) for body in {reply.body for reply in taken}]


async def test_equal_requests_at_the_same_moment_are_one(client: Client) -> None:
    thread = await opened(client)
    path = f"/v1/threads/{thread}"
    for route, body in (
        ("messages", HELLO),
        ("messages", HELLO | {"role": "assistant"}),
        ("runs", {"assistant_id": client.agent}),
    ):
        before = {one["id"] for one in await listed(client, f"{path}/{route}")}
        (made,) = await at_once(client, "POST", f"{path}/{route}", body)
        assert {one["id"] for one in await listed(client, f"{path}/{route}")} - before == {made["id"]}


async def test_equal_ends_at_the_same_moment_are_one_and_none_finds_it_gone(client: Client) -> None:
    thread = await opened(client, {"role": "user", "content": "/slow 30"}, HELLO)
    message = (await listed(client, f"/threads/{thread}/messages"))[1]["id"]
    run = (await post(client, f"/v1/threads/{thread}/runs", {"assistant_id": client.agent})).json["id"]
    for method, route in (
        ("DELETE", f"/threads/{thread}/messages/{message}"),
        ("POST", f"/v1/threads/{thread}/runs/{run}/cancel"),
        ("DELETE", f"/v1/threads/{thread}"),
    ):
        assert len(await at_once(client, method, route)) == 1


async def test_edits_at_the_same_moment_each_show_their_own_and_both_are_kept(client: Client) -> None:
    path = f"/v1/threads/{await opened(client)}"
    changes = [{name: "1"} for name in "abcdefgh"]
    edits = [post(client, path, {"metadata": one}, Idempotency_Key=str(one)) for one in changes]
    replies = await asyncio.gather(*edits)
    assert all(one.items() <= reply.json["metadata"].items() for one, reply in zip(changes, replies, strict=True))
    assert (await call(client, "GET", path)).json["metadata"] == dict.fromkeys("abcdefgh", "1")
