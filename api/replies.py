"""Responses that carry JSON."""

import asyncio
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict
from pydantic_core import to_json

from shared.metrics import DROPPED_ANSWERS

# Without a Server of ours aiohttp tells its version and Python's.
_FIELDS = (("Content-Type", "application/json; charset=utf-8"), ("Server", "threadmill"))

LARGE = 256 << 10  # bytes; what is smaller fits into the system's buffers, or nearly
PATIENCE = 60.0  # seconds that a client has to take a large answer, which the process holds until then; and more
SLOWEST = 64 << 10  # by its size: bytes a second


def document(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return text(to_json(value), status, headers)


def text(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """`body` is JSON already, in UTF-8."""
    fields = CIMultiDict(_FIELDS)
    if headers:
        fields.update(headers)
    kind = web.Response if len(body) < LARGE else Large
    return kind(body=body, status=status, headers=fields)


class Large(web.Response):
    """An answer that must be taken in time: aiohttp would wait for its reader for ever."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        self._transport = request.transport
        return await super().prepare(request)

    async def write_eof(self, data: bytes = b"") -> None:
        try:
            async with asyncio.timeout(PATIENCE + (self.content_length or 0) / SLOWEST):
                await super().write_eof(data)
        except TimeoutError:
            DROPPED_ANSWERS.inc()
            if self._transport is not None:
                self._transport.abort()
            raise ConnectionResetError("The client does not read.") from None
