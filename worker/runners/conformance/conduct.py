"""How a runner is treated to see how it takes it: interrupted, closed, watched, run beside another."""

import asyncio
from collections.abc import AsyncGenerator

from pydantic_core import to_json

from worker.runners.conformance.subject import Broken, NotApplicable, Record, Subject
from worker.runners.context import Context
from worker.runners.drive import GRACE, Call
from worker.runners.protocol import Runner

_WAITS = (0.0, 0.02)  # seconds of work before an interrupt: at once, and in the middle of what it awaits
_TICK = 0.01  # seconds
_LONGEST = 0.1  # seconds that a runner may keep the loop
_TRIES = 3  # a machine under load is late, too; a runner that blocks is late each time
_SETTLING = 2.0  # seconds in which tasks that end may do so


async def until_returned(call: Call, timeout: float, most: int) -> tuple[int, bool]:
    """How many outputs came after the first request, and whether there was one. Raises Broken."""
    after = 0
    try:
        async with asyncio.timeout(timeout) as limit:
            while await call.next() is not None:
                after += bool(call.turn.asked)
                if after > most:
                    break
    except Exception:  # of the runner: another rule tells of it
        if call.turn.asked and limit.expired():
            raise Broken(f"did not return within {timeout:g} s after its request") from None
    if after > most:
        raise Broken(f"yielded {most} outputs after its first request and went on")
    return max(0, after - 1), bool(call.turn.asked)


async def interrupt(runner: Runner, ctx: Context, done: int) -> None:
    """Interrupts calls after `done` outputs. Raises Broken where one does not stop."""
    stopped = await asyncio.gather(*(_interrupted(runner, ctx, done, seconds) for seconds in _WAITS))
    if not all(stopped):
        raise Broken(f"did not stop within {GRACE:g} s of an interrupt after {done} outputs")


async def _interrupted(runner: Runner, ctx: Context, done: int, seconds: float) -> bool:
    """Whether it stopped when it was interrupted, `seconds` after it was asked for what comes next."""
    call = Call(runner, ctx)
    coming: asyncio.Task[object] | None = None
    try:
        for _ in range(done):
            await call.next()
        coming = asyncio.create_task(_quiet_next(call))
        await asyncio.wait({coming}, timeout=seconds)
    finally:
        stopped = await call.stop()
        if coming is not None:
            coming.cancel()
    return stopped


async def _quiet_next(call: Call) -> object:
    """What comes next, an exception as a value: here it does not matter."""
    try:
        return await call.next()
    except Exception as error:  # of the runner
        return error


async def close(runner: Runner, ctx: Context, done: int) -> None:
    """Closes a generator that stands at a yield. Raises Broken where it does not let itself be closed."""
    outputs = runner(ctx)
    if not isinstance(outputs, AsyncGenerator):
        raise Broken("it is no async generator")
    for _ in range(done):
        await anext(outputs, None)
    try:
        async with asyncio.timeout(GRACE):
            await outputs.aclose()
    except TimeoutError:
        raise Broken(f"took longer than {GRACE:g} s to clean up when closed after {done} outputs") from None
    except Exception as error:
        raise Broken(f"closed after {done} outputs it raised {type(error).__name__}: {error}") from error


async def count_tasks(subject: Subject) -> str:
    """Runs to the end and closes half-way. Raises Broken where there are more tasks than after the first run."""
    await subject.record()  # what it makes once, such as a pool, it may keep
    before = await _settled(0)
    for _ in range(2):
        record = await subject.record()
    for ctx, count in record.calls:
        await interrupt(subject.runner, ctx, count // 2)
    after = await _settled(len(before))
    if len(after) > len(before):
        names = ", ".join(sorted(task.get_name() for task in after - before))
        raise Broken(f"{len(after) - len(before)} tasks more than before: {names}")
    return "none was left"


async def _settled(most: int) -> set[asyncio.Task[object]]:
    """The tasks there are, once they are no more than `most`, or have had their time."""
    loop = asyncio.get_running_loop()
    until = loop.time() + (_SETTLING if most else 0.2)
    while True:
        tasks = asyncio.all_tasks()
        if len(tasks) <= max(1, most) or loop.time() > until:
            return tasks
        await asyncio.sleep(_TICK)


async def watch_the_loop(subject: Subject) -> str:
    """The longest time between two looks of a ticker while it runs, in the best of some runs. Raises Broken."""
    best = float("inf")
    for _ in range(_TRIES):
        best = min(best, await _longest_gap(subject))
        if best <= _LONGEST:
            return f"at most {best * 1000:.0f} ms"
    raise Broken(f"kept the loop for {best * 1000:.0f} ms")


async def _longest_gap(subject: Subject) -> float:
    loop = asyncio.get_running_loop()
    run = asyncio.create_task(subject.record())
    longest = 0.0
    try:
        while not run.done():
            looked = loop.time()
            await asyncio.wait({run}, timeout=_TICK)
            longest = max(longest, loop.time() - looked - _TICK)
        await run
    finally:
        run.cancel()
    return longest


async def run_two(subject: Subject, mark: str) -> str:
    """Raises Broken where a run shows what is another's; NotApplicable where it never does the same twice."""
    other = subject.context(f"{subject.text} {mark}", run="01K0000000000000000000RUN2")
    alone = _said(await subject.record())
    mine, _ = await asyncio.gather(subject.record(), subject.record(other))
    together = _said(mine)
    again = _said(await subject.record())
    if mark.encode() in together + again:
        raise Broken("a run held text that only another run was told")
    if alone != again:
        raise NotApplicable("its outputs differ from run to run, so that more can't be told")
    if together != alone:
        raise Broken("beside another run it yielded something else than alone")
    return f"{len(mine.outputs)} outputs, the same beside another run"


def _said(record: Record) -> bytes:
    return to_json([*record.outputs, record.how()])
