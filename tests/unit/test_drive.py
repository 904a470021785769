"""How one run is driven: what is yielded, waited for, decided, interrupted, and how it ends."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from worker.runners import (
    Checkpoint,
    Context,
    Decision,
    Output,
    PermissionRequest,
    RunnerError,
    TextDelta,
    Verdict,
)
from worker.runners.drive import Call, Ended, Happening, Resumes, Waits, Yielded, drive, failure

CONTEXT = Context(thread="T", run="R", account="A", agent="G")
YES = Decision(Verdict.ALLOWED, "go on")


async def allow(_: PermissionRequest) -> Decision:
    return YES


async def all_of(runner: Any, **wishes: Any) -> list[Happening]:
    return [happening async for happening in drive(runner, CONTEXT, **{"decide": allow, **wishes})]


async def the_end_of(runner: Any, **wishes: Any) -> Ended:
    last = (await all_of(runner, **wishes))[-1]
    assert isinstance(last, Ended)
    return last


async def code_of(runner: Any, **wishes: Any) -> str:
    error = (await the_end_of(runner, **wishes)).error
    assert error is not None
    return error.code


async def test_a_runner_that_returns_has_completed() -> None:
    async def run(ctx: Context) -> AsyncIterator[Output]:
        yield TextDelta(ctx.run)

    assert await all_of(run) == [Yielded(TextDelta("R")), Ended("completed")]


async def test_the_requests_of_one_call_are_bounded_in_all() -> None:
    async def run(_: Context) -> AsyncIterator[Output]:
        for number in range(5):
            yield PermissionRequest(f"r{number}", "May I?", input={"text": "x" * ((1 << 20) - 100)})

    ended = await the_end_of(run)
    assert ended.error is not None
    assert (ended.error.code, "more than 4 MiB" in ended.error.message) == ("runner.invalid_output", True)


async def test_a_run_waits_for_all_its_requests_and_goes_on_from_its_checkpoint() -> None:
    seen: list[Context] = []

    async def run(ctx: Context) -> AsyncIterator[Output]:
        seen.append(ctx)
        if ctx.state is None:
            yield PermissionRequest("a", "A?")
            yield Checkpoint({"asked": 2})
            yield PermissionRequest("b", "B?")
            yield TextDelta("Two questions.")
        elif "c" not in ctx.decisions:
            yield PermissionRequest("c", "C?")

    happenings = await all_of(run)
    assert [type(one).__name__ for one in happenings] == [
        *["Yielded"] * 4,
        *("Waits", "Resumes", "Yielded", "Waits", "Resumes", "Ended"),
    ]
    assert [one.id for one in _only(happenings, Waits)[0].requests] == ["a", "b"]
    assert _only(happenings, Resumes)[1] == Resumes({"c": YES})
    assert [ctx.state for ctx in seen] == [None, {"asked": 2}, {"asked": 2}]
    assert [sorted(ctx.decisions) for ctx in seen] == [[], ["a", "b"], ["a", "b", "c"]]


async def test_a_request_that_nobody_decides_in_time_has_expired() -> None:
    async def run(ctx: Context) -> AsyncIterator[Output]:
        if not ctx.decisions:
            yield PermissionRequest("a", "A?", expires_in=0.01)
        else:
            yield TextDelta(ctx.decisions["a"].verdict)

    async def nobody(_: PermissionRequest) -> Decision:
        await asyncio.Event().wait()
        return YES

    assert Yielded(TextDelta("expired")) in await all_of(run, decide=nobody)
    ended = await the_end_of(run, decide=nobody, on_expired="expire")
    assert ended.status == "expired"
    assert ended.error is not None
    assert ended.error.code == "permission.expired"


async def test_a_runner_that_raises_has_failed_and_its_text_is_not_told() -> None:
    async def run(ctx: Context) -> AsyncIterator[Output]:
        yield TextDelta("a")
        raise KeyError("secret")

    ended = await the_end_of(run)
    assert ended.status == "failed"
    assert ended.error is not None
    assert (ended.error.code, ended.error.message) == ("runner.failed", "The runner failed.")
    assert isinstance(ended.error.__cause__, KeyError)


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (RunnerError("No.", code="mine.code", retryable=True), "mine.code", "No."),
        (RunnerError("No.", code="Not A Code"), "runner.failed", "No."),
        (RunnerError("No.", code="x" * 65), "runner.failed", "No."),
        (RunnerError("a\0\ud800" + "x" * 5_000), "runner.failed", "a��" + "x" * 997),
        (RunnerError(5), "runner.failed", "5"),  # type: ignore[arg-type]  # wrong on purpose
        (RuntimeError("x"), "runner.failed", "The runner failed."),
    ],
)
def test_what_a_client_is_told_of_a_failure_can_always_be_shown(raised: Exception, code: str, message: str) -> None:
    told = failure(raised)
    assert (told.code, told.message, told.__cause__) == (code, message, raised)
    assert told.retryable == (code == "mine.code")


async def test_an_id_is_asked_once() -> None:
    async def asks_again(ctx: Context) -> AsyncIterator[Output]:
        yield PermissionRequest("a", "May I?")

    async def asks_twice(ctx: Context) -> AsyncIterator[Output]:
        yield PermissionRequest("a", "May I?")
        yield PermissionRequest("a", "May I?")

    for runner in (asks_again, asks_twice):
        assert await code_of(runner) == "runner.invalid_output"


@pytest.mark.parametrize("made", [None, "text", [TextDelta("a")], 5])
async def test_a_runner_that_is_no_generator_has_broken_its_contract(made: object) -> None:
    assert await code_of(lambda ctx: made) == "runner.invalid_output"


async def test_a_coroutine_is_no_runner() -> None:
    async def run(ctx: Context) -> None:
        """No yield."""

    assert await code_of(run) == "runner.invalid_output"


async def test_a_runner_can_not_end_the_process_and_not_cancel_who_drives_it() -> None:
    async def leaves(ctx: Context) -> AsyncIterator[Output]:
        yield TextDelta("a")
        raise SystemExit(3)

    async def cancels_itself(ctx: Context) -> AsyncIterator[Output]:
        yield TextDelta("a")
        raise asyncio.CancelledError

    for runner in (leaves, cancels_itself):
        assert await code_of(runner) == "runner.failed"


async def test_a_run_that_takes_too_long_is_stopped_in_order_and_expires() -> None:
    ended: list[str] = []

    async def run(ctx: Context) -> AsyncIterator[Output]:
        assert ctx.deadline is not None
        try:
            yield TextDelta("a")
            await asyncio.Event().wait()
        finally:
            ended.append("cleaned up")

    last = await the_end_of(run, timeout=0.05)
    assert (last.status, last.stopped, ended) == ("expired", True, ["cleaned up"])
    assert last.error is not None
    assert (last.error.code, last.error.retryable) == ("run.expired", True)


async def test_a_flood_ends_with_its_time() -> None:
    async def run(ctx: Context) -> AsyncIterator[Output]:
        while True:
            yield TextDelta("a")

    assert (await the_end_of(run, timeout=0.05)).status == "expired"


async def test_a_time_out_of_the_runners_own_is_its_failure() -> None:
    async def run(ctx: Context) -> AsyncIterator[Output]:
        async with asyncio.timeout(0.01):
            yield TextDelta("a")
            await asyncio.Event().wait()

    assert (await the_end_of(run, timeout=30)).status == "failed"


async def test_waiting_for_a_decision_does_not_count() -> None:
    async def run(ctx: Context) -> AsyncIterator[Output]:
        if not ctx.decisions:
            yield PermissionRequest("a", "A?")

    async def slowly(_: PermissionRequest) -> Decision:
        await asyncio.sleep(0.3)
        return YES

    assert (await the_end_of(run, decide=slowly, timeout=0.2)).status == "completed"


async def test_the_time_of_a_run_is_that_of_all_its_calls() -> None:
    async def run(ctx: Context) -> AsyncIterator[Output]:
        assert len(ctx.decisions) < 20, "its time was never up"
        await asyncio.sleep(0.05)
        yield PermissionRequest(str(len(ctx.decisions)), "And now?")

    assert (await the_end_of(run, timeout=0.2)).status == "expired"


async def test_closing_it_half_way_interrupts_the_runner() -> None:
    ended: list[str] = []

    async def run(ctx: Context) -> AsyncIterator[Output]:
        try:
            while True:
                yield TextDelta("a")
        finally:
            ended.append("cleaned up")

    happenings = drive(run, CONTEXT, decide=allow)
    await anext(happenings)
    await happenings.aclose()
    assert ended == ["cleaned up"]


async def test_a_call_that_ignores_its_interrupt_is_told_apart() -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def run(ctx: Context) -> AsyncIterator[Output]:
        begun.set()
        while not go.is_set():
            try:
                await go.wait()
            except asyncio.CancelledError:
                yield TextDelta("no")

    call = Call(run, CONTEXT)
    coming = asyncio.create_task(call.next())
    await begun.wait()
    assert not await call.stop(within=0.02)
    go.set()
    assert await coming is None  # what it yielded was thrown away


async def test_one_task_runs_a_whole_call() -> None:
    tasks = set()

    async def run(ctx: Context) -> AsyncIterator[Output]:
        for _ in range(3):
            tasks.add(asyncio.current_task())
            yield TextDelta("a")

    await all_of(run)
    assert len(tasks) == 1


async def test_a_runner_works_no_further_than_it_is_asked_to() -> None:
    made = 0

    async def run(ctx: Context) -> AsyncIterator[Output]:
        nonlocal made
        while made < 100:
            made += 1
            yield TextDelta("a")

    call = Call(run, CONTEXT)
    await call.next()
    await asyncio.sleep(0.01)
    assert made == 1
    await call.stop()


def _only(happenings: list[Happening], kind: Any) -> list[Any]:
    return [one for one in happenings if isinstance(one, kind)]
