"""How a run in a child process ends: by itself, by its worker, by a signal; and that nothing of it stays."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.integration.isolation.children import alive, context, custom, fails, gone, isolated, started, stream
from tests.runs import collect
from tests.watch import until
from worker.runners import Custom, RunnerError, TextDelta
from worker.runners.isolation import GRACE, RunnerRaised
from worker.runners.pool import Pool

pytestmark = pytest.mark.slow  # a process for each run, each with a start of its own


async def test_a_runner_error_crosses_with_its_code(pool: Pool) -> None:
    failed = await fails("refuse", pool)
    assert (failed.message, failed.code, failed.retryable) == ("No \\ud800 more.", "author.tired", True)


async def test_any_other_exception_crosses_as_a_traceback_for_the_log(pool: Pool) -> None:
    outputs = stream(isolated("stumble", pool), context())
    assert await anext(outputs) == TextDelta("so far")
    with pytest.raises(RunnerRaised, match=r"(?s)in stumble.*LookupError: what an author keeps"):
        await anext(outputs)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("exit", "exit status 3"),
        ("kill", "killed by SIGKILL"),
        ("fault", "killed by SIGSEGV"),
        ("memory", "killed by SIGABRT"),
        ("close", "killed by SIGKILL"),
        ("orphan", "exit status 5"),
    ],
)
async def test_a_child_that_dies_fails_its_run_and_says_how(pool: Pool, how: str, words: str) -> None:
    outputs = stream(isolated("die", pool), context(config={"how": how}))
    assert await anext(outputs) == TextDelta("last words")
    with pytest.raises(RunnerError) as failed:
        await anext(outputs)
    assert (failed.value.code, failed.value.retryable) == ("runner.crashed", True)
    assert words in failed.value.message


@pytest.mark.parametrize(
    ("how", "said"), [("exit", "SystemExit: 4"), ("own", "OwnEnd: mine"), ("generator", "GeneratorExit: theirs")]
)
async def test_a_runner_that_raises_what_is_no_exception_has_raised_and_its_child_lives_to_say_so(
    pool: Pool, how: str, said: str
) -> None:
    outputs = stream(isolated("leave", pool), context(config={"how": how}))
    assert await anext(outputs) == TextDelta("last words")
    with pytest.raises(RunnerRaised, match=said):
        await anext(outputs)


async def test_a_cancelled_runner_cleans_up(pool: Pool, tmp_path: Path) -> None:
    done = tmp_path / "done"
    outputs = stream(isolated("tidy", pool), context(config={"done": str(done)}))
    await anext(outputs)
    await outputs.aclose()
    assert done.read_text() == "tidy"


async def test_a_task_that_is_cancelled_in_mid_wait_cleans_up_too(pool: Pool, tmp_path: Path) -> None:
    done, seen = tmp_path / "done", asyncio.Event()

    async def drive() -> None:
        async for _ in isolated("tidy", pool)(context(config={"done": str(done)})):
            seen.set()

    task = asyncio.create_task(drive())
    await seen.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done.read_text() == "tidy"


async def test_one_that_ignores_it_is_killed_within_the_grace_with_all_that_it_started(pool: Pool) -> None:
    outputs = stream(isolated("ignore", pool), context())
    first = await anext(outputs)
    assert isinstance(first, Custom)
    began = time.monotonic()
    await outputs.aclose()
    assert GRACE - 1 < time.monotonic() - began < GRACE
    await until(lambda: gone(*first.data))


async def test_a_second_cancellation_kills_at_once(pool: Pool) -> None:
    outputs = stream(isolated("ignore", pool), context())
    first = await anext(outputs)
    assert isinstance(first, Custom)
    closing = asyncio.create_task(outputs.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await until(lambda: gone(*first.data), timeout=GRACE / 2)


async def test_a_program_that_a_runner_left_behind_is_killed_when_it_ends(pool: Pool) -> None:
    pids = await custom("start_program", pool)
    await until(lambda: gone(*pids), timeout=5)


async def test_a_program_that_a_runner_started_can_be_ended_by_it(pool: Pool) -> None:
    assert await custom("end_program", pool) == -signal.SIGTERM


async def test_signals_of_a_terminal_do_not_end_a_run(pool: Pool) -> None:
    assert await collect(isolated("stand", pool), context())


async def test_signals_do_not_end_a_child_that_is_still_starting(pool: Pool) -> None:
    running = asyncio.create_task(custom("tell", pool))
    (child,) = await until(started)
    for name in (signal.SIGTERM, signal.SIGINT):
        os.kill(child.pid, name)
    assert await running


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a child with a blocked loop notices when it goes on")
@pytest.mark.parametrize("blocked", [False, True])
async def test_a_child_does_not_outlive_a_worker_that_is_killed(blocked: bool) -> None:
    program = f"""
import asyncio
from tests.integration.isolation.children import context, isolated
from worker.runners.pool import Pool
async def main():
    async for output in isolated("wait", Pool(1))(context(config={{"blocked": {blocked}}})):
        print(output.data, flush=True)
asyncio.run(main())
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    worker = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment)  # noqa: ASYNC220 - it starts at once
    assert worker.stdout is not None
    line = await asyncio.to_thread(worker.stdout.readline)
    (child,) = {int(line)}
    assert alive(child)
    worker.kill()
    worker.wait()
    worker.stdout.close()
    await until(lambda: gone(child))


async def test_a_function_that_is_not_there_fails_the_run_in_its_child(pool: Pool) -> None:
    failed = await fails("nothing", pool)
    assert failed.code == "runner.unavailable"
    assert "'tests.isolated:nothing'" in failed.message
