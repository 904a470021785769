"""Runs in child processes: what crosses, what a child can't do to its worker, and that none stays."""

import asyncio
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import psutil  # type: ignore[import-untyped]  # it ships no types
import pytest
import uvloop
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from shared.settings import Settings
from tests.agents import running_stage
from tests.watch import until
from worker.runners import (
    Checkpoint,
    Context,
    Custom,
    Decision,
    Message,
    Output,
    Runner,
    RunnerError,
    TextDelta,
    Verdict,
)
from worker.runners.demo import echo
from worker.runners.isolation import GRACE, RunnerRaised, isolate
from worker.runners.pool import Pool
from worker.runners.registry import Surroundings, open_runner

pytestmark = pytest.mark.slow  # some fifty processes, each with a start of its own

DELTA_P99 = 0.2  # seconds: what a run that blocks its loop may cost the others


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    pool = Pool()
    yield pool
    await pool.close()
    assert not children()


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


async def collect(runner: Runner, ctx: Context) -> list[Output]:
    return [output async for output in runner(ctx)]


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


async def test_a_child_yields_what_the_same_runner_yields_inline(pool: Pool) -> None:
    ctx = context("Grüße, \x01 and /slow 1", "two\nlines")
    isolated = await collect(isolate("worker.runners.demo:echo", pool), ctx)
    assert isolated == await collect(echo, ctx)
    assert len(isolated) > 10


async def test_the_worker_s_own_loop_runs_children_too(tmp_path: Path) -> None:
    async def scenario() -> tuple[list[Output], RunnerError]:
        pool = Pool(1)
        outputs = await collect(isolate("worker.runners.demo:echo", pool), context("one two"))
        failed = await fails("die", pool, how="exit")
        cancelled = stream(isolated("tidy", pool), context(config={"done": str(tmp_path / "done")}))
        await anext(cancelled)
        await cancelled.aclose()
        await pool.close()
        return outputs, failed

    outputs, failed = await asyncio.to_thread(uvloop.run, scenario())
    assert outputs == await collect(echo, context("one two"))
    assert failed.code == "runner.crashed"
    assert (tmp_path / "done").read_text() == "tidy"


async def test_every_value_of_a_context_crosses(pool: Pool) -> None:
    deadline = datetime(2026, 1, 1, 12, tzinfo=UTC)
    data = await custom(
        "tell",
        pool,
        attempt=3,
        state={"step": [1, None, "ü"]},
        decisions={"a": Decision(Verdict.ALLOWED, "go"), "b": Decision(Verdict.EXPIRED)},
        deadline=deadline,
        ahead=timedelta(seconds=-90.25),
        config={"function": "x:y", "depth": {"of": 2}},
    )
    assert data == {
        "ids": ["t1", "r1", "a1", "g1"],
        "attempt": 3,
        "messages": [],
        "state": {"step": [1, None, "ü"]},
        "decisions": {"a": ["allowed", "go", True], "b": ["expired", None, False]},
        "deadline": deadline.isoformat(),
        "ahead": -90.25,
        "config": {"function": "x:y", "depth": {"of": 2}},
        "key": "r1:step",
    }


async def test_messages_cross_with_their_times(pool: Pool) -> None:
    ctx = context("one", "two\n\U0001f9f5")
    (output,) = await collect(isolated("tell", pool), ctx)
    assert isinstance(output, Custom)
    assert output.data["messages"] == [[m.id, m.role, m.text, m.created_at.isoformat()] for m in ctx.messages]


async def test_a_mebibyte_of_escaped_text_crosses_down_and_up(pool: Pool) -> None:
    text = "\x01" * (1 << 20)
    outputs = await collect(isolate("worker.runners.demo:echo", pool), context(text))
    assert outputs[0] == TextDelta(text)


async def test_a_child_reads_the_history_when_it_asks(pool: Pool) -> None:
    asked: list[int] = []

    async def read(limit: int) -> Sequence[Message]:
        asked.append(limit)
        return [message(f"past {number}") for number in range(limit)]

    history, refusal = await collect(isolated("recall", pool), context(read_history=read))
    assert history == Custom("history", [["past 0", "past 1"], ["past 0"]])
    assert refusal == TextDelta("history: limit is from 1 to 1000")
    assert sorted(asked) == [1, 2]


async def test_a_history_that_can_t_be_read_is_an_error_of_the_run(pool: Pool) -> None:
    async def read(_: int) -> Sequence[Message]:
        raise OSError("secret of the database")

    with pytest.raises(RunnerError) as failed:
        await collect(isolated("recall", pool), context(read_history=read))
    assert (failed.value.code, failed.value.retryable) == ("runner.history", True)
    assert "secret" not in failed.value.message


async def test_what_a_child_takes_from_its_steering_is_acknowledged_before_what_follows(pool: Pool) -> None:
    ctx = context()
    ctx.steer.offer(message("before", 1))
    outputs = stream(isolated("follow", pool), ctx)
    assert await anext(outputs) == TextDelta("ready")
    assert ctx.steer.acknowledged() == []
    assert await anext(outputs) == TextDelta("before")
    assert ctx.steer.acknowledged() == ["m1"]
    ctx.steer.offer(message("meanwhile", 2))
    ctx.steer.offer(message("meanwhile", 2))
    assert await anext(outputs) == TextDelta("meanwhile")
    assert ctx.steer.acknowledged() == ["m2"]
    assert [output async for output in outputs] == [TextDelta("None")]
    ctx.steer.offer(message("too late", 3))
    assert ctx.steer.acknowledged() == []
    assert ctx.steer.take_nowait() == message("too late", 3)


async def test_a_child_is_told_that_its_worker_stops(pool: Pool) -> None:
    ctx = context()
    outputs = stream(isolated("finish", pool), ctx)
    await anext(outputs)
    ctx.stopping.set()
    assert [output async for output in outputs] == [TextDelta("stopping")]


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


async def test_a_text_that_can_t_be_stored_is_mended_as_inline(pool: Pool) -> None:
    outputs = stream(isolated("babble", pool), context(config={"what": "surrogate"}))
    assert [await anext(outputs), await anext(outputs)] == [TextDelta("before"), TextDelta("\N{REPLACEMENT CHARACTER}")]
    await outputs.aclose()


async def test_a_runner_that_wants_to_end_its_process_has_raised(pool: Pool) -> None:
    with pytest.raises(RunnerRaised, match="SystemExit: 4"):
        await collect(isolated("die", pool), context(config={"how": "leave"}))


@pytest.mark.parametrize("what", ["text", "field", "object", "long", "garbage", "endless"])
async def test_garbage_fails_the_run_and_nothing_else(pool: Pool, what: str) -> None:
    outputs = stream(isolated("babble", pool), context(config={"what": what}))
    assert await anext(outputs) == TextDelta("before")
    with pytest.raises(RunnerError) as failed:
        await anext(outputs)
    assert failed.value.code == "runner.invalid_output"
    assert await collect(isolated("stand", pool), context())


async def test_what_a_child_prints_is_logged_in_lines_of_a_bounded_length(pool: Pool) -> None:
    with capture_logs() as logs:
        assert await collect(isolated("chatter", pool), context()) == [TextDelta("heard")]
        await until(lambda: _holds(logs, 4))
    printed = [entry for entry in logs if entry["event"] == "a runner printed"]
    assert {entry["run"] for entry in printed} == {"r1"}
    assert [entry["line"] for entry in printed] == [
        "on standard output",
        '{"type":"completed"}',
        "on standard error",
        "y" * 2_000,
    ]


async def _holds(logs: Sequence[Any], count: int) -> bool:
    return len([entry for entry in logs if entry["event"] == "a runner printed"]) >= count


async def test_a_flood_waits_for_whoever_consumes_it_and_memory_stays_bounded(pool: Pool, tmp_path: Path) -> None:
    count = tmp_path / "count"
    outputs = stream(isolated("flood", pool), context(config={"count": str(count)}))
    first = await anext(outputs)
    assert isinstance(first, Custom)
    await until(lambda: _idle(first.data), timeout=30)
    assert 0 < int(count.read_text() or 0) < 50_000  # it waits: buffers take some thousands
    before = highest = psutil.Process().memory_info().rss
    deltas = 0
    async for output in outputs:
        deltas += output == TextDelta("x")
        if deltas % 10_000 == 0:
            highest = max(highest, psutil.Process().memory_info().rss)
    assert deltas == 1_000_000
    assert highest - before < 16 << 20


async def _idle(pid: int) -> bool:
    """Whether it used no processor for a while."""
    process = psutil.Process(pid)
    before = process.cpu_times()
    await asyncio.sleep(0.3)  # the span that is looked at
    return bool(process.cpu_times() == before and process.status() == psutil.STATUS_SLEEPING)


async def test_a_child_that_blocks_its_loop_leaves_the_deltas_of_others_alone(pool: Pool) -> None:
    blocked = [stream(isolated("block", pool), context()) for _ in range(2)]
    for outputs in blocked:
        await anext(outputs)
    waiting = [asyncio.create_task(anext(outputs)) for outputs in blocked]
    gaps, last = [], None
    async for output in isolate("worker.runners.demo:echo", pool)(context("/slow 3")):
        now = time.monotonic()
        if last is not None and isinstance(output, TextDelta):
            gaps.append(now - last - 0.1)  # echo waits a tenth of a second between its numbers
        last = now
    assert len(gaps) >= 29
    assert sorted(gaps)[math.ceil(0.99 * len(gaps)) - 1] < DELTA_P99
    assert not any(task.done() for task in waiting)
    await pool.close()
    for task in waiting:
        with pytest.raises(RunnerError):
            await task


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


async def test_a_child_knows_the_author_s_keys_and_none_of_ours() -> None:
    pool = Pool(
        environment={
            **os.environ,
            "OPENAI_API_KEY": "theirs",
            "DATABASE_URL": "ours",
            "REDIS_URL": "ours",
            "PGPASSWORD": "ours",
            "THREADMILL_ANYTHING": "ours",
        }
    )
    environment = await custom("look_around", pool)
    await pool.close()
    assert environment["OPENAI_API_KEY"] == "theirs"
    assert "ours" not in environment.values()


async def test_signals_of_a_terminal_do_not_end_a_run(pool: Pool) -> None:
    assert await collect(isolated("stand", pool), context())


async def test_signals_do_not_end_a_child_that_is_still_starting(pool: Pool) -> None:
    running = asyncio.create_task(custom("tell", pool))
    (child,) = await until(_started)
    for name in (signal.SIGTERM, signal.SIGINT):
        os.kill(child.pid, name)
    assert await running


async def _started() -> list[psutil.Process]:
    return children()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a child with a blocked loop notices when it goes on")
@pytest.mark.parametrize("blocked", [False, True])
async def test_a_child_does_not_outlive_a_worker_that_is_killed(blocked: bool) -> None:
    program = f"""
import asyncio
from tests.integration.test_isolation import Pool, context, isolated
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


async def test_a_pool_has_children_ready_and_makes_new_ones() -> None:
    pool = Pool(2)
    pool.fill()
    await until(lambda: _warm(pool, 2), timeout=30)
    warm = {child.pid for child in children()}
    given = _given("warm")
    first = await custom_pid(pool)
    second = await custom_pid(pool)
    assert {first, second} == warm
    assert _given("warm") == given + 2
    await until(lambda: gone(first, second))
    await until(lambda: _warm(pool, 2), timeout=30)
    assert not warm & {child.pid for child in children()}
    await pool.close()
    assert not children()
    with pytest.raises(RunnerError) as refused:
        await collect(isolated("tell", pool), context())
    assert refused.value.code == "runner.unavailable"


def _given(start: str) -> float:
    return REGISTRY.get_sample_value("threadmill_runner_children_total", {"start": start}) or 0


async def custom_pid(pool: Pool) -> int:
    outputs = stream(isolated("wait", pool), context())
    first = await anext(outputs)
    await outputs.aclose()
    assert isinstance(first, Custom)
    return int(first.data)


async def _warm(pool: Pool, count: int) -> bool:
    return pool.warm == count


async def test_a_warm_child_that_died_meanwhile_is_passed_over() -> None:
    pool = Pool(1)
    pool.fill()
    await until(lambda: _warm(pool, 1), timeout=30)
    (child,) = children()
    child.kill()
    await until(lambda: gone(child.pid))
    assert await custom("tell", pool)
    await pool.close()


async def test_a_child_that_can_t_start_is_told_as_such() -> None:
    pool = Pool(1, environment={"PYTHONHOME": "/nowhere"})
    failed = await fails("tell", pool)
    assert (failed.code, failed.retryable) == ("runner.unavailable", True)
    await pool.close()


async def test_a_start_that_is_cancelled_leaves_no_child(pool: Pool) -> None:
    running = asyncio.create_task(custom("tell", pool))
    await until(_started)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not children()


async def test_the_registry_opens_an_isolated_runner_with_a_pool_and_without(pool: Pool) -> None:
    config = {"function": "tests.isolated:tell", "isolation": "process"}
    for surroundings in (Surroundings(children=pool), Surroundings()):
        runner = open_runner("python", config, surroundings)
        assert len(await collect(runner, context(config=config))) == 1
    await until(_none_left)


async def _none_left() -> bool:
    return not children()


async def test_a_function_that_is_not_there_fails_the_run_in_its_child(pool: Pool) -> None:
    failed = await fails("nothing", pool)
    assert failed.code == "runner.unavailable"
    assert "'tests.isolated:nothing'" in failed.message


async def test_a_checkpoint_of_a_mebibyte_crosses_and_comes_back(pool: Pool) -> None:
    state = {"text": "ü" * ((1 << 20) - 20)}
    (output,) = await collect(isolated("keep", pool), context(state=state))
    assert output == Checkpoint(state)


async def test_the_program_of_the_page_prints_what_a_start_costs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "runners-isolation.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment
    )
    cold, warm = re.fullmatch(r"cold (\d+) ms, warm ([\d.]+) ms\n", done.stdout).groups()  # type: ignore[union-attr]  # None fails, too
    assert float(warm) < float(cold)


async def test_an_isolated_run_goes_through_a_worker_and_its_crash_harms_no_other(settings: Settings) -> None:
    async with running_stage(settings.model_copy(update={"warm_children": 1})) as stage:
        await stage.become(
            "tests.isolated:die",
            config=json.dumps({"function": "tests.isolated:die", "isolation": "process", "how": "kill"}),
        )
        crashed = await stage.start()
        failed = await stage.until(*crashed, "failed")
        assert (failed["error"]["code"], failed["error"]["retryable"]) == ("runner.crashed", True)
        assert "SIGKILL" in failed["error"]["message"]
        await stage.become(
            "worker.runners.demo:echo",
            config=json.dumps({"function": "worker.runners.demo:echo", "isolation": "process"}),
        )
        done = await stage.until(*(await stage.start("hello there")), "completed")
        assert done["finalOutput"] == {"text": "hello there"}
    assert not children()
