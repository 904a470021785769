"""Child processes that never outlive us.

Each child is in a process group of its own, so a Ctrl-C reaches only us and we end the children in order,
and on Linux the kernel signals it when we die by `kill -9`. Refused: a shell, a child's standard input, and
standard output (it goes to a log or to our standard error).
"""

import asyncio
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_LOOK_EVERY = 0.05  # seconds between looks at a child; cheap, and the same on every system
_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Command:
    """How a child is started and ended; started again by it after it died.

    `become` runs between fork and exec, `orphaned` is the signal it gets when we die, `ended_by` the one
    that asks it to end within `seconds`. Without `log` it writes to our standard error. `stdin` is all that
    it can read.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] | None = None
    log: Path | None = None
    stdin: bytes = b""
    become: Callable[[], None] | None = None
    orphaned: signal.Signals = signal.SIGKILL
    ended_by: signal.Signals = signal.SIGTERM
    seconds: float = 6.0


Process = subprocess.Popen[bytes]


def spawn(command: Command) -> Process:
    """Starts it. Call from the main thread: the kernel ties the child to the thread that made it.

    Raises OSError where the program can't run, subprocess.SubprocessError where `become` failed.
    """
    output = _output(command)
    try:
        process = subprocess.Popen(  # noqa: S603 - argv is ours, no shell
            command.argv,
            env=command.env,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            process_group=0,
            preexec_fn=_before_exec(command),  # noqa: PLW1509 - prctl and unshare have no other place
        )
    finally:
        if output is not sys.stderr:
            output.close()
    _feed(process, command.stdin)
    return process


async def exited(process: Process, within: float | None = None) -> bool:
    """Waits until it is gone, at most `within` seconds; says whether it is."""
    deadline = None if within is None else time.monotonic() + within
    while process.poll() is None:
        if deadline is not None and time.monotonic() > deadline:
            return False
        await asyncio.sleep(_LOOK_EVERY)
    return True


async def end(process: Process, command: Command) -> None:
    """Asks it to end, and kills it when it does not in its time."""
    if process.poll() is not None:
        return
    process.send_signal(command.ended_by)
    if not await exited(process, command.seconds):
        process.kill()
        await exited(process, 2.0)


def last_words(command: Command) -> str:
    """The last line of its log that tells of an error, else the last one, for the line that tells why it ended."""
    if command.log is None or not command.log.exists():
        return ""
    lines = command.log.read_text(encoding="utf-8", errors="replace").split("\n")
    told = [line.strip() for line in lines if line.strip()]
    return next((line for line in reversed(told) if "FATAL" in line or "rror" in line), told[-1] if told else "")


def _output(command: Command) -> IO[bytes] | IO[str]:
    return sys.stderr if command.log is None else command.log.open("ab")


def _feed(process: Process, text: bytes) -> None:
    stdin = process.stdin
    if stdin is None:
        return
    try:
        stdin.write(text)  # at most some lines: it fits the pipe
        stdin.close()
    except BrokenPipeError:
        return  # it died at once; whoever waits for it sees that


def _before_exec(command: Command) -> Callable[[], None]:
    parent = os.getpid()

    def before_exec() -> None:
        if command.become is not None:
            command.become()
        if sys.platform == "linux":
            _libc.prctl(_SET_DEATH_SIGNAL, command.orphaned, 0, 0, 0)  # after `become`: new credentials clear it
            if os.getppid() != parent:  # we died before the kernel was told
                os._exit(1)

    return before_exec
