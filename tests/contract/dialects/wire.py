"""Server-sent events as Cortex and OpenAI send them, read while they come."""

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

DONE = "[DONE]"


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, Any]]:
    """Each `event: <name>` with its one line of data, read; comments are left out."""
    name = ""
    async for raw in response.content:
        line = raw.decode().removesuffix("\n")
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            data = line.removeprefix("data: ")
            yield name, data if data == DONE else json.loads(data)
        else:
            assert line == "" or line.startswith(":"), line
