"""Runners that do what authors should not, and some that show one thing: named by agents of the tests."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from worker.runners import (
    Checkpoint,
    Context,
    MessageEnd,
    Output,
    PermissionRequest,
    RunnerError,
    TextDelta,
    ThinkingDelta,
    ToolCompleted,
    ToolStarted,
    Usage,
)

FLOOD = 1_000_000  # deltas
RECITED = 60_000


@dataclass(slots=True)
class Gate:
    """Where runners of a test's own process wait until it lets them go, all at one moment."""

    waiting: list[str] = field(default_factory=list)  # what was said to those that came
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)


gate = Gate()  # each test that uses it puts one of its own here: an event belongs to one loop


async def flood(ctx: Context) -> AsyncIterator[Output]:
    """A million deltas, without ever waiting."""
    for n in range(FLOOD):
        yield TextDelta(f"{n % 10}")


async def raises(ctx: Context) -> AsyncIterator[Output]:
    yield TextDelta("so far")
    raise KeyError("secret of the author")


async def refuses(ctx: Context) -> AsyncIterator[Output]:
    yield TextDelta("so far")
    raise RunnerError("Out of tea.", code="kitchen.empty", retryable=True)


async def cut(ctx: Context) -> AsyncIterator[Output]:
    """One message that is whole, and one that is not."""
    yield TextDelta("whole")
    yield MessageEnd()
    yield TextDelta("cut sh")
    raise RunnerError("Out of tea.", code="kitchen.empty")


async def garbage(ctx: Context) -> AsyncIterator[Any]:
    yield {"type": "text_delta", "text": "not one of ours"}


async def hangs(ctx: Context) -> AsyncIterator[Output]:
    yield TextDelta("I think, ")
    await asyncio.Event().wait()


async def tells_the_time(ctx: Context) -> AsyncIterator[Output]:
    yield TextDelta(ctx.now().isoformat())


async def ignores(ctx: Context) -> AsyncIterator[Output]:
    """Goes on whatever it is told, for half a minute at most."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            yield TextDelta("no. ")
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:  # what an author should not do
            continue


async def deaf(ctx: Context) -> AsyncIterator[Output]:
    """Says one thing, then takes no cancellation, for longer than it is waited for."""
    yield TextDelta("no. ")
    until = time.monotonic() + 8
    while time.monotonic() < until:
        try:
            await asyncio.sleep(0.2)
        except asyncio.CancelledError:
            continue


async def nul(ctx: Context) -> AsyncIterator[Output]:
    """Text that Postgres can't keep."""
    yield TextDelta("a\x00b\ud800c")


async def tools(ctx: Context) -> AsyncIterator[Output]:
    """One of each output."""
    yield ThinkingDelta("hm")
    yield ToolStarted("call-1", "search", {"q": "tea"})
    yield ToolCompleted("call-1", "found")
    yield ToolStarted("call-2", "search", {"q": "milk"})
    yield ToolCompleted("call-2", "no milk", error=True)
    yield TextDelta("first")
    yield MessageEnd()
    yield TextDelta("second")
    yield Usage(3, 4)
    yield Usage(10, 20)


async def asks_two(ctx: Context) -> AsyncIterator[Output]:
    """Two permissions at once, then a third one."""
    if not ctx.decisions:
        yield Checkpoint({"asked": 2})
        yield PermissionRequest("a", "First?", tool="t", input={"n": 1})
        yield PermissionRequest("b", "Second?")
        return
    assert ctx.state == {"asked": 2}, ctx.state
    if "c" not in ctx.decisions:
        yield PermissionRequest("c", "Third?", expires_in=3600)
        return
    yield TextDelta(" ".join(f"{key}={one.verdict}" for key, one in sorted(ctx.decisions.items())))
    yield TextDelta(f" note={ctx.decisions['a'].note} attempt={ctx.attempt}")


async def asks_briefly(ctx: Context) -> AsyncIterator[Output]:
    if not ctx.decisions:
        yield PermissionRequest("a", "Quick?", expires_in=0.1)
        return
    yield TextDelta(str(ctx.decisions["a"].verdict))


async def asks_again(ctx: Context) -> AsyncIterator[Output]:
    yield PermissionRequest("a", "Once?")


async def steered(ctx: Context) -> AsyncIterator[Output]:
    """Says what arrives while it runs, until that is `stop`."""
    yield TextDelta("ready")
    async for message in ctx.steer:
        yield TextDelta(f" {message.text}")
        if message.text == "stop":
            return


async def remembers_all(ctx: Context) -> AsyncIterator[Output]:
    """Tells all of the history, slowly enough for messages to queue up behind it."""
    await asyncio.sleep(0.3)
    history = await ctx.history()
    yield TextDelta(str(sum(message.role == "assistant" for message in history)))
    yield TextDelta(":" + ",".join(message.text for message in history if message.role == "user"))


async def asks_slowly(ctx: Context) -> AsyncIterator[Output]:
    """Works for 0.8 s, asks, works, asks, for ever."""
    await asyncio.sleep(0.8)
    yield PermissionRequest(str(len(ctx.decisions)), "Go on?")


async def recalls(ctx: Context) -> AsyncIterator[Output]:
    """Tells all of the history before its message, in brackets."""
    history = await ctx.history()
    yield TextDelta(f"[{'|'.join(f'{message.role}:{message.text}' for message in history)}]")


async def recites(ctx: Context) -> AsyncIterator[Output]:
    """More than fits between a run and a client that does not read."""
    for n in range(RECITED):
        yield TextDelta(f"{n} ")


async def remembers(ctx: Context) -> AsyncIterator[Output]:
    """Tells the history before its message."""
    history = await ctx.history(2)
    yield TextDelta("|".join(f"{message.role}:{message.text}" for message in history))


async def counts(ctx: Context) -> AsyncIterator[Output]:
    """Thirty numbers with a checkpoint at the tenth, slowly."""
    for n in range(ctx.state or 0, 30):
        if n == 10:
            yield Checkpoint(n)
        yield TextDelta(f"{n} ")
        await asyncio.sleep(0.1)


async def differs(ctx: Context) -> AsyncIterator[Output]:
    """Another text at each attempt."""
    yield TextDelta(f"attempt {ctx.attempt}")
    if ctx.attempt == 1:
        await asyncio.Event().wait()


async def checks(ctx: Context) -> AsyncIterator[Output]:
    """Comes to a checkpoint ten times a second, thirty times."""
    for n in range(ctx.state or 0, 30):
        yield TextDelta(f"{n} ")
        yield Checkpoint(n + 1)
        await asyncio.sleep(0.1)


async def checks_the_same(ctx: Context) -> AsyncIterator[Output]:
    """The same checkpoint at each attempt, and no end."""
    yield Checkpoint(1)
    await asyncio.Event().wait()


async def checks_another(ctx: Context) -> AsyncIterator[Output]:
    """Another checkpoint at each attempt, and no end."""
    yield Checkpoint((ctx.state or 0) + 1)
    await asyncio.Event().wait()


async def shouts_at_once(ctx: Context) -> AsyncIterator[Output]:
    """Speaks when the gate is opened, and goes on until it is to end: what it says is not its last append."""
    gate.waiting.append(ctx.messages[-1].text)
    await gate.opened.wait()
    yield TextDelta(ctx.messages[-1].text.upper())
    await gate.ended.wait()


async def shouts_and_leaves(ctx: Context) -> AsyncIterator[Output]:
    """Returns as many turns of the loop after its text as it is told, while that is being written."""
    yield TextDelta("THE WHOLE ANSWER")
    for _ in range(int(ctx.messages[-1].text)):
        await asyncio.sleep(0)


async def ends_a_message(ctx: Context) -> AsyncIterator[Output]:
    """The append of a message's end holds nothing else."""
    yield TextDelta("m0")
    yield Checkpoint(1)  # waits until it is written
    yield MessageEnd()
    await gate.ended.wait()
    yield TextDelta("m1")


async def asks_many(ctx: Context) -> AsyncIterator[Output]:
    """As many permissions at once as its message says."""
    for n in range(int(ctx.messages[-1].text)):
        yield PermissionRequest(f"r{n}", f"May I {n}?")


async def says_slowly(ctx: Context) -> AsyncIterator[Output]:
    """A word, and after what an append may take the rest."""
    yield TextDelta("once")
    await asyncio.sleep(2)
    yield TextDelta(", and no more")


async def waits_for_a_word(ctx: Context) -> AsyncIterator[Output]:
    """Says what it answers; goes on for ever unless it is steered."""
    yield TextDelta(ctx.messages[-1].text)
    await ctx.steer.take()


_at_work = 0  # runs of this process that are under way


async def counts_those_at_work(ctx: Context) -> AsyncIterator[Output]:
    """How many are."""
    global _at_work  # noqa: PLW0603 - of all runs of this process, which is what it counts
    _at_work += 1
    try:
        await asyncio.sleep(0.05)
        yield TextDelta(str(_at_work))
    finally:
        _at_work -= 1
