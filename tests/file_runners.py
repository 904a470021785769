"""Runners that read the files of their thread and make new ones: named by agents of the tests, inline and isolated."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

from worker.runners import Context, Custom, Output, RunnerError, TextDelta


async def lists(ctx: Context) -> AsyncIterator[Output]:
    """What the thread has, and which message has what."""
    yield Custom("files", [[f.id, f.name, f.size, f.mime_type, f.kind] async for f in ctx.files])
    said = [*await ctx.history(), *ctx.messages]
    yield Custom("messages", [[message.text, list(message.files)] for message in said])
    attached = [file for message in said for file in await ctx.files.attached(message.files)]
    yield Custom("attached", [file.name for file in attached])


async def reads(ctx: Context) -> AsyncIterator[Output]:
    """Each file, in pieces."""
    async for file in ctx.files:
        found, longest = hashlib.sha256(), 0
        async for piece in file.open():
            found.update(piece)
            longest = max(longest, len(piece))
        yield Custom(file.name, [found.hexdigest(), longest <= 512 << 10])


async def reads_parts(ctx: Context) -> AsyncIterator[Output]:
    """The end of a file, the beginning of it and no more, and all of it where it is small; two readers at once."""
    (file,) = [file async for file in ctx.files]
    tail, whole = await asyncio.gather(_all(file.open(file.size - 3)), file.read())
    async with aclosing(file.open()) as pieces:
        first = await anext(pieces)
    yield Custom("parts", [tail.decode(), whole == first, len(await _all(file.open(file.size)))])
    try:
        await file.read(limit=file.size - 1)
    except RunnerError as error:
        yield Custom("refused", error.code)


async def reads_named(ctx: Context) -> AsyncIterator[Output]:
    """The file whose id the message says."""
    file = await ctx.files.get(ctx.messages[-1].text)
    yield TextDelta((await file.read()).decode())


async def reads_late(ctx: Context) -> AsyncIterator[Output]:
    """A file that it heard of, once somebody says so."""
    (file,) = [file async for file in ctx.files]
    yield TextDelta("I have heard of it.")
    await ctx.steer.take()
    yield TextDelta((await file.read()).decode())


async def _all(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


async def stops_reading(ctx: Context) -> AsyncIterator[Output]:
    """Asks for much at once, and never looks whether it has come."""
    (file,) = [file async for file in ctx.files]
    readers = [asyncio.create_task(file.read(8 << 20)) for _ in range(20)]
    yield TextDelta(f"I wait for {len(readers)}.")
    await asyncio.sleep(0.01)  # in which all of it is sent
    time.sleep(60)  # noqa: ASYNC251 - a loop that stands still is what it is about
