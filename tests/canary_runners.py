"""A runner that repeats what it is told wherever it can, for the test that looks for that in logs."""

import logging
from collections.abc import AsyncIterator

import structlog

from worker.runners import Context, Output, PermissionRequest, TextDelta, ToolStarted


async def repeat(ctx: Context) -> AsyncIterator[Output]:
    """Asks with it, uses a tool with it, and fails with it."""
    text = ctx.messages[0].text
    decision = ctx.decisions.get(text)
    if decision is None:
        yield TextDelta(text)
        yield PermissionRequest(text, text, tool=text[:60], input={text: text})
        return
    yield ToolStarted(ctx.key(text), text[:60], {text: text})
    logging.getLogger("httpx2").info("sent %s", text)  # what libraries say at this level is not logged
    structlog.get_logger().debug("repeated", text=text)
    try:
        raise KeyError(text)
    except KeyError as error:
        raise ValueError(f"{text} and {decision.note}") from error
