"""The demo agents, which need no model: `echo` answers with the text, `approve` asks before it does.

They are the examples of the runner contract, too: see docs/runners.md.
"""

import asyncio
import re
from collections.abc import AsyncIterator

from worker.runners import (
    Checkpoint,
    Context,
    MessageEnd,
    Output,
    PermissionRequest,
    RunnerError,
    TextDelta,
    ToolCompleted,
    ToolStarted,
    Usage,
)

_SLOW = re.compile(r"/slow\s+(\d{1,4})\b")
_PIECES = re.compile(r"\S+\s*|\s+")
_TICK = 0.1  # seconds between the pieces of a slow answer
_ASKED = "answer"


async def echo(ctx: Context) -> AsyncIterator[Output]:
    """Answers with the text of its messages, in several deltas.

    `/fail` in the text fails the run; `/slow N` counts for N seconds first, ten numbers a second.
    """
    text = "\n".join(message.text for message in ctx.messages)
    if "/fail" in text:
        raise RunnerError("The text asked for it.", code="demo.failed")
    slow = _SLOW.search(text)
    ticks = int(slow[1]) * round(1 / _TICK) if slow else 0
    for tick in range(ctx.state or 0, ticks):
        if tick % 10 == 0 and tick:
            yield Checkpoint(tick)
        yield TextDelta(f"{tick + 1} ")
        await asyncio.sleep(_TICK)
    for piece in _pieces(text):
        yield TextDelta(piece)
    yield MessageEnd()
    words = len(text.split())
    yield Usage(input_tokens=words, output_tokens=words)


async def approve(ctx: Context) -> AsyncIterator[Output]:
    """Asks for a permission, waits without a worker, and answers when it was given."""
    text = "\n".join(message.text for message in ctx.messages)
    decision = ctx.decisions.get(_ASKED)
    if decision is None:
        yield TextDelta("I would like to answer. May I?")
        yield MessageEnd()
        yield PermissionRequest(_ASKED, f"Answer {text[:80]!r}?", tool="answer", input={"text": text})
        return
    if not decision.allowed:
        because = f" ({decision.note})" if decision.note else ""
        yield TextDelta(f"I did not answer: {decision.verdict}{because}.")
        return
    yield ToolStarted(ctx.key(_ASKED), "answer", {"text": text})
    yield ToolCompleted(ctx.key(_ASKED), text)
    for piece in _pieces(text):
        yield TextDelta(piece)


def _pieces(text: str) -> list[str]:
    """Words with the white space behind them: joined they are the text."""
    return _PIECES.findall(text)
