"""The body of a request, written piece by piece: beside one image of some MiB others wait, beside several not."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from pydantic_core import to_json

_LARGE = 64 << 10  # bytes, after which others of the loop have their turn: less costs less than that


async def written(request: dict[str, Any], messages: Sequence[dict[str, Any]]) -> bytes:
    """`request`, which says something, with `messages`, as JSON."""
    pieces = [to_json(request)[:-1], b',"messages":[']
    for number, message in enumerate(messages):
        pieces.append(b"," if number else b"")
        pieces += [piece async for piece in _message(message)]
    return b"".join((*pieces, b"]}"))


async def _message(message: dict[str, Any]) -> AsyncIterator[bytes]:
    """One message, its parts each for itself."""
    parts = message.get("content")
    if not isinstance(parts, list):
        yield to_json(message)
        return
    rest = {name: value for name, value in message.items() if name != "content"}
    yield to_json(rest)[:-1] + b',"content":['
    for number, part in enumerate(parts):
        piece = to_json(part)
        yield b"," + piece if number else piece
        if len(piece) > _LARGE:
            await asyncio.sleep(0)
    yield b"]}"
