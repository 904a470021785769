"""Calls of the OpenAI dialect by plain HTTP, as tests of its writes make them."""

from typing import Any

from tests.contract.openai_client import call
from tests.service import Client, Reply

HELLO = {"role": "user", "content": "hello", "metadata": {"a": "1"}}
_ALL = "?order=asc&limit=100"


async def post(client: Client, path: str, body: Any = None, **headers: str) -> Reply:
    return await call(client, "POST", path, body, **headers)


async def opened(client: Client, *messages: Any, **headers: str) -> str:
    return str((await post(client, "/v1/threads", {"messages": messages}, **headers)).json["id"])


async def listed(client: Client, path: str) -> list[Any]:
    """Everything of a list, oldest first."""
    reply = await call(client, "GET", path + _ALL)
    assert reply.status == 200, reply
    found: list[Any] = reply.json if isinstance(reply.json, list) else reply.json["data"]
    return found


def is_replay(again: Reply, first: Reply) -> bool:
    """Whether the second answer is the first one, and says so, and the first one did not."""
    assert (again.status, again.body) == (first.status, first.body)
    assert "idempotency-replayed" not in first.headers
    return again.headers.get("idempotency-replayed") == "true"
