"""Runs in child processes, driven by hand; and what is left of the children."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any, cast

import psutil
import pytest

from tests.runs import collect
from worker.runners import Context, Custom, Message, Output, Runner, RunnerError
from worker.runners.isolation import isolate
from worker.runners.pool import Pool


def children() -> list[psutil.Process]:
    """Those of this process that run a runner."""
    found = psutil.Process().children(recursive=True)
    return [child for child in found if alive(child.pid) and "worker.runners.child" in child.cmdline()]


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def message(text: str, number: int = 1) -> Message:
    return Message(f"m{number}", "user", text, datetime(2026, 1, 2, 3, 4, 5, number, UTC))


def context(*texts: str, **values: Any) -> Context:
    messages = tuple(message(text, number) for number, text in enumerate(texts, 1))
    return Context(thread="t1", run="r1", account="a1", agent="g1", messages=messages, **values)


def isolated(name: str, pool: Pool) -> Runner:
    return isolate(f"tests.isolated:{name}", pool)


def stream(runner: Runner, ctx: Context) -> AsyncGenerator[Output, None]:
    return cast("AsyncGenerator[Output, None]", runner(ctx))


async def custom(name: str, pool: Pool, **values: Any) -> Any:
    """The data of the one output of a runner."""
    (output,) = await collect(isolated(name, pool), context(**values))
    assert isinstance(output, Custom)
    return output.data


async def fails(name: str, pool: Pool, **config: Any) -> RunnerError:
    with pytest.raises(RunnerError) as failed:
        await collect(isolated(name, pool), context(config=config))
    return failed.value


async def gone(*pids: int) -> bool:
    return not any(alive(pid) for pid in pids)


async def started() -> list[psutil.Process]:
    """As `until` wants it."""
    return children()
