"""One child process: started, spoken to, listened to, and ended with everything that it started.

It leads a session and a process group of its own, so the terminal's signals pass it by and one signal reaches its whole
group. Refused: addresses and secrets of ours in its environment, and a child that is not reaped.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Annotated, TypeAlias

import structlog
from pydantic import Field, TypeAdapter

from worker.runners import wire
from worker.runners.failing import RunnerError
from worker.runners.outputs import Plain
from worker.runners.prints import Prints

log = structlog.get_logger()

START_LIMIT = 30.0  # seconds until a child must be ready; an idle machine takes half of one
LOOK_EVERY = 0.5  # seconds between looks whether it is dead, while something that it started holds its socket open
EXIT_LIMIT = 0.5  # seconds from a child's last word to its death; one that only closed its socket is killed then
REAP_EVERY = 0.01  # seconds between looks while it is ending
REAP_BLOCKING = 0.1  # seconds that a loop which ends may stand still, to leave no zombie
REAP_LIMIT = 2.0  # seconds after SIGKILL; longer takes only a process that hangs in the kernel
LAST_PRINTS = 0.2  # seconds to log what it printed last; with KILL of isolation.py, within the runner's grace

# What the worker needs and no author does. The password is where libpq and asyncpg find one that is not in the URL.
_OURS = frozenset({"DATABASE_URL", "REDIS_URL", "PGPASSWORD", "PGPASSFILE"})
_PREFIX = "THREADMILL_"

Frame: TypeAlias = Plain | wire.Up
_UP: TypeAdapter[Frame] = TypeAdapter(Annotated[Frame, Field(discriminator="type")])


class Child:
    """Made by `Child.start`. Whoever has it ends it."""

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        stream: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        prints: Prints,
    ) -> None:
        self.prints = prints
        self._process = process
        self._lines = wire.Lines(stream, wire.UP_LINE)
        self._writer = writer

    @classmethod
    async def start(cls, environment: Mapping[str, str]) -> "Child":
        """A child that is ready for its run. Raises RunnerError."""
        try:
            child = await cls._spawn(environment)
        except OSError as error:
            raise _unavailable(f"{type(error).__name__}: {error}") from error
        ready = False
        try:
            async with asyncio.timeout(START_LIMIT):
                ready = [child.parse(line) for line in await child.read()] == [wire.Ready()]
        except TimeoutError as error:
            raise _unavailable(f"it was not ready within {START_LIMIT:.0f} s") from error
        finally:
            if not ready:  # also where we are cancelled
                await child.end(0)
        if not ready:
            raise _unavailable("it ended at once; what it printed is in the worker's log")
        return child

    @classmethod
    async def _spawn(cls, environment: Mapping[str, str]) -> "Child":
        """Everything that waits comes before the process is there: nothing is left behind by a cancellation."""
        with ExitStack() as theirs, ExitStack() as undo:
            near, far = socket.socketpair()
            theirs.callback(far.close)
            undo.callback(near.close)
            heard, said = os.pipe()
            theirs.callback(os.close, said)
            prints = await Prints.open(heard)
            undo.callback(prints.drop)
            stream, writer = await asyncio.open_unix_connection(sock=near, limit=wire.CHUNK)
            undo.callback(writer.transport.abort)
            child = cls(_run_python(far.fileno(), said, environment), stream, writer, prints)
            undo.pop_all()
            return child

    def tell(self, frame: wire.Down) -> None:
        """Raises TooLong, ValueError for what can't be written down; does nothing where the child is gone."""
        line = wire.dump(frame, wire.DOWN_LINE)
        if not self._writer.is_closing():
            self._writer.write(line)

    async def flush(self) -> None:
        """Waits until the child has taken most of what it was told; returns where it is gone."""
        with suppress(OSError):
            await self._writer.drain()

    async def read(self) -> list[bytes]:
        """Lines that the child wrote, for `parse`; none once it is dead, also where its socket is still open.

        Raises RunnerError for a line without end.
        """
        dead = False
        while True:
            try:
                async with asyncio.timeout(LOOK_EVERY):
                    return await self._lines.read()
            except TimeoutError:
                if dead:
                    return []
                dead = self.gone()  # what it wrote before is read first
            except OSError:  # it died with something unread
                return []
            except wire.TooLong as error:
                raise self._unreadable(error) from error

    def parse(self, line: bytes) -> Frame:
        """Raises RunnerError for what is no frame."""
        try:
            return _UP.validate_json(line, strict=True)
        except ValueError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: ValueError) -> RunnerError:
        log.warning("a runner's child said what can't be read", run=self.prints.run, error=error)
        return RunnerError("The runner yielded what can't be read.", code="runner.invalid_output")

    def gone(self) -> bool:
        """Whether it is dead. It is not reaped by this: its number stays its own until its group was killed."""
        if self._process.returncode is not None:
            return True
        if sys.platform == "linux":
            try:
                return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
            except ChildProcessError:  # somebody in this process reaps whatever dies
                return True
        return self._process.poll() is not None

    def kill(self) -> None:
        """Kills it, and what it started in its group."""
        if sys.platform != "linux" or self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of a group that is dead
                os.killpg(self._process.pid, signal.SIGKILL)

    async def end(self, linger: float) -> str:
        """Lets it go by itself within `linger` seconds, then kills its group. Says how it ended. Twice is harmless."""
        hearing = asyncio.create_task(self._ignore())
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(linger):
                    while not self.gone():  # noqa: ASYNC110 - a death sets no event
                        await asyncio.sleep(REAP_EVERY)
            self.kill()
            await self._reap()
        finally:  # cancelled: the loop ends
            self.kill()
            hearing.cancel()
            self._writer.transport.abort()
            self.prints.drop()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(REAP_BLOCKING)
        return _how(self._process.returncode)

    async def _ignore(self) -> None:
        """Reads on, so that it does not wait for us to."""
        with suppress(OSError, ValueError):
            while await self._lines.read():
                pass

    async def _reap(self) -> None:
        try:
            async with asyncio.timeout(REAP_LIMIT):
                while self._process.poll() is None:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(REAP_EVERY)
        except TimeoutError:
            log.error("a runner's child does not die", run=self.prints.run, pid=self._process.pid)
        await self.prints.close(LAST_PRINTS)


def _run_python(descriptor: int, output: int, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """A few milliseconds of the loop's thread: the kernel ends a child with the thread that made it."""
    with _blocked(signal.SIGINT, signal.SIGTERM):
        return subprocess.Popen(  # noqa: S603 - argv is ours, no shell
            (sys.executable, "-m", "worker.runners.child", str(descriptor), str(os.getpid())),
            env={name: value for name, value in environment.items() if _is_theirs(name)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(descriptor,),
            start_new_session=True,
        )


@contextmanager
def _blocked(*signals: signal.Signals) -> Iterator[None]:
    """The child inherits it, and takes it back once its own handlers stand."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _is_theirs(name: str) -> bool:
    return name not in _OURS and not name.startswith(_PREFIX)


def _how(returncode: int | None) -> str:
    if returncode is None:
        return "not to be ended"
    if returncode >= 0:
        return f"exit status {returncode}"
    try:
        return f"killed by {signal.Signals(-returncode).name}"
    except ValueError:  # a real-time signal has no name
        return f"killed by signal {-returncode}"


def _unavailable(why: str) -> RunnerError:
    return RunnerError(f"The runner's process can't be started: {why}.", code="runner.unavailable", retryable=True)
