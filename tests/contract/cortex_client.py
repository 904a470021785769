"""What the tests of Cortex say and hear: requests under `/api/v2`, server-sent events taken apart."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.agents import Stage
from tests.service import Client, Reply

THREADS = "/api/v2/cortex/threads"
RUN = "/api/v2/cortex/agent:run"
SOON = 15  # seconds
_DELTA = b"event: response.text.delta\n"


@dataclass(frozen=True, slots=True)
class Cortex:
    """A client that knows this dialect."""

    client: Client

    async def call(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """`body` is bytes as they are, or a value."""
        async with self._asked(method, path, body, headers) as response:
            names = {name.lower(): value for name, value in response.headers.items()}
            return Reply(response.status, await response.read(), names)

    async def new(self, **fields: Any) -> int:
        """The number of a new thread, whatever the shapes."""
        reply = await self.call("POST", THREADS, fields)
        assert reply.status == 200, reply
        return int(reply.json["thread_id"] if isinstance(reply.json, dict) else reply.json)

    async def metadata(self, thread: int) -> dict[str, Any]:
        return dict((await self.describe(thread))["metadata"])

    async def describe(self, thread: int, query: str = "") -> dict[str, Any]:
        reply = await self.call("GET", f"{THREADS}/{thread}{query}")
        assert reply.status == 200, reply
        return dict(reply.json)

    async def ask(self, text: str, path: str = RUN, **fields: Any) -> dict[str, Any]:
        """The whole answer to a message."""
        reply = await self.call("POST", path, asking(text, stream=False, **fields))
        assert reply.status == 200, reply
        return dict(reply.json)

    @asynccontextmanager
    async def streaming(
        self, body: dict[str, Any], path: str = RUN, **headers: str
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        async with self._asked("POST", path, body, headers) as response:
            assert response.status == 200, await response.text()
            yield response

    async def stream(self, body: dict[str, Any], path: str = RUN, **headers: str) -> list[tuple[str, Any]]:
        """Names and data of all that comes."""
        async with self.streaming(body, path, **headers) as response:
            return frames((await response.read()).decode())

    def _asked(self, method: str, path: str, body: Any, headers: dict[str, str]) -> Any:
        fields = {"Authorization": f"Bearer {self.client.token}"}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if data is not None:
            fields.setdefault("Content-Type", "application/json")
        timeout = aiohttp.ClientTimeout(total=SOON)
        return self.client.session.request(
            method, f"{self.client.url}{path}", data=data, headers=fields, timeout=timeout
        )


def asking(text: str, **fields: Any) -> dict[str, Any]:
    """The body of an agent:run."""
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": text}]}], **fields}


def deciding(thread: int, *decisions: tuple[str, str], **fields: Any) -> dict[str, Any]:
    """The same with decisions: ids of requests, and words."""
    content = [
        {
            "type": "tool_result",
            "tool_result": {"tool_use_id": request, "content": [{"type": "json", "json": {"decision": word}}]},
        }
        for request, word in decisions
    ]
    return {"thread_id": thread, "messages": [{"role": "user", "content": content}], **fields}


def frames(text: str) -> list[tuple[str, Any]]:
    """Each `event: <name>` and `data: <one line of JSON>`, with their spaces; comments are left out."""
    found = []
    for block in text.split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        if lines:
            name, data = lines
            assert name.startswith("event: "), block
            assert data.startswith("data: "), block
            found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def told(role: str, thread: int, message: int) -> dict[str, Any]:
    """A frame of metadata, as the published pages have it and as clients of the live service read it."""
    known = {"role": role, "thread_id": thread, "message_id": message}
    return {**known, "metadata": known}


def texts(answer: dict[str, Any]) -> list[str]:
    return [part["text"] for part in answer["content"] if part["type"] == "text"]


async def first_words(response: aiohttp.ClientResponse) -> None:
    """Reads a stream up to its first delta."""
    while await response.content.readline() != _DELTA:
        assert not response.content.at_eof()


async def behind_first_words(response: aiohttp.ClientResponse) -> list[tuple[str, Any]]:
    """That delta, and all that comes after it."""
    return frames((_DELTA + await response.read()).decode())


async def numbers(stage: Stage) -> list[int]:
    """Of all messages, in their order."""
    rows = await stage.service.pool.fetch("select num from messages order by num")
    return [row["num"] for row in rows]
