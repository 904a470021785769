"""The children that a worker keeps ready, and the worker that runs its runs in them."""

import asyncio
import json
import math
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import uvloop
from prometheus_client import REGISTRY

from shared.settings import Settings
from tests.agents import running_stage
from tests.integration.isolation.children import children, context, custom, fails, gone, isolated, started, stream
from tests.runs import collect
from tests.stage import following
from tests.watch import until
from worker.runners import Custom, Output, RunnerError
from worker.runners.demo import echo
from worker.runners.isolation import isolate
from worker.runners.pool import Pool
from worker.runners.registry import Surroundings, open_runner

pytestmark = pytest.mark.slow  # a process for each run, each with a start of its own

DELTA_P99 = 0.2  # seconds: what a run that blocks its loop may cost the others


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


@pytest.mark.alone
async def test_a_run_that_blocks_its_loop_leaves_the_streams_of_others_alone(settings: Settings) -> None:
    """From the runner to the client: through the worker's writer, the log and a stream."""
    async with running_stage(settings) as stage:
        child = json.dumps({"function": "tests.isolated:block", "isolation": "process"})
        await stage.become("tests.isolated:block", config=child)
        blocked = [await stage.start() for _ in range(2)]
        for _, run in blocked:
            await stage.said(run, "blocking")
        await stage.become("worker.runners.demo:echo")
        thread, _ = await stage.start("/slow 11")
        late, first = [], None
        async with following(stage.client, thread, "?until=run") as follower:
            while (heard := await follower.next()) is not None:
                number = heard.data["content"] or ""
                if heard.data["type"] == "agent.message.delta" and number.strip().isdigit():
                    now = time.monotonic() - int(number) * 0.1  # echo says ten a second
                    first = now if first is None else min(first, now)
                    late.append(now)
        assert len(late) >= 101  # of fewer the p99 is the slowest one
        assert sorted(late)[math.ceil(0.99 * len(late)) - 1] - (first or 0) < DELTA_P99
        for of in blocked:
            assert (await stage.run(*of))["status"] == "running"
            await stage.interrupt(of[0])
            await stage.until(*of, "cancelled")


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
    await until(started)
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


async def test_the_program_of_the_page_prints_what_a_start_costs() -> None:
    page = (Path(__file__).parents[3] / "docs" / "runners-isolation.md").read_text(encoding="utf-8")
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
