"""Runners whose JSON is as deep as their message says."""

from collections.abc import AsyncIterator
from typing import Any

from worker.runners import Checkpoint, Context, Custom, Output, PermissionRequest, ToolStarted


def nest(depth: int) -> dict[str, Any]:
    """A JSON object of so many levels."""
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"in": value}
    return value


async def nests_input(ctx: Context) -> AsyncIterator[Output]:
    yield ToolStarted("call-1", "t", nest(int(ctx.messages[-1].text)))


async def nests_state(ctx: Context) -> AsyncIterator[Output]:
    yield Checkpoint(nest(int(ctx.messages[-1].text)))


async def nests_custom(ctx: Context) -> AsyncIterator[Output]:
    yield Custom("chart", nest(int(ctx.messages[-1].text)))


async def nests_request(ctx: Context) -> AsyncIterator[Output]:
    if not ctx.decisions:
        yield PermissionRequest("a", "May I?", tool="t", input=nest(int(ctx.messages[-1].text)))
