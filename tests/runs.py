"""Runners driven by hand: a context of their own, no database."""

from collections.abc import Iterable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, cast

from worker.runners import Checkpoint, Context, Message, Output, Runner, TextDelta

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def message(text: str, role: str = "user", ident: str = "m1") -> Message:
    return Message(ident, cast("Any", role), text, MOMENT)


def context(text: str = "Hello", history: Sequence[Message] = (), **settings: Any) -> Context:
    """A run that answers `text`; `settings` are the context's own fields."""

    async def read_history(limit: int) -> Sequence[Message]:
        return history[-limit:]

    given = {"messages": [message(text)], "read_history": read_history, **settings}
    return Context(thread="t", run="r", account="a", agent="g", **given)


async def collect(runner: Runner, ctx: Context) -> list[Output]:
    async with aclosing(cast("Any", runner(ctx))) as stream:
        return [output async for output in stream]


def text_of(outputs: Iterable[Output]) -> str:
    return "".join(output.text for output in outputs if isinstance(output, TextDelta))


def state_of(outputs: Iterable[Output]) -> Any:
    """Of the last checkpoint."""
    return [output.state for output in outputs if isinstance(output, Checkpoint)][-1]
