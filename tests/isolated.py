"""Runners that are run in a child process by the tests: each shows one thing that an author may do."""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from worker.runners import Checkpoint, Context, Custom, Output, RunnerError, TextDelta, Usage


async def tell(ctx: Context) -> AsyncIterator[Output]:
    """What it knows of its run."""
    yield Custom(
        "context",
        {
            "ids": [ctx.thread, ctx.run, ctx.account, ctx.agent],
            "attempt": ctx.attempt,
            "messages": [[m.id, m.role, m.text, m.created_at.isoformat()] for m in ctx.messages],
            "state": ctx.state,
            "decisions": {name: [d.verdict, d.note, d.allowed] for name, d in ctx.decisions.items()},
            "deadline": ctx.deadline and ctx.deadline.isoformat(),
            "ahead": ctx.ahead.total_seconds(),
            "config": dict(ctx.config),
            "key": ctx.key("step"),
        },
    )


async def recall(ctx: Context) -> AsyncIterator[Output]:
    """Reads its history twice, once too much of it."""
    first, second = await asyncio.gather(ctx.history(2), ctx.history(1))
    yield Custom("history", [[m.text for m in first], [m.text for m in second]])
    try:
        await ctx.history(1_001)
    except ValueError as error:
        yield TextDelta(str(error))


async def follow(ctx: Context) -> AsyncIterator[Output]:
    """Takes two messages while it runs, and leaves what comes later."""
    yield TextDelta("ready")
    for _ in range(2):
        yield TextDelta((await ctx.steer.take()).text)
    yield TextDelta(str(ctx.steer.take_nowait()))


async def finish(ctx: Context) -> AsyncIterator[Output]:
    """Goes on until the worker stops."""
    yield TextDelta("ready")
    await ctx.stopping.wait()
    yield TextDelta("stopping")


async def refuse(ctx: Context) -> AsyncIterator[Output]:
    yield TextDelta("so far")
    raise RunnerError("No \ud800 more.", code="author.tired", retryable=True)


async def stumble(ctx: Context) -> AsyncIterator[Output]:
    yield TextDelta("so far")
    raise LookupError("what an author keeps to himself")


async def die(ctx: Context) -> AsyncIterator[Output]:
    """As its configuration says."""
    yield TextDelta("last words")
    match ctx.config["how"]:
        case "exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "fault":
            ctypes.string_at(0)
        case "memory":
            os.abort()
        case "close":
            os.closerange(3, 64)
            time.sleep(60)  # noqa: ASYNC251 - a loop whose sockets are gone can't wait otherwise
        case "orphan":  # what it forked holds its socket open
            if os.fork():
                os._exit(5)
            time.sleep(60)  # noqa: ASYNC251 - as above


class OwnEnd(BaseException):
    """What an author derives from the root of all exceptions."""


async def leave(ctx: Context) -> AsyncIterator[Output]:
    """Raises what is no `Exception`, as its configuration says."""
    yield TextDelta("last words")
    match ctx.config["how"]:
        case "exit":
            sys.exit(4)
        case "own":
            raise OwnEnd("mine")
        case "generator":
            raise GeneratorExit("theirs")


async def babble(ctx: Context) -> AsyncIterator[Output]:
    """Yields, or writes to its worker, what its configuration says."""
    yield TextDelta("before")
    what: Any = ctx.config["what"]
    odd: dict[str, Any] = {
        "text": "just a text",
        "field": TextDelta(5),  # type: ignore[arg-type]  # what a test of garbage is about
        "object": Custom("object", object()),
        "surrogate": TextDelta("\ud800"),
        "long": TextDelta("x" * (17 << 20)),
    }
    if what in odd:
        yield odd[what]
    descriptor = int(sys.argv[1])  # of its line to the worker, had it looked for it
    os.set_blocking(descriptor, True)
    os.write(descriptor, b"x" * (17 << 20) if what == "endless" else b"garbage\n")
    await asyncio.sleep(60)


async def chatter(ctx: Context) -> AsyncIterator[Output]:
    """Prints where a protocol would break, were it on standard output."""
    print("on standard output")  # noqa: T201 - it is what the test is about
    print('{"type":"completed"}')  # noqa: T201 - as above
    os.write(2, b"on standard error\n")
    os.write(1, b"y" * 300_000 + b"\n")
    yield TextDelta("heard")


async def flood(ctx: Context) -> AsyncIterator[Output]:
    """A million deltas; how far it is stands in a file."""
    count = Path(ctx.config["count"])
    yield Custom("pid", os.getpid())
    for number in range(1_000_000):
        yield TextDelta("x")
        if number % 1_000 == 999:
            count.write_text(str(number + 1))  # noqa: ASYNC240 - four bytes


async def block(ctx: Context) -> AsyncIterator[Output]:
    """Blocks its own loop."""
    yield TextDelta("blocking")
    time.sleep(60)  # noqa: ASYNC251 - what the test is about


async def tidy(ctx: Context) -> AsyncIterator[Output]:
    """Cleans up when it is cancelled, which takes a moment; what it yields then is nobody's."""
    try:
        for number in range(1_000_000):
            yield TextDelta(str(number))
            await asyncio.sleep(0.01)
    finally:
        await asyncio.sleep(0.1)
        Path(ctx.config["done"]).write_text("tidy")  # noqa: ASYNC240 - four bytes


async def ignore(ctx: Context) -> AsyncIterator[Output]:
    """Takes no notice of a cancellation, and has a program running."""
    program = subprocess.Popen(["sleep", "600"])  # noqa: ASYNC220 - a runner may
    yield Custom("pids", [os.getpid(), program.pid])
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            continue


async def start_program(ctx: Context) -> AsyncIterator[Output]:
    """Ends, and leaves a program behind."""
    program = subprocess.Popen(["sleep", "600"])  # noqa: ASYNC220 - as above
    yield Custom("pids", [os.getpid(), program.pid])


async def end_program(ctx: Context) -> AsyncIterator[Output]:
    """A program that it started can be asked to end."""
    program = subprocess.Popen(["sleep", "600"])  # noqa: ASYNC220 - as above
    program.terminate()
    yield Custom("status", await asyncio.to_thread(program.wait))


async def look_around(ctx: Context) -> AsyncIterator[Output]:
    yield Custom("environment", dict(os.environ))


async def stand(ctx: Context) -> AsyncIterator[Output]:
    """Gets its process signalled as a supervisor does, and goes on."""
    for name in (signal.SIGINT, signal.SIGTERM):
        os.kill(os.getpid(), name)
        await asyncio.sleep(0)
    yield Usage(1, 1)


async def wait(ctx: Context) -> AsyncIterator[Output]:
    yield Custom("pid", os.getpid())
    if ctx.config.get("blocked"):
        time.sleep(600)  # noqa: ASYNC251 - a child that can't hear that its worker is gone
    await asyncio.sleep(600)


async def keep(ctx: Context) -> AsyncIterator[Output]:
    yield Checkpoint(ctx.state)
