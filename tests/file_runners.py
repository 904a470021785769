"""Runners that read the files of their thread and make new ones: named by agents of the tests, inline and isolated."""

import asyncio
import hashlib
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from worker.runners import Context, Custom, File, Output, RunnerError, TextDelta

MADE = b"0123456789" * 30_000


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


async def makes(ctx: Context) -> AsyncIterator[Output]:
    """A file of each kind of content; then what the thread has."""
    path = Path(ctx.config["directory"]) / "there.bin"

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"%d" % number * 100_000

    yield TextDelta("before")
    yield File("text.md", "# Grüße")
    yield File("bytes.dat", b"\0\1", mime_type="Application/X-Own; charset=none")
    yield File("path.bin", path)
    yield File("pieces", pieces())
    yield TextDelta("behind")
    yield Custom("files", [[f.name, f.size, f.mime_type, f.kind] async for f in ctx.files])


async def copies(ctx: Context) -> AsyncIterator[Output]:
    """Reads one file while it makes another one of it."""
    (file,) = [file async for file in ctx.files]

    async def upper() -> AsyncIterator[bytes]:
        async for piece in file.open():
            yield piece.upper()

    yield File(f"upper {file.name}", upper())


async def makes_badly(ctx: Context) -> AsyncIterator[Output]:
    """As the message says."""

    async def breaks() -> AsyncIterator[bytes]:
        yield b"so far"
        raise RunnerError("Out of ink.", code="printer.empty", retryable=True)

    async def texts() -> AsyncIterator[Any]:
        yield "no bytes"

    match ctx.messages[-1].text:
        case "breaks":
            yield File("a", breaks())
        case "texts":
            yield File("a", texts())
        case "path":
            yield File("../a", b"")
        case "content":
            yield File("a", 5)  # type: ignore[arg-type]  # what the test is about
        case "large":
            yield File("a", b"x" * 2_000)
        case "large pieces":
            yield File("a", _repeated(b"x" * 600, 2))


async def makes_once_in_two_attempts(ctx: Context) -> AsyncIterator[Output]:
    """The same file in each attempt, and one that differs; the first attempt never ends."""
    yield TextDelta("first ")
    yield File("same.txt", "the same")
    if ctx.attempt == 1:
        yield TextDelta("made")
        await asyncio.Event().wait()
    yield File("other.txt", f"of attempt {ctx.attempt}")


async def _repeated(data: bytes, times: int) -> AsyncIterator[bytes]:
    for _ in range(times):
        yield data


async def makes_one(ctx: Context) -> AsyncIterator[Output]:
    yield File("made.bin", MADE)
    yield TextDelta("made")


async def makes_without_end(ctx: Context) -> AsyncIterator[Output]:
    async def begun() -> AsyncIterator[bytes]:
        yield MADE
        await asyncio.Event().wait()

    yield TextDelta("I make it.")
    yield File("never.bin", begun())


async def takes(ctx: Context) -> AsyncIterator[Output]:
    """A message, with what is attached to it."""
    yield TextDelta("I wait.")
    message = await ctx.steer.take()
    (file,) = await ctx.files.attached(message.files)
    yield TextDelta(f"{message.text}: {(await file.read()).decode()}")


async def breaks_off(ctx: Context) -> AsyncIterator[Output]:
    """In a child: says to its worker what no child of ours would, in the middle of a file or where none is."""
    pipe = int(sys.argv[1])

    def tell(line: bytes) -> None:
        os.set_blocking(pipe, True)
        os.write(pipe, line + b"\n")

    async def begun() -> AsyncIterator[bytes]:
        yield MADE
        await asyncio.sleep(0.05)  # in which it is sent
        match ctx.messages[-1].text:
            case "dies":
                os._exit(3)
            case "ends":
                tell(b'{"type":"completed"}')
            case "garbage":
                tell(b'{"type":"file_piece","data":"no base64!"}')
        await asyncio.sleep(60)

    if ctx.messages[-1].text == "outside":
        tell(b'{"type":"file_piece","data":""}')
        await asyncio.sleep(60)
    yield File("never.bin", begun())
