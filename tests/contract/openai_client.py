"""OpenAI's own client, unmodified, and plain HTTP beside it, against a service that executes runs."""

import json
from typing import Any

from openai import AsyncOpenAI

from tests.service import Client, Reply


async def call(client: Client, method: str, path: str, body: Any = None, **headers: str) -> Reply:
    """One request by plain HTTP; the path is whole, the rest as in `Client.call`."""
    fields = {"Authorization": f"Bearer {client.token}"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    if data is not None:
        fields.setdefault("Content-Type", "application/json")
    async with client.session.request(method, f"{client.url}{path}", data=data, headers=fields) as response:
        names = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status, await response.read(), names)


def sdk(client: Client, **options: Any) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{client.url}/v1", api_key=client.token, **options)


async def said(threads: Any, thread: str, **query: Any) -> list[tuple[str, str]]:
    """Role and text of the messages of a thread, oldest first."""
    return [(m.role, m.content[0].text.value) async for m in threads.messages.list(thread, order="asc", **query)]


def refusal(reply: Reply) -> tuple[int, str | None, str]:
    """Status, `param` and message of an error, which has OpenAI's form."""
    assert set(reply.json) == {"error"}, reply
    error = reply.json["error"]
    assert set(error) == {"message", "type", "param", "code"}, error
    assert reply.headers["x-request-id"]
    return reply.status, error["param"], error["message"]
