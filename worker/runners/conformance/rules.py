"""The rules. Each is a coroutine over a `Subject`; its docstring is what the report says of it."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from worker.runners.conformance import conduct
from worker.runners.conformance.subject import VERDICTS, Broken, Check, NotApplicable, Record, Rule, Subject
from worker.runners.contents import Shown
from worker.runners.context import Context, Verdict
from worker.runners.drive import Call
from worker.runners.outputs import PermissionRequest, ToolCompleted, ToolStarted

_CHECKPOINTS = 20  # of one run that are gone on from; each costs a run
_PLACES = 12  # where a run is stopped, from its beginning to its end; each costs a part of a run
_AT_ONCE = 4  # of these
_AFTER_ASKING = 1_000  # outputs between a request and the return
_MARK = "kestrel-4417"  # a word that no runner says of itself


Place: TypeAlias = tuple[Context, int]  # a call, and how many of its outputs were taken


async def generator(subject: Subject) -> str:
    """It is an async generator function."""
    made: Any = subject.runner(subject.context())
    if inspect.iscoroutine(made):
        made.close()
        raise Broken("it is `async def` without a `yield`: calling it gave a coroutine")
    if not inspect.isasyncgen(made):
        raise Broken(f"calling it gave {type(made).__name__!r}")
    await made.aclose()
    return "calling it gives an async generator"


async def outputs(subject: Subject) -> str:
    """It yields only outputs of the contract, with fields as they must be."""
    records = await _each_verdict(subject)
    for record in records:
        if record.ended.error and record.ended.error.code == "runner.invalid_output" and not record.asked_twice:
            raise Broken(record.ended.error.message)
    return f"{sum(len(record.outputs) for record in records)} outputs in {len(records)} runs"


async def ends(subject: Subject) -> str:
    """A plain text is answered within the time-out."""
    record = await subject.record()
    if record.ended.status != "completed":
        raise Broken(record.how())
    return f"completed, with {len(record.outputs)} outputs"


async def asks_once(subject: Subject) -> str:
    """Each permission request has an id of its own, and what was decided is not asked again."""
    records = await _each_verdict(subject)
    for record in records:
        if record.asked_twice:
            raise Broken(record.how())
    return f"{len(_asking(records)[0].requests)} requests"


async def returns_after_asking(subject: Subject) -> str:
    """After a permission request it returns, so that the run can wait without a worker."""
    call = Call(subject.runner, subject.context())
    try:
        outputs, asked = await conduct.until_returned(call, subject.timeout, _AFTER_ASKING)
    finally:
        await call.stop()
    if not asked:
        raise NotApplicable("it asked for nothing")
    return f"returned {outputs} outputs after its first request"


async def allowed(subject: Subject) -> str:
    """When its requests are allowed, it ends."""
    return await _settled(subject, Verdict.ALLOWED)


async def rejected(subject: Subject) -> str:
    """When its requests are rejected, it ends; a no does not fail a run."""
    return await _settled(subject, Verdict.REJECTED)


async def expired(subject: Subject) -> str:
    """When its requests expire, it ends; silence does not fail a run."""
    return await _settled(subject, Verdict.EXPIRED)


async def refusals(subject: Subject) -> str:
    """A tool that was asked for and not allowed is not used."""
    named = 0
    for verdict in (Verdict.REJECTED, Verdict.EXPIRED):
        record = await subject.record(verdict=verdict)
        for request in record.requests:
            named += request.tool is not None
            for output in record.outputs:
                if isinstance(output, ToolStarted) and _is_what_was_asked(output, request):
                    raise Broken(f"the tool {output.name!r} was started although its request was {verdict}")
    if not named:
        raise NotApplicable("it asked for no tool")
    return "no tool was started without its permission"


async def stable_ids(subject: Subject) -> str:
    """A second attempt gives its tool calls and requests the ids that they had: build them with ctx.key()."""
    first = await subject.record()
    again = await subject.record(replace(subject.context(), attempt=2))
    one, other = _ids(first.outputs), _ids(again.outputs)
    if not one and not other:
        raise NotApplicable("it uses no tool and asks for nothing")
    if one != other:
        raise Broken(f"the first attempt had {one}, the second one {other}")
    return f"{len(one)} ids, twice the same"


async def resumes(subject: Subject) -> str:
    """After each checkpoint another attempt with its state ends."""
    record = await subject.record()
    if not record.checkpoints:
        raise NotApplicable("it makes no checkpoint")
    for number, ctx in enumerate(record.checkpoints[:_CHECKPOINTS], 1):
        again = await subject.record(ctx)
        if again.ended.status != "completed":
            raise Broken(f"from checkpoint {number}, an attempt was {again.how()}")
    return f"went on from {min(len(record.checkpoints), _CHECKPOINTS)} checkpoints"


async def interrupts(subject: Subject) -> str:
    """Interrupted after any of its outputs, it stops within 5 s."""
    places = await _places(subject)
    await _at_each(places, lambda ctx, done: conduct.interrupt(subject.runner, ctx, done))
    return f"stopped at {len(places)} places"


async def closes(subject: Subject) -> str:
    """Closed at any of its yields, it cleans up within 5 s, raises nothing and yields nothing more."""
    places = await _places(subject)
    await _at_each(places, lambda ctx, done: conduct.close(subject.runner, ctx, done))
    return f"closed at {len(places)} places"


async def leaves_no_task(subject: Subject) -> str:
    """When its runs are over, no task of theirs goes on."""
    return await conduct.count_tasks(subject)


async def never_blocks(subject: Subject) -> str:
    """It never keeps the loop for longer than 100 ms: everything slow is awaited."""
    return await conduct.watch_the_loop(subject)


async def shares_nothing(subject: Subject) -> str:
    """Two runs at once yield what each yields alone."""
    return await conduct.run_two(subject, _MARK)


async def _each_verdict(subject: Subject) -> list[Record]:
    """A run for each verdict; one where it asks for nothing."""
    first = await subject.record()
    if not first.requests:
        return [first]
    return [first, *[await subject.record(verdict=verdict) for verdict in VERDICTS[1:]]]


def _asking(records: list[Record]) -> list[Record]:
    """Those that asked. Raises NotApplicable."""
    found = [record for record in records if record.requests]
    if not found:
        raise NotApplicable("it asked for nothing")
    return found


async def _settled(subject: Subject, verdict: Verdict) -> str:
    record = await subject.record(verdict=verdict)
    if record.ended.status != "completed" and record.requests:
        raise Broken(f"{verdict}, it was {record.how()}")
    (record,) = _asking([record])
    return f"completed after {len(record.requests)} requests were {verdict}"


def _is_what_was_asked(started: ToolStarted, request: PermissionRequest) -> bool:
    return started.name == request.tool and request.input in (None, started.input)


def _ids(outputs: Sequence[Shown]) -> list[str]:
    return [output.id for output in outputs if isinstance(output, ToolStarted | ToolCompleted | PermissionRequest)]


async def _places(subject: Subject) -> list[Place]:
    """Where a run can be stopped."""
    record = await subject.record()
    places = [(ctx, done) for ctx, count in record.calls for done in range(count + 1)]
    step = max(1.0, (len(places) - 1) / (_PLACES - 1))
    return [places[round(number * step)] for number in range(min(len(places), _PLACES))]


async def _at_each(places: list[Place], stop: Callable[[Context, int], Awaitable[None]]) -> None:
    """Several at once: a slow run would be waited for at each place. Raises what the first of them raises."""
    for first in range(0, len(places), _AT_ONCE):
        await asyncio.gather(*(stop(*place) for place in places[first : first + _AT_ONCE]))


def _rule(check: Check) -> Rule:
    return Rule(getattr(check, "__name__", ""), inspect.getdoc(check) or "", check)


RULES: tuple[Rule, ...] = tuple(
    _rule(check)
    for check in (
        *(generator, outputs, ends, asks_once, returns_after_asking, allowed, rejected, expired, refusals),
        *(stable_ids, resumes, interrupts, closes, leaves_no_task, never_blocks, shares_nothing),
    )
)
