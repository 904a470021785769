"""One run, driven: its runner is called, what it yields goes to the tape, and its end is told, whatever it is.

The runner is pumped by a task of its own, so that an interrupt, a deadline or the end of the worker reaches it wherever
it is. Refused here: SQL; the writer and the leases are handed in.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from enum import Enum

import structlog

from shared.files.made import NotHeld
from shared.ids import RunId
from shared.metrics import RUN_FIRST_OUTPUT
from shared.models import RunError
from shared.reports import Made, RunExpired, RunFinished, RunnerEvent, RunReleased, RunWaits
from worker.execute.append import Append, Fate, Writer
from worker.execute.artifacts import Artifacts
from worker.execute.leases import Lease
from worker.execute.replay import Replay
from worker.execute.tape import Tape, TooLong
from worker.runners import Checkpoint, Context, File, Output, Runner, RunnerError
from worker.runners.drive import GRACE, Turn, failure, generator
from worker.runners.outputs import Plain
from worker.runners.registry import ConfigError

log = structlog.get_logger()

MOST_WAITING = 256 << 10  # characters of one run that wait for the writer, before its runner waits, too
MOST_EVENTS = 1_000  # events of one run that wait
BREATH = 32  # outputs after which a runner that awaits nothing lets others run

_GONE = RunError("runner.file_gone", "A file that the runner made was removed before it was told of.", retryable=True)
_BLOCKED = RunError("runner.invalid_output", "The database refused what the runner yielded.", retryable=False)


class Told(Enum):
    """Why a run ends that did not end by itself."""

    CANCELLED = "cancelled"  # it is over in the database
    LOST = "lost"  # somebody else has its lease, or nobody
    EXPIRED = "expired"
    RELEASED = "released"  # the worker stops
    SPOILED = "spoiled"  # what it said can't be written


class End(Enum):
    """How a runner came to its end."""

    COMPLETED = "completed"
    WAITING = "waiting"
    CHECKED = "checked"  # at a checkpoint, because the worker stops


@dataclass(slots=True)
class Execution:
    lease: Lease
    context: Context
    open: Callable[[], Awaitable[Runner]]  # raises RunnerError, ConfigError
    writer: Writer
    let_go: Callable[[Lease], Awaitable[None]]
    tape: Tape
    recall: Callable[[], Awaitable[Replay | None]]  # what an earlier attempt logged
    artifacts: Artifacts
    replay: Replay | None = None
    traceparent: str | None = None  # of the span that its batch was applied in
    steers: dict[str, RunId] = field(default_factory=dict)  # message offered -> the run it becomes otherwise
    orphan: asyncio.Task[End] | None = None  # a runner that did not stop in its time
    error: RunError | None = None  # why it failed
    _told: asyncio.Future[Told] = field(init=False)
    _last: list[RunnerEvent] | None = None  # how the run ends, once that is known
    _releases: bool = True  # whether its lease ends with that
    _deaf: bool = False  # what its runner yields now is not heard
    _closed: bool = False  # nothing is written any more
    _spoiled: bool = False
    _blocked: RunError = _BLOCKED  # why
    _flying: bool = False  # something of it is with the writer
    _written: asyncio.Event = field(default_factory=asyncio.Event)
    _settled: asyncio.Future[Fate] = field(init=False)
    _turn: Turn = field(init=False)

    def __post_init__(self) -> None:
        loop = asyncio.get_running_loop()
        self._told, self._settled = loop.create_future(), loop.create_future()
        self._turn = Turn(frozenset(self.context.decisions), self.context.state)

    def tell(self, told: Told) -> None:
        """Ends the run for a reason that is not its runner's. The first one counts."""
        if not self._told.done():
            self._told.set_result(told)

    async def run(self) -> str:
        """Drives the run to its end, or as far as this worker has it; returns how it ended."""
        pump = asyncio.create_task(self._pump(), name=f"runner {self.lease.run}")
        deadline = asyncio.get_running_loop().call_later(max(self.lease.left, 0), self.tell, Told.EXPIRED)
        try:
            await asyncio.wait((pump, self._told), return_when=asyncio.FIRST_COMPLETED)
            return await (self._finish(pump) if pump.done() else self._interrupt(pump, self._told.result()))
        finally:
            deadline.cancel()
            self._deaf = self._closed = True
            if not pump.done():
                pump.cancel()
                self.orphan = pump

    async def _pump(self) -> End:
        """The runner from its first output to its end. Raises what it raises."""
        self.replay = await self.recall()
        try:
            runner = await self.open()
            async with aclosing(generator(runner(self.context))) as outputs:
                if await self._take_all(outputs):
                    return End.CHECKED
        except (Exception, asyncio.CancelledError):
            raise
        except BaseException as error:  # SystemExit, KeyboardInterrupt: a task that lets them out ends the whole loop
            raise RunnerError(f"The runner raised {type(error).__name__}.") from error
        self._acknowledge()
        self._end_replay()
        return End.WAITING if self.tape.asks else End.COMPLETED

    async def _take_all(self, outputs: AsyncIterator[Output]) -> bool:
        """Takes what it yields, no faster than it is written; True where it came to a checkpoint and is to stop."""
        loop, taken = asyncio.get_running_loop(), 0
        began = loop.time()
        async for output in outputs:
            if self._deaf:
                break
            now = loop.time()
            if not taken:
                RUN_FIRST_OUTPUT.observe((now - began,))
            await self._take(self._turn.take(output), now)
            if isinstance(output, Checkpoint | File):
                await self._until_written()  # what a runner does next may rest on it
                if isinstance(output, Checkpoint) and self.context.stopping.is_set():
                    return True
            taken += 1
            if taken % BREATH == 0:
                await asyncio.sleep(0)
            if self.tape.size > MOST_WAITING or self.tape.count > MOST_EVENTS:
                await self._until_written()
        return False

    async def _take(self, output: Output, now: float) -> None:
        if not isinstance(output, File):
            self._record(output, now)
            return
        made = await self.artifacts.keep(output)
        if not self._record(made, now):
            await self.artifacts.drop(made)

    async def _until_written(self) -> None:
        while self._flying or not self.tape.empty:
            self._written.clear()
            await self._written.wait()

    def _record(self, output: Plain | Made, now: float) -> bool:
        """False where an earlier attempt has said all of it."""
        self._acknowledge()
        left: Plain | Made | None = output
        if self.replay is not None:
            left, same = self.replay.swallow(output)
            if not same:
                self._differ(self.replay)
            if self.replay.over:
                self.tape.speech, self.replay = self.replay.speech, None
        if left is not None:
            self.tape.add(left, now)
        if not self.tape.empty:
            self.writer.add(self)
        return left is not None

    def _differ(self, replay: Replay) -> None:
        cut = replay.differ()
        if cut is not None:
            self.tape.keep(cut)

    def _end_replay(self) -> None:
        """The runner is done, and may not have repeated all."""
        if self.replay is not None:
            self._differ(self.replay)
            self.tape.speech, self.replay = self.replay.speech, None

    def _acknowledge(self) -> None:
        for message in self.context.steer.acknowledged():
            if (run := self.steers.get(message)) is not None:
                self.tape.acknowledge(run)
                self.writer.add(self)

    async def _finish(self, pump: asyncio.Task[End]) -> str:
        """The runner came to its end by itself."""
        run = self.lease.run
        try:
            end = pump.result()
        except (Exception, asyncio.CancelledError) as error:
            self.error = self._why(error)
            return await self._report([RunFinished(run, self.error)], "failed")
        if end is End.CHECKED:
            return await self._report([RunReleased(run)], "released")
        self.tape.end_message()
        if end is End.WAITING:
            return await self._report([RunWaits(run, tuple(self.tape.asks))], "waiting")
        return await self._report([RunFinished(run)], "completed")

    def _why(self, error: BaseException) -> RunError:
        if isinstance(error, ConfigError):
            return RunError("runner.misconfigured", str(error), retryable=False)
        if isinstance(error, TooLong):
            return RunError("runner.invalid_output", str(error), retryable=False)
        if not isinstance(error, RunnerError):
            log.warning("a runner raised", exc_info=error)
        told = failure(error)
        return RunError(told.code, told.message, told.retryable)

    async def _interrupt(self, pump: asyncio.Task[End], told: Told) -> str:
        """Somebody else ended the run, or its time is up, or the worker's is."""
        self._deaf = True
        run = self.lease.run
        pump.cancel()
        if told is Told.EXPIRED:
            await self._report([RunExpired(run)], "expired", releases=False)
        self._closed = told not in (Told.RELEASED, Told.SPOILED)
        await self._stop(pump)
        if told is Told.RELEASED:
            return await self._report([RunReleased(run)], "released")
        if told is Told.SPOILED:
            self.tape.take()
            self.error = self._blocked
            return await self._report([RunFinished(run, self._blocked)], "failed")
        await self.let_go(self.lease)
        return str(told.value)

    async def _stop(self, pump: asyncio.Task[End]) -> None:
        """Gives the runner, which was cancelled, its time."""
        await asyncio.wait((pump,), timeout=GRACE)
        if not pump.done():
            log.warning("a runner ignores that it is to stop")
        elif not pump.cancelled() and (error := pump.exception()) is not None:
            log.debug("a runner failed while it was stopped", error=error)

    async def _report(self, events: list[RunnerEvent], end: str, *, releases: bool = True) -> str:
        """Hands in how the run ends, behind all that it said, and waits until that is written or refused."""
        self._last, self._releases = events, releases
        self.writer.add(self)
        if await self._settled is Fate.WRITTEN:
            return end
        self._closed = True
        if releases:
            await self.let_go(self.lease)
        return "refused"

    @property
    def size(self) -> int:
        return self.tape.size

    def collect(self) -> Append | None:
        """For the writer."""
        if self._closed:
            self._settle(Fate.REFUSED)
            return None
        events, last, self._last = self.tape.take(), self._last, None
        if last is not None and self._spoiled:  # it is not told as well what it could not say
            events, last = [], [RunFinished(self.lease.run, self._blocked)]
        self._flying = bool(events) or last is not None
        if last is not None:
            return Append(self.lease, [*events, *last], True, self._releases)
        return Append(self.lease, events) if events else None

    def settle(self, append: Append, fate: Fate) -> None:
        self._flying = False
        self._written.set()
        if fate is Fate.REFUSED:
            self._closed = True
            self.tell(Told.CANCELLED)
        if append.ends or fate is Fate.REFUSED:
            self._settle(fate)
        elif not self.tape.empty or self._last is not None:
            self.writer.add(self)

    def spoil(self, append: Append, error: Exception) -> None:
        """What it said can't be written: the run fails with what was written before."""
        self._flying = False
        self._written.set()
        self._blocked = _GONE if isinstance(error, NotHeld) else _BLOCKED
        if self._spoiled:
            self._settle(Fate.REFUSED)
        elif append.ends:
            self._last = [RunFinished(self.lease.run, self._blocked)]
            self.writer.add(self)
        else:
            self.tell(Told.SPOILED)
        self._spoiled = True

    def _settle(self, fate: Fate) -> None:
        with suppress(asyncio.InvalidStateError):
            self._settled.set_result(fate)
