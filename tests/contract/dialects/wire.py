"""Server-sent events as Cortex and OpenAI send them, read while they come."""

from collections.abc import AsyncIterable, AsyncIterator
from typing import Any

import aiohttp
from pydantic_core import from_json

Frame = tuple[str, Any]

DONE = "[DONE]"
UNREADABLE = "unreadable"  # the name of a frame that holds a line which is none of such a stream


async def frames(lines: AsyncIterable[bytes]) -> AsyncIterator[Frame]:
    """Each `event: <name>` with its one line of data, read; comments are left out. A last line without its end was cut
    off, and nothing comes of it; any other that is none of such a stream is `UNREADABLE`.
    """
    name = ""
    async for raw in lines:
        if not raw.endswith(b"\n"):
            return
        line = raw[:-1].decode(errors="replace")
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield _read(name, line.removeprefix("data: "))
        elif line and not line.startswith(":"):
            yield UNREADABLE, line


def _read(name: str, data: str) -> Frame:
    try:
        return name, data if data == DONE else from_json(data)
    except ValueError:
        return UNREADABLE, data


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[Frame]:
    """The same of a stream that must be whole, and readable."""
    async for name, data in frames(response.content):
        assert name != UNREADABLE, data
        yield name, data
