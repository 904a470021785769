"""`isolation: process`: each run in a child process of its own, from a pool of warm ones.

What a runner does to its process, it does to its own run: it may block, leak, crash. A child runs one run and is gone.
Refused: more than a few buffers of output ahead of whoever consumes it (the child waits), and a child without an owner.
"""

import asyncio
import os
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping

import structlog

from shared.metrics import RUNNER_CHILDREN
from shared.tasks import end
from worker.runners import wire
from worker.runners.context import Context
from worker.runners.outputs import Output
from worker.runners.process import EXIT_LIMIT, Child, Frame
from worker.runners.protocol import Runner, RunnerError

log = structlog.get_logger()

GRACE = 5.0  # seconds that a cancelled runner gets to clean up: of the contract
KILL = 0.25  # seconds of them for the kill: closing takes no longer than GRACE in all
LINGER = 2.0  # seconds for a child whose run has ended: exit functions, threads that it waits for
RETRY = 1.0  # seconds until the next try to start a child ahead
STARTING = 2  # children that start at once: more only take longer, each of them


class RunnerRaised(Exception):
    """A runner raised something that is no RunnerError. The text is its traceback, in its child: for the log only."""


class Pool:
    """Keeps `size` children ready. Of one event loop; `close` it before the loop ends."""

    def __init__(self, size: int = 0, environment: Mapping[str, str] = os.environ) -> None:
        if size < 0:
            raise ValueError("size: 0 or more")
        self._size = size
        self._environment = environment
        self._warm: deque[Child] = deque()
        self._children: set[Child] = set()
        self._endings: set[asyncio.Task[str]] = set()
        self._starting = asyncio.Semaphore(STARTING)
        self._filling: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def warm(self) -> int:
        """How many children wait for a run."""
        return len(self._warm)

    def fill(self) -> None:
        """Starts what is missing, in the background. `take` calls it, too."""
        if not self._closed and (self._filling is None or self._filling.done()):
            self._filling = asyncio.create_task(self._fill(), name="warm children")

    async def take(self) -> Child:
        """A child for one run; `bury` it. A cold one where none is warm. Raises RunnerError."""
        while self._warm:
            child = self._warm.popleft()
            self.fill()
            if not child.gone():
                RUNNER_CHILDREN.labels("warm").inc()
                return child
            self.bury(child, 0)
        child = await self._start()
        self.fill()
        RUNNER_CHILDREN.labels("cold").inc()
        return child

    def bury(self, child: Child, linger: float) -> "asyncio.Task[str]":
        """Ends it in the background, `linger` seconds from now at the latest. The task says how it ended."""
        ending = asyncio.create_task(child.end(linger), name="a child's end")
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        ending.add_done_callback(lambda _: self._children.discard(child))
        return ending

    async def close(self) -> None:
        """Ends all children at once. Call it after the runs: one that is still under way fails as crashed."""
        self._closed = True
        if self._filling is not None:
            await end((self._filling,))
        while self._warm:
            self.bury(self._warm.popleft(), 0)
        for child in self._children:
            child.kill()
        if self._endings:
            await asyncio.wait(self._endings)  # each has its bound

    async def _start(self) -> Child:
        async with self._starting:
            if self._closed:
                raise RunnerError("The worker stops.", code="runner.unavailable", retryable=True)
            child = await Child.start(self._environment)
            self._children.add(child)
            return child

    async def _fill(self) -> None:
        while len(self._warm) < self._size:
            try:
                self._warm.append(await self._start())
            except RunnerError as error:
                log.warning("no child could be started ahead", error=error.message)
                await asyncio.sleep(RETRY)


def isolate(function: str, pool: Pool) -> Runner:
    """A runner that has `module:function` run in a child of the pool."""

    async def run(ctx: Context) -> AsyncIterator[Output]:
        talk = Talk(await pool.take(), ctx)
        try:
            await talk.begin(function)
            while not talk.over:
                for frame in await talk.hear():
                    if isinstance(frame, Output):
                        yield frame
                    else:
                        await talk.answer(frame)
        finally:
            await talk.close(pool)

    return run


class Talk:
    """What a run's context and its child have to say to each other. `over`: the runner ended, and how is known."""

    def __init__(self, child: Child, ctx: Context) -> None:
        self.over = False
        self._child = child
        self._ctx = ctx
        self._tasks: list[asyncio.Task[None]] = []
        child.prints.run = ctx.run

    async def begin(self, function: str) -> None:
        """Hands the run over. Raises RunnerError where it is too long for a pipe."""
        ctx = self._ctx
        start = wire.Start(
            function=function,
            path=sys.path,
            thread=ctx.thread,
            run=ctx.run,
            account=ctx.account,
            agent=ctx.agent,
            attempt=ctx.attempt,
            state=ctx.state,
            decisions=ctx.decisions,
            deadline=ctx.deadline,
            config=ctx.config,
        )
        for message in ctx.messages:
            self._tell(wire.New(message))
            await self._child.flush()
        self._tell(start)
        loops = (self._relay(), self._warn())
        self._tasks = [asyncio.create_task(loop, name=f"to the child of {ctx.run}") for loop in loops]
        await self._child.flush()

    async def hear(self) -> list[Frame]:
        """What the child said next. Raises RunnerError where it is dead, or says what is no frame."""
        await asyncio.sleep(0)  # a child that floods leaves the loop to others between its chunks
        frames = await self._child.read()
        if not frames:
            how = await self._child.end(EXIT_LIMIT)
            raise RunnerError(f"The runner's process ended: {how}.", code="runner.crashed", retryable=True)
        return frames

    async def answer(self, frame: wire.Up) -> None:
        """Raises RunnerError, RunnerRaised: what the runner raised."""
        match frame:
            case wire.Taken():
                self._ctx.steer.mark_taken(frame.ids)
            case wire.Ask():
                await self._read_history(frame)
            case wire.Completed():
                self.over = True
            case wire.Failed():
                self.over = True
                raise RunnerError(frame.message, code=frame.code, retryable=frame.retryable)
            case wire.Raised():
                self.over = True
                raise RunnerRaised(frame.trace)
            case wire.Ready():
                log.warning("a runner's child was ready twice", run=self._ctx.run)

    async def close(self, pool: Pool) -> None:
        """Lets the child go. One whose run is not over is cancelled, and awaited, at most GRACE in all; cancelled here,
        it is killed.
        """
        for task in self._tasks:
            task.cancel()
        self._child.tell(wire.Cancel())
        if self.over or self._child.gone():
            pool.bury(self._child, LINGER)
            return
        ending = pool.bury(self._child, GRACE - KILL)
        try:
            await asyncio.shield(ending)
        except asyncio.CancelledError:
            self._child.kill()
            raise

    async def _read_history(self, asked: wire.Ask) -> None:
        try:
            messages = await self._ctx.history(asked.limit)
        except Exception:  # whoever made the context knows what it may raise; the child is told that it failed
            log.exception("no history for a runner's child", run=self._ctx.run)
            self._tell(wire.PastEnd(asked.number, error=True))
            return
        for message in messages:
            self._tell(wire.Past(asked.number, message))
            await self._child.flush()
        self._tell(wire.PastEnd(asked.number))

    async def _relay(self) -> None:
        while True:
            message = await self._ctx.steer.relay()
            try:
                self._tell(wire.Steer(message))
            except RunnerError as error:  # nobody takes it: it becomes a run of its own
                log.warning("a message was not steered", run=self._ctx.run, message=message.id, error=error.message)
            await self._child.flush()

    async def _warn(self) -> None:
        await self._ctx.stopping.wait()
        self._tell(wire.Stopping())

    def _tell(self, frame: wire.Down) -> None:
        try:
            self._child.tell(frame)
        except ValueError as error:
            text = f"The run's {frame.type} can't be handed to its process: {error}"
            raise RunnerError(text, code="runner.invalid_input") from error
