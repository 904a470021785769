"""`python -m worker.runners.child FD PARENT`: the process of one run. It imports, waits for its run, runs it, and goes.

It speaks over the socket FD alone; what the author prints is the worker's to log. Refused: a second run, Postgres and
Redis (their addresses are not in its environment), and staying when the worker is gone.
"""

import asyncio
import ctypes
import faulthandler
import io
import os
import signal
import socket
import sys
import traceback
from base64 import b64encode
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import Annotated, Any, cast

import uvloop
from pydantic import Field, TypeAdapter

from shared.tracebacks import frames
from worker.runners import wire
from worker.runners.asks import Asks
from worker.runners.contents import pieces_of, size_of
from worker.runners.context import Context, Message, Steering
from worker.runners.failing import RunnerError
from worker.runners.files import Files
from worker.runners.outputs import File, Output, checked, invalid
from worker.runners.python import load

GRACE = 5.0  # seconds that a runner gets to clean up; the worker kills us sooner, where there still is one
TEXT = 16_000  # characters of an error's text that are passed on: its end says the most

_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
_DOWN: TypeAdapter[wire.Down] = TypeAdapter(Annotated[wire.Down, Field(discriminator="type")])


class Session:
    """One run, between the frames that come down and those that go up."""

    def __init__(self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._lines = wire.Lines(stream, wire.DOWN_LINE)
        self._writer = writer
        self._messages: list[Message] = []
        self._steer = Steering()
        self._stopping = asyncio.Event()
        self._histories: dict[int, tuple[list[Message], asyncio.Future[Sequence[Message]]]] = {}
        self._asks = Asks(self._send)
        self._told = asyncio.Event()
        self._start: wire.Start | None = None
        self._cancelled = False

    async def serve(self) -> None:
        """Until the run has ended, the worker cancels it, or is gone."""
        await self._send(wire.Ready())
        listening = asyncio.create_task(self._listen())
        running = asyncio.create_task(self._run())
        await asyncio.wait((listening, running), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()  # raises where it could not even say how it ended
        await asyncio.wait((listening,))  # once the run has ended, too: the worker must have heard how
        self._cancelled = True
        running.cancel()
        _, pending = await asyncio.wait((running,), timeout=GRACE)
        if pending:
            os._exit(1)  # it would not stop, and nobody is there to kill us
        self._writer.close()
        with suppress(OSError):  # the worker may be gone
            await self._writer.wait_closed()

    async def _listen(self) -> None:
        """Takes what comes down, until it is a cancellation or the end."""
        while lines := await self._lines.read():
            for line in lines:
                frame = _DOWN.validate_json(line)
                if isinstance(frame, wire.Cancel):
                    return
                self._hear(frame)

    def _hear(self, frame: wire.Down) -> None:
        match frame:
            case wire.New():
                self._messages.append(frame.message)
            case wire.Start():
                self._start = frame
                self._told.set()
            case wire.Steer():
                self._steer.offer(frame.message)
            case wire.Stopping():
                self._stopping.set()
            case wire.Past():
                self._histories[frame.number][0].append(frame.message)
            case wire.PastEnd():
                self._answer(frame)
            case wire.Found() | wire.Piece() | wire.Refused():
                self._asks.answer(frame)

    def _answer(self, frame: wire.PastEnd) -> None:
        messages, asked = self._histories.pop(frame.number)
        if asked.done():  # the runner no longer waits for it
            return
        if frame.error:
            asked.set_exception(RunnerError("The history can't be read.", code="runner.history", retryable=True))
        else:
            asked.set_result(messages)

    async def _ask(self, limit: int) -> Sequence[Message]:
        number = self._asks.number()
        asked: asyncio.Future[Sequence[Message]] = asyncio.get_running_loop().create_future()
        self._histories[number] = ([], asked)
        await self._send(wire.Ask(number, limit))
        return await asked

    async def _run(self) -> None:
        await self._told.wait()
        end = await self._ended()
        await self._acknowledge()
        await self._send(end)

    async def _ended(self) -> wire.Up:
        """Drives the runner; says how it ended."""
        try:
            await self._drive()
        except RunnerError as error:
            return wire.Failed(_text(error.message[:TEXT]), _text(error.code), bool(error.retryable))
        except asyncio.CancelledError as error:
            if self._cancelled:
                raise
            return _raised(error)
        except BaseException as error:  # whatever an author's code raises ends this run, as inline
            return _raised(error)
        return wire.Completed()

    async def _drive(self) -> None:
        start = self._start
        if start is None:
            raise RuntimeError("a run before its start")
        sys.path[:] = start.path
        runner = load(start.function)
        outputs = cast("AsyncGenerator[Output, None]", runner(self._context(start)))  # `load` takes nothing else
        async with aclosing(outputs):
            async for output in outputs:
                if self._cancelled:
                    return  # it took no notice of the cancellation; what it yields now is not logged
                await self._acknowledge()
                await self._pass_on(output)

    def _context(self, start: wire.Start) -> Context:
        return Context(
            thread=start.thread,
            run=start.run,
            account=start.account,
            agent=start.agent,
            attempt=start.attempt,
            messages=tuple(self._messages),
            state=start.state,
            decisions=start.decisions,
            deadline=start.deadline,
            ahead=start.ahead,
            config=start.config,
            steer=self._steer,
            stopping=self._stopping,
            files=Files(self._asks),
            read_history=self._ask,
        )

    async def _acknowledge(self) -> None:
        """Tells what was taken before what follows from it."""
        taken = self._steer.acknowledged()
        if taken:
            await self._send(wire.Taken(taken))

    async def _pass_on(self, output: Any) -> None:
        """Raises RunnerError for what is no output, or none that can be written down."""
        found = checked(output)
        if isinstance(found, File):
            await self._pass_file(found)
            return
        try:
            line = wire.dump(found, wire.UP_LINE)
        except ValueError as error:
            raise invalid(f"{type(output).__name__} can't be passed on: {error}") from error
        self._writer.write(line)
        await self._writer.drain()

    async def _pass_file(self, file: File) -> None:
        """Its bytes, no faster than the worker takes them. Raises what its content raises."""
        await self._send(wire.FileBegun(file.name, file.mime_type or "", size_of(file.content)))
        async with aclosing(pieces_of(file.content)) as pieces:
            async for piece in pieces:
                await self._send(wire.FilePiece(b64encode(piece).decode()))
        await self._send(wire.FileEnded())

    async def _send(self, frame: wire.Up) -> None:
        self._writer.write(wire.dump(frame, wire.UP_LINE))
        await self._writer.drain()


def _raised(error: BaseException) -> wire.Raised:
    return wire.Raised(_text(traceback.format_exc()), _text(frames(error)))


def _text(text: object) -> str:
    """The end of it, without what JSON can't hold."""
    return str(text)[-TEXT:].encode("utf-8", "backslashreplace").decode()


def _stay(_signal: int, _frame: object) -> None:
    """A supervisor may signal the whole group: the worker decides. A handler, since `ignore` is inherited by programs
    that the author starts, which could then not be ended.
    """


def _settle(parent: int) -> None:
    """Signals are the worker's, and its death is ours."""
    ours = (signal.SIGINT, signal.SIGTERM)
    for name in ours:
        signal.signal(name, _stay)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ours)  # blocked by the worker, for the time until here
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the kernel was told
        os._exit(1)


async def converse(descriptor: int) -> None:
    os.set_inheritable(descriptor, False)  # programs that the author starts have no part in it
    stream, writer = await asyncio.open_unix_connection(sock=socket.socket(fileno=descriptor), limit=wire.CHUNK)
    await Session(stream, writer).serve()


def main() -> int:
    descriptor, parent = (int(argument) for argument in sys.argv[1:3])
    _settle(parent)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what a runner prints is in the log before it dies
    faulthandler.enable()
    uvloop.run(converse(descriptor))
    return 0


if __name__ == "__main__":
    sys.exit(main())
