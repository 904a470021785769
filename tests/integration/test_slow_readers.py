"""Clients of streams that read slowly, or not at all: what they cost, how they end, and that they lose nothing."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from aiohttp import web

from api import replies, sse, streams
from api.app import create_app
from api.server import Runner
from shared.metrics import DROPPED_ANSWERS, DROPPED_STREAMS
from shared.settings import Settings
from tests.service import Client
from tests.stage import SOON, Stage, following, running_stage, said, until_said
from tests.watch import until


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    async with running_stage(settings) as stage:
        yield stage


@pytest.fixture
async def client(stage: Stage) -> Client:
    return await stage.service.client("acme")


def dropped() -> float:
    return float(DROPPED_STREAMS._value.get())


@asynccontextmanager
async def deaf(client: Client, thread: str, path: str | None = None) -> AsyncIterator[asyncio.StreamReader]:
    """A client that reads nothing until it is told to; its own buffers are small."""
    host, _, port = client.url.removeprefix("http://").partition(":")
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=plain, limit=1 << 12)
    path = path or f"/api/v1/threads/{thread}/events/stream"
    writer.write(f"GET {path} HTTP/1.0\r\nAuthorization: Bearer {client.token}\r\n\r\n".encode())
    try:
        yield reader
    finally:
        writer.transport.abort()


async def test_a_reader_that_does_not_read_is_cut_off_and_loses_nothing(
    stage: Stage, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sse.WRITE_TIMEOUT == 15
    monkeypatch.setattr(sse, "WRITE_TIMEOUT", 0.5)
    thread, run = await stage.executing(client)
    before = dropped()
    async with deaf(client, thread) as reader:
        await reader.readuntil(b": connected\n\n")
        for n in range(40):
            await stage.say(thread, run, [f"{n:06} " + "x" * 20_000])

        async def look() -> bool:
            return dropped() > before

        await until(look)
        got = await all_of(reader)
    whole = [part for part in got.decode().split("\n\n")[:-1] if part.startswith("event: ")]
    events = [sse_data(part) for part in whole]
    text = await stage.text(thread)
    assert text.startswith(said(events))
    assert len(said(events)) < len(text)
    async with following(client, thread, Last_Event_ID=events[-1]["id"]) as again:
        await until_said(again, text[len(said(events)) :])


async def test_a_large_answer_that_nobody_takes_is_given_up(
    stage: Stage, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert replies.PATIENCE == 60
    monkeypatch.setattr(replies, "PATIENCE", 0.5)
    monkeypatch.setattr(replies, "SLOWEST", 1 << 40)
    thread, run = await stage.executing(client)
    for n in range(40):
        await stage.say(thread, run, [f"{n:06} " + "x" * 200_000])
    async with deaf(client, thread, f"/api/v1/threads/{thread}/events?limit=1000") as reader:
        got = await reader.readuntil(b"\r\n\r\n")
        length = int(re.findall(rb"Content-Length: (\d+)", got)[0])
        assert length > 8_000_000
        await until(partial(given_up, DROPPED_ANSWERS._value.get()))
        assert len(await all_of(reader)) < length


async def given_up(before: float) -> bool:
    return bool(DROPPED_ANSWERS._value.get() > before)


async def all_of(reader: asyncio.StreamReader) -> bytes:
    """What came before the connection was cut."""
    got = b""
    try:
        while piece := await reader.read(1 << 16):
            got += piece
    except ConnectionError:
        pass
    return got


def sse_data(part: str) -> Any:
    return json.loads(part.partition("\ndata: ")[2])


async def test_a_slow_reader_gets_all_of_it_at_its_own_pace(
    stage: Stage, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than its queue holds, several times: what had no room is read from the log."""
    monkeypatch.setattr(streams, "FRAMES", 8)
    thread, run = await stage.executing(client)
    async with deaf(client, thread) as reader:
        await reader.readuntil(b": connected\n\n")
        got = b""
        for n in range(60):
            await stage.say(thread, run, [f"{n:06}.{m} " + "x" * 2_000 for m in range(10)])
            got += await reader.read(1 << 12)
        text = await stage.text(thread)
        async with asyncio.timeout(30):
            while b"000059.9 " not in got or not got.endswith(b"\n\n"):
                got += await reader.read(1 << 16)
        events = [sse_data(part) for part in got.decode().split("\n\n") if part.startswith("event: ")]
    assert said(events) == text


async def test_streams_end_at_once_when_the_process_ends(settings: Settings, stage: Stage, client: Client) -> None:
    thread, run = await stage.executing(client)
    runner = Runner(await create_app(settings.model_copy(update={"ring": False})), shutdown_timeout=30)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    other = replace(client, url=f"http://127.0.0.1:{runner.addresses[0][1]}")
    async with following(other, thread, "?limit=1") as open_one, deaf(other, thread) as reader:
        await reader.readuntil(b": connected\n\n")
        await open_one.event()
        reading = asyncio.create_task(open_one.rest())
        for _ in range(60):
            await stage.say(thread, run, ["x" * 20_000])
        async with asyncio.timeout(SOON):
            await runner.cleanup()
            assert (await stage.text(thread)).startswith(said(await reading))


def test_a_queue_holds_no_more_than_it_may() -> None:
    assert streams.FRAMES <= 512
    assert streams.SIZE <= 256 << 10
