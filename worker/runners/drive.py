"""Drives one run of a runner over a Context, without a database: for `threadmill agent test` and the conformance suite.

The rules stand here once: `Turn` says what one call may yield and what its return means, `failure` what raising means,
`Call` how a call is asked for its next output and how it is interrupted, `drive` how one call follows another. Refused
here: storing anything, and trying again after a failure.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, TypeAlias

from pydantic_core import to_json

from worker.runners.contents import Shown, Weighed, weigh
from worker.runners.context import Context, Decision, Verdict
from worker.runners.failing import RunnerError
from worker.runners.localfiles import LocalShelf
from worker.runners.outputs import Checkpoint, File, Output, PermissionRequest, checked, invalid
from worker.runners.protocol import Runner

GRACE = 5.0  # seconds that an interrupted runner gets to clean up
MOST_REQUESTS = 1_000  # of one call: they are opened, and closed, in one transaction each
MOST_ASKED = 4 << 20  # characters of all requests of one call
_CODE = re.compile(r"[a-z_.]{1,64}")
_MESSAGE_LIMIT = 1_000  # characters: it stands in a table and on a client's screen
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


Keep: TypeAlias = Callable[[File], Awaitable[Weighed]]  # what becomes of a file; it reads its content to the end


@dataclass(frozen=True, slots=True)
class Yielded:
    output: Shown


@dataclass(frozen=True, slots=True)
class Waits:
    """The runner returned with open requests: the run waits for their decisions, without a worker."""

    requests: tuple[PermissionRequest, ...]


@dataclass(frozen=True, slots=True)
class Resumes:
    """All requests are settled; the runner is called anew."""

    decisions: Mapping[str, Decision]


@dataclass(frozen=True, slots=True)
class Ended:
    """`error` unless it completed. `stopped` is False where the runner goes on although it was told to stop."""

    status: Literal["completed", "failed", "expired"]
    error: RunnerError | None = None
    stopped: bool = True


Happening: TypeAlias = Yielded | Waits | Resumes | Ended
Decide: TypeAlias = Callable[[PermissionRequest], Awaitable[Decision]]


class AskedTwice(RunnerError):
    """One id for two permission requests: whoever decides would not know which."""


@dataclass(slots=True)
class Turn:
    """The rules of one call: outputs go through `take`; what stands in `asked` at its return is waited for."""

    decided: Collection[str] = ()
    state: Any = None
    asked: dict[str, PermissionRequest] = field(default_factory=dict)
    _size: int = 0  # characters of them

    def take(self, output: object) -> Output:
        """The output, as it may be stored. Raises RunnerError `runner.invalid_output`."""
        taken = checked(output)
        if type(taken) is PermissionRequest:
            self._ask(taken)
        elif type(taken) is Checkpoint:
            self.state = taken.state
        return taken

    def _ask(self, request: PermissionRequest) -> None:
        if len(self.asked) >= MOST_REQUESTS:
            raise invalid(f"it asked for more than {MOST_REQUESTS} permissions at once")
        if request.id in self.asked or request.id in self.decided:
            was = "asked already" if request.id in self.asked else "decided: it stands in ctx.decisions"
            raise AskedTwice(invalid(f"the request {request.id!r} was {was}").message, code="runner.invalid_output")
        self._size += len(request.title) + len(to_json(request.input))
        if self._size > MOST_ASKED:
            raise invalid(f"its permission requests have more than {MOST_ASKED >> 20} MiB in all")
        self.asked[request.id] = request


def failure(error: BaseException) -> RunnerError:
    """What a client is told of a runner that raised: its own RunnerError, mended where it can't be shown; of anything
    else only that it happened.
    """
    if not isinstance(error, RunnerError):
        told = RunnerError("The runner failed.")
    else:
        code = error.code if isinstance(error.code, str) and _CODE.fullmatch(error.code) else "runner.failed"
        message = _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", str(error.message))[:_MESSAGE_LIMIT]
        told = RunnerError(message, code=code, retryable=bool(error.retryable))
    told.__cause__ = error
    return told


class Call:
    """One call of a runner, in one task: time-outs and cancel scopes in it may span its yields. An output is asked for
    only after the last one was taken.
    """

    def __init__(self, runner: Runner, ctx: Context) -> None:
        shelf = ctx.files.shelf
        self._keep: Keep = shelf.keep if isinstance(shelf, LocalShelf) else weigh
        self.turn = Turn(frozenset(ctx.decisions), ctx.state)
        self._wanted = asyncio.Event()
        self._reply: asyncio.Future[Shown | None] | None = None
        self._stopping = False
        self._task = asyncio.create_task(self._outputs(runner, ctx), name=f"runner of {ctx.run}")
        self._task.add_done_callback(lambda _: self._answer(None))

    async def next(self) -> Shown | None:
        """The next output, of a file what became of it; None where the runner returned. Raises what it raised,
        RunnerError for a wrong output.
        """
        if not self._task.done():
            self._reply = asyncio.get_running_loop().create_future()
            self._wanted.set()
            output = await self._reply
            if output is not None:
                return output
        if error := self.error():
            raise error
        return None

    async def stop(self, within: float = GRACE) -> bool:
        """Interrupts it; what it still yields is thrown away. False where it goes on after `within` seconds."""
        if not self._stopping:
            self._stopping = True
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=within)
        self.error()  # looked at, so that asyncio does not complain
        return self._task.done()

    def error(self) -> BaseException | None:
        """What it ended with, if it ended with anything."""
        if not self._task.done():
            return None
        if self._task.cancelled():
            return None if self._stopping else RunnerError("The runner cancelled itself.")
        return self._task.exception()

    async def _outputs(self, runner: Runner, ctx: Context) -> None:
        await self._until_wanted()
        try:
            async with aclosing(generator(runner(ctx))) as outputs:
                async for output in outputs:
                    if not self._stopping:
                        self._answer(await self._take(output))
                        await self._until_wanted()
        except SystemExit as error:  # a task that lets it out ends the whole loop
            raise RunnerError("The runner tried to end its process.") from error

    async def _take(self, output: object) -> Shown:
        taken = self.turn.take(output)
        return await self._keep(taken) if isinstance(taken, File) else taken

    async def _until_wanted(self) -> None:
        await self._wanted.wait()
        self._wanted.clear()

    def _answer(self, output: Shown | None) -> None:
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(output)


def generator(made: object) -> AsyncGenerator[Output, None]:
    """What calling a runner gave, if it is what it is to be. Raises RunnerError."""
    if isinstance(made, AsyncGenerator):
        return made
    if asyncio.iscoroutine(made):
        made.close()
    raise invalid(f"it is no async generator function, it gave {type(made).__name__!r}")


async def drive(
    runner: Runner,
    ctx: Context,
    *,
    decide: Decide,
    timeout: float | None = None,
    on_expired: Literal["continue", "expire"] = "continue",
) -> AsyncGenerator[Happening, None]:
    """What happens in one run until it is over; the last is `Ended`. Closing or cancelling it interrupts the runner.

    `timeout`: seconds that the runner may execute; waiting for `decide` does not count. What `decide` raises comes out.
    Files that it yields are its context's, where that has files of this machine.
    """
    loop = asyncio.get_running_loop()
    left = timeout
    while True:
        until = None if left is None else loop.time() + left
        call = Call(runner, ctx if left is None else replace(ctx, deadline=_in(left)))
        try:
            while isinstance(found := await _next(call, until), Yielded):
                yield found
        finally:
            await call.stop()
        if found is not None:
            yield found
            return
        left = None if until is None else max(0.0, until - loop.time())
        yield Waits(tuple(call.turn.asked.values()))
        decisions = await _decisions(decide, call.turn.asked)
        if on_expired == "expire" and any(one.verdict is Verdict.EXPIRED for one in decisions.values()):
            yield Ended("expired", RunnerError("Nobody answered in time.", code="permission.expired", retryable=True))
            return
        yield Resumes(decisions)
        ctx = replace(ctx, state=call.turn.state, decisions={**ctx.decisions, **decisions}, attempt=1)


def _in(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def _next(call: Call, until: float | None) -> Yielded | Ended | None:
    """What comes next in a call; None where it returned with open requests."""
    try:
        async with asyncio.timeout_at(until) as limit:
            output = await call.next()
    except Exception as error:  # a runner may raise anything
        if not limit.expired():
            return Ended("failed", failure(error))
        told = RunnerError("The run took longer than it may.", code="run.expired", retryable=True)
        return Ended("expired", told, stopped=await call.stop())
    if output is not None:
        return Yielded(output)
    return None if call.turn.asked else Ended("completed")


async def _decisions(decide: Decide, asked: Mapping[str, PermissionRequest]) -> dict[str, Decision]:
    """Asks for one after another; the time of each runs from the beginning of the wait."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    decisions = {}
    for key, request in asked.items():
        until = None if request.expires_in is None else began + request.expires_in
        try:
            async with asyncio.timeout_at(until) as limit:
                decisions[key] = await decide(request)
        except TimeoutError:
            if not limit.expired():
                raise
            decisions[key] = Decision(Verdict.EXPIRED)
    return decisions
