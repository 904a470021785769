"""The head of a request must be whole in time; silence between two requests, or a slow body, is another case."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp.http_exceptions import InvalidURLError

from api import server
from shared.settings import Settings
from tests.service import running_api

HALF = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Half"
WHOLE = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
IN_TIME = 0.4  # seconds
CLOSED = 3.0  # seconds in which one that is late must be closed


@pytest.fixture
async def address(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[str, int]]:
    monkeypatch.setattr(server, "HEAD_TIMEOUT", IN_TIME)
    monkeypatch.setattr(server, "LOOK_EVERY", 0.05)
    async with running_api(settings) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        yield host, int(port)


@asynccontextmanager
async def connected(address: tuple[str, int]) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*address)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def closed(reader: asyncio.StreamReader) -> bytes:
    """What comes until the connection is closed."""
    async with asyncio.timeout(CLOSED):
        try:
            return await reader.read()
        except ConnectionResetError:  # it was closed while we were sending
            return b""


async def answered(reader: asyncio.StreamReader) -> bytes:
    """One answer to a GET of /healthz."""
    async with asyncio.timeout(CLOSED):
        return await reader.readuntil(b'{"status":"ok"}')


async def test_connections_that_never_send_a_whole_head_are_closed(address: tuple[str, int]) -> None:
    for begun in (b"", b"G", HALF):
        async with connected(address) as (reader, writer):
            writer.write(begun)
            assert await closed(reader) == b""


async def test_a_head_that_trickles_in_is_not_kept_alive_by_that(address: tuple[str, int]) -> None:
    async with connected(address) as (reader, writer):
        ended, begun = asyncio.create_task(closed(reader)), False
        while not ended.done():
            writer.write(b"X-Y: z\r\n" if begun else HALF)
            begun = True
            await asyncio.wait([ended], timeout=0.02)
        assert ended.result() == b""


async def test_half_a_head_behind_a_whole_request_is_closed_too(address: tuple[str, int]) -> None:
    async with connected(address) as (reader, writer):
        writer.write(WHOLE)
        await answered(reader)
        writer.write(HALF)
        assert await closed(reader) == b""


async def test_a_connection_that_is_silent_between_two_requests_is_kept(address: tuple[str, int]) -> None:
    async with connected(address) as (reader, writer), connected(address) as (other, late):
        writer.write(HALF)
        writer.write(b": x\r\n\r\n")  # in two pieces, and in time
        await answered(reader)
        late.write(HALF)
        await closed(other)  # longer than a head may take
        writer.write(WHOLE)
        assert (await answered(reader)).startswith(b"HTTP/1.1 200")


async def test_a_body_has_a_bound_of_its_own(address: tuple[str, int]) -> None:
    head = b"POST /api/v1/x HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
    async with connected(address) as (reader, writer), connected(address) as (other, late):
        writer.write(head)
        late.write(HALF)
        await closed(other)
        writer.write(b"{}" + WHOLE)
        assert (await answered(reader)).startswith(b"HTTP/1.1 404")


async def test_what_is_no_http_leaves_nothing_behind_whatever_follows_it(address: tuple[str, int]) -> None:
    """Not even for the collector, which has its turn after thousands of requests: each may have brought a mebibyte."""
    gc.collect()
    gc.disable()
    try:
        for _ in range(5):
            async with connected(address) as (reader, writer):
                writer.write(b"POST no-path HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n" + b"{" * 1_000_000)
                await closed(reader)
        await asyncio.sleep(0)
        assert not [one for one in gc.get_objects() if isinstance(one, (server._Connection, InvalidURLError))]
    finally:
        gc.enable()
