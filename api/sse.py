"""Server-sent events: how they are spelt, and how they are written to a client that may not read.

A client has `WRITE_TIMEOUT` seconds to take each piece. One that does not is cut off: it comes back with the last id it
got. Refused here: knowing what comes next.
"""

import asyncio
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict
from pydantic_core import to_json

from api import edge
from api.dialects.mosoo import encode
from api.negotiation import REQUEST_ID
from shared.effects import EventLogged
from shared.errors import ThreadmillError
from shared.history import ENDS
from shared.ids import EventId, RunId
from shared.metrics import DROPPED_STREAMS

CONNECTED = b": connected\n\n"
COMMENT = b": still here\n\n"
WRITE_TIMEOUT = 15.0  # seconds for a piece to go out
PIECE = 32 << 10  # bytes written at once: a client of 2 KiB/s is slow, not gone
_SMALL = PIECE // 2  # bytes that fit where nothing waits to go out
# Bytes that the system keeps for a client that does not read (it doubles what is asked for): left alone, it lets that
# grow to some megabytes.
_SEND_BUFFER = 64 << 10
_FIELDS = (
    ("Content-Type", "text/event-stream; charset=utf-8"),
    ("Cache-Control", "no-store"),
    ("X-Accel-Buffering", "no"),  # nginx holds back what it takes for a short answer
    ("Server", "threadmill"),
)


class Frame(NamedTuple):
    """One event as it goes out, the same bytes to every client."""

    id: EventId
    data: bytes
    ends: RunId | None  # the run that it is the last event of
    event: EventLogged  # for the dialects that say it otherwise


def frame(event: EventLogged) -> Frame:
    data = b"event: thread.event\nid: %b\ndata: %b\n\n" % (event.id.encode(), to_json(encode.event(event)))
    return Frame(event.id, data, event.run if event.type in ENDS else None, event)


def batches(frames: Sequence[Frame]) -> Iterator[Sequence[Frame]]:
    """The frames in their order, about a piece at a time."""
    start = size = 0
    for end, frame in enumerate(frames, 1):
        size += len(frame.data)
        if size >= PIECE or end == len(frames):
            yield frames[start:end]
            start, size = end, 0


def error(reason: ThreadmillError) -> bytes:
    envelope = {"error": {"code": reason.code, "message": reason.message}}
    return b"event: thread.error\ndata: %b\n\n" % to_json(envelope)


def response(request: web.Request) -> web.StreamResponse:
    """The head of the answer, with the request's id and rate: what the edge adds to a finished one comes too late."""
    fields = CIMultiDict(_FIELDS)
    fields[REQUEST_ID] = request[edge.ID]
    if edge.RATE in request:
        fields.update(request[edge.RATE])
    return web.StreamResponse(headers=fields)


@dataclass(slots=True)
class Outlet:
    """The way to one client."""

    writer: AbstractStreamWriter
    transport: asyncio.Transport
    writing: bool = False  # somebody waits for the client to read

    def __post_init__(self) -> None:
        self.transport.set_write_buffer_limits(high=PIECE)
        if (connection := self.transport.get_extra_info("socket")) is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)

    @property
    def closed(self) -> bool:
        return self.transport.is_closing()

    async def send(self, data: bytes) -> None:
        """Raises ConnectionError where the client is gone, or does not read."""
        if len(data) <= _SMALL and not self.transport.get_write_buffer_size():
            await self.writer.write(data)  # without a bound: what fits never waits
            return
        self.writing = True
        try:
            for start in range(0, len(data), PIECE):
                async with asyncio.timeout(WRITE_TIMEOUT):
                    await self.writer.write(data[start : start + PIECE])
                    await self.writer.drain()
        except TimeoutError:
            DROPPED_STREAMS.inc()
            self.transport.abort()
            raise ConnectionResetError("The client does not read.") from None
        finally:
            self.writing = False

    def cut(self) -> None:
        """Ends a wait for the client, and the connection with it."""
        if self.writing:
            self.transport.abort()
