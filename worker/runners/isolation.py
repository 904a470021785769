"""`isolation: process`: each run in a child process of its own, from a pool of warm ones.

What a runner does to its process, it does to its own run: it may block, leak, crash. A child runs one run and is gone.
Refused: more than a few buffers of output ahead of whoever consumes it; the child waits.
"""

import asyncio
import sys
from base64 import b64decode
from collections import deque
from collections.abc import AsyncIterator

import structlog

from shared.tracebacks import Elsewhere
from worker.runners import wire
from worker.runners.asks import answer
from worker.runners.contents import Announced
from worker.runners.context import Context
from worker.runners.failing import RunnerError
from worker.runners.outputs import File, Output, Plain, invalid
from worker.runners.pool import Pool
from worker.runners.process import EXIT_LIMIT, Child, Frame
from worker.runners.protocol import Runner

log = structlog.get_logger()

GRACE = 5.0  # seconds that a cancelled runner gets to clean up: of the contract
KILL = 0.5  # seconds of them for the kill: closing takes no longer than GRACE in all
LINGER = 2.0  # seconds for a child whose run has ended: exit functions, threads that it waits for


class RunnerRaised(Elsewhere):
    """A runner raised something that is no RunnerError. The text is its traceback, in its child: for the log only."""


def isolate(function: str, pool: Pool) -> Runner:
    """A runner that has `module:function` run in a child of the pool."""

    async def run(ctx: Context) -> AsyncIterator[Output]:
        talk = Talk(await pool.take(), ctx)
        try:
            await talk.begin(function)
            while not talk.over:
                frame = await talk.next()
                if isinstance(frame, Plain):
                    yield frame
                elif isinstance(frame, wire.FileBegun):
                    content = Arriving(talk, frame.size)
                    yield File(frame.name, content, frame.mime_type)
                    await content.skip()
                else:
                    await talk.answer(frame)
        finally:
            await talk.close(pool)

    return run


class Arriving(Announced):
    """The bytes of a file that a child yields, as they come. Who took it asks for them before the next output."""

    def __init__(self, talk: "Talk", size: int | None) -> None:
        if size is not None and size < 0:
            raise invalid("a file has no fewer than 0 bytes")
        super().__init__(size)
        self._talk = talk
        self._over = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while not self._over:
            match await self._talk.next():
                case wire.FilePiece(data):
                    yield _decoded(data)
                case wire.FileEnded():
                    self._over = True
                case (
                    wire.Ask()
                    | wire.AskFiles()
                    | wire.AskPiece()
                    | wire.Taken()
                    | wire.Failed()
                    | wire.Raised() as frame
                ):
                    await self._talk.answer(frame)
                case frame:
                    raise invalid(f"{frame.type!r} came in the middle of a file")

    async def skip(self) -> None:
        """What nobody asked for."""
        async for _ in self:
            pass


def _decoded(data: str) -> bytes:
    try:
        return b64decode(data, validate=True)
    except ValueError as error:
        raise invalid("a piece of a file is no base64") from error


class Talk:
    """What a run's context and its child have to say to each other. `over`: the runner ended, and how is known."""

    def __init__(self, child: Child, ctx: Context) -> None:
        self.over = False
        self.child = child
        self._ctx = ctx
        self._tasks: list[asyncio.Task[None]] = []
        self._lines: deque[bytes] = deque()  # heard, and not taken yet
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
            ahead=ctx.ahead,
            config=ctx.config,
        )
        for message in ctx.messages:
            self._tell(wire.New(message))
            await self.child.flush()
        self._tell(start)
        loops = (self._relay(), self._warn())
        self._tasks = [asyncio.create_task(loop, name=f"to the child of {ctx.run}") for loop in loops]
        await self.child.flush()

    async def next(self) -> Frame:
        """What the child said next. Raises RunnerError where it is dead, or that can't be read."""
        while not self._lines:
            self._lines.extend(await self._hear())
        return self.child.parse(self._lines.popleft())

    async def _hear(self) -> list[bytes]:
        await asyncio.sleep(0)  # a child that floods leaves the loop to others between its chunks
        lines = await self.child.read()
        if not lines:
            how = await self.child.end(EXIT_LIMIT)
            raise RunnerError(f"The runner's process ended: {how}.", code="runner.crashed", retryable=True)
        return lines

    async def answer(self, frame: wire.Up) -> None:
        """Raises RunnerError, RunnerRaised: what the runner raised."""
        match frame:
            case wire.Taken():
                self._ctx.steer.mark_taken(frame.ids)
            case wire.Ask():
                await self._read_history(frame)
            case wire.AskFiles() | wire.AskPiece():
                self._tell(await answer(self._ctx.files.shelf, frame))
                await self.child.flush()
            case wire.Completed():
                self.over = True
            case wire.Failed():
                self.over = True
                raise RunnerError(frame.message, code=frame.code, retryable=frame.retryable)
            case wire.Raised():
                self.over = True
                raise RunnerRaised(frame.trace, frame.places)
            case wire.FileBegun() | wire.FilePiece() | wire.FileEnded():
                raise invalid(f"{frame.type!r} came where no file is")
            case wire.Ready():
                log.warning("a runner's child was ready twice", run=self._ctx.run)

    async def close(self, pool: Pool) -> None:
        """Lets the child go. One whose run is not over is cancelled, and awaited, at most GRACE in all; cancelled here,
        it is killed.
        """
        for task in self._tasks:
            task.cancel()
        self.child.tell(wire.Cancel())
        if self.over or self.child.gone():
            pool.bury(self.child, LINGER)
            return
        ending = pool.bury(self.child, GRACE - KILL)
        try:
            await asyncio.wait((ending,), timeout=GRACE)
        except asyncio.CancelledError:
            self.child.kill()
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
            await self.child.flush()
        self._tell(wire.PastEnd(asked.number))

    async def _relay(self) -> None:
        while True:
            message = await self._ctx.steer.relay()
            try:
                self._tell(wire.Steer(message))
            except RunnerError as error:  # nobody takes it: it becomes a run of its own
                log.warning("a message was not steered", run=self._ctx.run, message=message.id, error=error.message)
            await self.child.flush()

    async def _warn(self) -> None:
        await self._ctx.stopping.wait()
        self._tell(wire.Stopping())

    def _tell(self, frame: wire.Down) -> None:
        try:
            self.child.tell(frame)
        except ValueError as error:
            text = f"The run's {frame.type} can't be handed to its process: {error}"
            raise RunnerError(text, code="runner.invalid_input") from error
