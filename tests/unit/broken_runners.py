"""Runners that are wrong on purpose: for each rule of the conformance suite those that break it, and how it says so."""

import asyncio
import threading
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

from worker.runners import (
    Checkpoint,
    Context,
    Decision,
    Output,
    PermissionRequest,
    RunnerError,
    TextDelta,
    ToolStarted,
    Usage,
    Verdict,
)

LET_GO = threading.Event()  # of what a test left hanging
_tasks: set[asyncio.Task[None]] = set()
_told: list[str] = []
_latest = {"text": ""}


async def no_generator(ctx: Context) -> None:
    await asyncio.sleep(0)


async def garbage(ctx: Context) -> AsyncIterator[Any]:
    yield "Hello"


async def a_wrong_field(ctx: Context) -> AsyncIterator[Output]:
    yield Usage(input_tokens=-1)


async def raises(ctx: Context) -> AsyncIterator[Output]:
    yield TextDelta("a")
    raise KeyError("model")


async def hangs(ctx: Context) -> AsyncIterator[Output]:
    yield TextDelta("a")
    await asyncio.Event().wait()


async def asks_the_same_twice(ctx: Context) -> AsyncIterator[Output]:
    yield PermissionRequest("a", "First?")
    yield PermissionRequest("a", "Second?")


async def asks_again(ctx: Context) -> AsyncIterator[Output]:
    yield PermissionRequest("a", "May I?")


async def hangs_after_asking(ctx: Context) -> AsyncIterator[Output]:
    yield PermissionRequest("a", "May I?")
    await asyncio.Event().wait()


async def floods_after_asking(ctx: Context) -> AsyncIterator[Output]:
    yield PermissionRequest("a", "May I?")
    while True:
        yield TextDelta("Well? ")


async def asks_for_ever(ctx: Context) -> AsyncIterator[Output]:
    yield PermissionRequest(str(len(ctx.decisions)), "May I?")


async def _decision(ctx: Context) -> AsyncIterator[Decision | PermissionRequest]:
    yield ctx.decisions.get("a") or PermissionRequest("a", "May I?", tool="rm", input={"path": "/"})


async def fails_when_allowed(ctx: Context) -> AsyncIterator[Output]:
    async for found in _decision(ctx):
        if isinstance(found, PermissionRequest):
            yield found
        elif found.verdict is Verdict.ALLOWED:
            raise RunnerError("I did not think of that.", code="mine.allowed")


async def fails_when_rejected(ctx: Context) -> AsyncIterator[Output]:
    async for found in _decision(ctx):
        if isinstance(found, PermissionRequest):
            yield found
        elif found.verdict is Verdict.REJECTED:
            raise PermissionError("no")


async def fails_when_expired(ctx: Context) -> AsyncIterator[Output]:
    async for found in _decision(ctx):
        if isinstance(found, PermissionRequest):
            yield found
        elif found.verdict is Verdict.EXPIRED:
            raise TimeoutError("nobody answered")


async def does_it_anyway(ctx: Context) -> AsyncIterator[Output]:
    async for found in _decision(ctx):
        if isinstance(found, PermissionRequest):
            yield found
        else:
            yield ToolStarted("1", "rm", {"path": "/"})


async def rolls_dice_for_ids(ctx: Context) -> AsyncIterator[Output]:
    yield ToolStarted(uuid.uuid4().hex, "dice")


async def can_not_read_its_state(ctx: Context) -> AsyncIterator[Output]:
    if ctx.state is not None:
        yield TextDelta(ctx.state["place"])
    yield Checkpoint({"position": 1})


async def ignores_interrupts(ctx: Context) -> AsyncIterator[Output]:
    yield TextDelta("a")
    until = time.monotonic() + 7  # longer than what it gets to stop
    while time.monotonic() < until:
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            continue


async def yields_when_closed(ctx: Context) -> AsyncIterator[Output]:
    try:
        yield TextDelta("a")
    finally:
        yield TextDelta("but")


async def raises_when_closed(ctx: Context) -> AsyncIterator[Output]:
    try:
        yield TextDelta("a")
    finally:
        raise OSError("disk full")


async def leaves_a_task(ctx: Context) -> AsyncIterator[Output]:
    _tasks.add(asyncio.create_task(asyncio.sleep(600), name="left behind"))
    yield TextDelta("a")


async def sleeps_with_the_loop(ctx: Context) -> AsyncIterator[Output]:
    yield TextDelta("a")
    time.sleep(0.15)  # noqa: ASYNC251 - what the rule is about


async def never_gives_the_loop_back(ctx: Context) -> AsyncIterator[Output]:
    yield TextDelta("a")
    LET_GO.wait(60)


async def remembers_others(ctx: Context) -> AsyncIterator[Output]:
    _told.append(ctx.messages[0].text)
    yield TextDelta(" ".join(_told))


async def keeps_one_text_for_all(ctx: Context) -> AsyncIterator[Output]:
    _latest["text"] = ctx.messages[0].text
    await asyncio.sleep(0.01)
    yield TextDelta(str(len(_latest["text"])))


# (rule, runner, what its finding says)
BROKEN: list[tuple[str, Any, str]] = [
    ("generator", no_generator, "without a `yield`"),
    ("outputs", garbage, "not 'str'"),
    ("outputs", a_wrong_field, "Usage.input_tokens must be"),
    ("ends", raises, "KeyError: 'model'"),
    ("ends", hangs, "expired with run.expired"),
    ("ends", asks_for_ever, "more than 100 permissions"),
    ("asks_once", asks_the_same_twice, "'a' was asked already"),
    ("asks_once", asks_again, "'a' was decided"),
    ("returns_after_asking", hangs_after_asking, "did not return within 0.5 s"),
    ("returns_after_asking", floods_after_asking, "yielded 1000 outputs"),
    ("allowed", fails_when_allowed, "failed with mine.allowed"),
    ("rejected", fails_when_rejected, "PermissionError: no"),
    ("expired", fails_when_expired, "TimeoutError: nobody"),
    ("refusals", does_it_anyway, "'rm' was started"),
    ("stable_ids", rolls_dice_for_ids, "the second one"),
    ("resumes", can_not_read_its_state, "KeyError: 'place'"),
    ("interrupts", ignores_interrupts, "did not stop within 5 s"),
    ("closes", yields_when_closed, "ignored GeneratorExit"),
    ("closes", raises_when_closed, "OSError: disk full"),
    ("leaves_no_task", leaves_a_task, "left behind"),
    ("never_blocks", sleeps_with_the_loop, "kept the loop for 1"),
    ("never_blocks", never_gives_the_loop_back, "did not come back"),
    ("shares_nothing", remembers_others, "only another run was told"),
    ("shares_nothing", keeps_one_text_for_all, "something else than alone"),
]
