"""What crosses between a worker and the child that runs its runner, in both directions."""

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from structlog.testing import capture_logs

from tests.integration.isolation.children import context, custom, isolated, message, stream
from tests.runs import collect
from tests.watch import until
from worker.runners import Checkpoint, Custom, Decision, Message, RunnerError, TextDelta, Verdict
from worker.runners.demo import echo
from worker.runners.isolation import isolate
from worker.runners.pool import Pool

pytestmark = pytest.mark.slow  # a process for each run, each with a start of its own


async def test_a_child_yields_what_the_same_runner_yields_inline(pool: Pool) -> None:
    ctx = context("Grüße, \x01 and /slow 1", "two\nlines")
    isolated = await collect(isolate("worker.runners.demo:echo", pool), ctx)
    assert isolated == await collect(echo, ctx)
    assert len(isolated) > 10


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


async def test_a_text_that_can_t_be_stored_is_mended_as_inline(pool: Pool) -> None:
    outputs = stream(isolated("babble", pool), context(config={"what": "surrogate"}))
    assert [await anext(outputs), await anext(outputs)] == [TextDelta("before"), TextDelta("\N{REPLACEMENT CHARACTER}")]
    await outputs.aclose()


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


@pytest.mark.long
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


async def test_a_checkpoint_of_a_mebibyte_crosses_and_comes_back(pool: Pool) -> None:
    state = {"text": "ü" * ((1 << 20) - 20)}
    (output,) = await collect(isolated("keep", pool), context(state=state))
    assert output == Checkpoint(state)
