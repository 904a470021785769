"""Runners that try to end more than their run: what no `except Exception` catches."""

import asyncio
from collections.abc import AsyncIterator

from worker.runners import Context, Output, TextDelta


class Unexpected(BaseException):
    """No Exception: what `except Exception` lets through."""


async def raises_base(ctx: Context) -> AsyncIterator[Output]:
    yield TextDelta("so far")
    raise Unexpected("secret of the author")


async def presses_ctrl_c(ctx: Context) -> AsyncIterator[Output]:
    yield TextDelta("so far")
    raise KeyboardInterrupt


async def exits(ctx: Context) -> AsyncIterator[Output]:
    yield TextDelta("so far")
    raise SystemExit("set MY_KEY")


async def raises_generator_exit(ctx: Context) -> AsyncIterator[Output]:
    yield TextDelta("so far")
    raise GeneratorExit


async def cancels_itself(ctx: Context) -> AsyncIterator[Output]:
    yield TextDelta("so far")
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.Event().wait()


async def exits_when_interrupted(ctx: Context) -> AsyncIterator[Output]:
    try:
        yield TextDelta("so far")
        await asyncio.Event().wait()
    finally:
        raise SystemExit(1)
