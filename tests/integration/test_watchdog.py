"""A loop that somebody blocks is told of, once, with the line that blocks it."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from shared.metrics import LOOP_STALLED, LOOP_STALLS
from tests.watch import until
from worker import watchdog
from worker.watchdog import Watchdog

LIMIT = 0.2  # seconds, instead of one: these tests block the loop for real
BLOCKED, AGAIN = "the event loop is blocked", "the event loop runs again"


@pytest.fixture
def logs() -> Iterator[Any]:
    with capture_logs() as logs:
        yield logs


async def _told(logs: Any, event: str, count: int = 1) -> bool:
    return len([entry for entry in logs if entry["event"] == event]) >= count


def block(seconds: float) -> None:
    time.sleep(seconds)


async def test_a_blocked_loop_is_told_of_once_with_its_stack_and_its_length(logs: Any) -> None:
    dog = Watchdog(LIMIT)
    dog.start()
    stalls, stalled = LOOP_STALLS._value.get(), LOOP_STALLED._value.get()
    block(5 * LIMIT)
    await until(lambda: _told(logs, AGAIN))
    dog.stop()
    first, second = logs
    assert (first["event"], first["log_level"], second["event"]) == (BLOCKED, "error", AGAIN)
    assert LIMIT < first["seconds"] < 3 * LIMIT
    assert "in block" in first["stack"]
    assert "time.sleep(seconds)" in first["stack"]
    assert len(first["stack"]) <= watchdog.STACK
    assert 4 * LIMIT < second["seconds"] < 10 * LIMIT
    assert LOOP_STALLS._value.get() == stalls + 1
    assert LOOP_STALLED._value.get() == pytest.approx(stalled + second["seconds"], abs=0.001)


async def test_each_stall_is_told_of(logs: Any) -> None:
    dog = Watchdog(LIMIT)
    dog.start()
    for count in (1, 2):
        block(3 * LIMIT)
        await until(lambda count=count: _told(logs, AGAIN, count))  # type: ignore[misc]  # mypy can't infer its default
    dog.stop()
    assert [entry["event"] for entry in logs] == [BLOCKED, AGAIN] * 2


async def test_a_loop_that_runs_is_not_told_of(logs: Any) -> None:
    dog = Watchdog(LIMIT)
    dog.start()
    end = time.monotonic() + 5 * LIMIT
    while time.monotonic() < end:
        block(LIMIT / 4)
        await asyncio.sleep(0.01)  # the loop gets its turn between steps that are long
    dog.stop()
    assert logs == []


async def test_a_watchdog_that_was_stopped_leaves_no_thread_and_tells_nothing(logs: Any) -> None:
    dog = Watchdog(LIMIT)
    dog.start()
    dog.stop()
    dog.stop()
    Watchdog(LIMIT).stop()
    block(2 * LIMIT)
    await asyncio.sleep(0)
    assert logs == []
    assert "watchdog" not in {thread.name for thread in threading.enumerate()}


async def test_a_process_that_was_stopped_does_not_blame_its_loop() -> None:
    program = f"""
import asyncio, sys
from worker.watchdog import Watchdog
async def main():
    dog = Watchdog({LIMIT})
    dog.start()
    print("started", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    await asyncio.sleep({2 * LIMIT})
    dog.stop()
asyncio.run(main())
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen(  # noqa: ASYNC220 - it starts at once
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    assert await asyncio.to_thread(process.stdout.readline) == "started\n"
    process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(5 * LIMIT)  # how long it stands still is the test
    process.send_signal(signal.SIGCONT)
    said, _ = await asyncio.to_thread(process.communicate, "\n", 10)
    assert "the whole process stood still" in said
    assert BLOCKED not in said
