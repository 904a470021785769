"""Notices, from a thread of its own, that the event loop does not run, and logs what holds it.

Somebody's code that blocks the loop stops every run of the worker: the stack names the line. Refused: interrupting it,
and a second stack of the same stall. Code that holds the interpreter's lock stops this thread, too, as does a stopped
process: that it stood still is told after, without a stack.
"""

import asyncio
import sys
import threading
import time
import traceback

import structlog

from shared.metrics import LOOP_STALLED, LOOP_STALLS

log = structlog.get_logger()

LIMIT = 1.0  # seconds that a loop may not run; its own longest step takes some hundredths
LOOKS = 4  # in LIMIT, of the thread and of the loop: a stall is seen by 1.5 of it
STACK = 4_000  # characters of a stack that are logged: its end is where the loop stands
JOIN = 2.0  # seconds for the thread to end; it waits for nothing but us


class Watchdog:
    """Of the loop that starts it. `stop` it there, too."""

    def __init__(self, limit: float = LIMIT) -> None:
        self._limit = limit
        self._every = limit / LOOKS
        self._ran = 0.0  # when the loop last did
        self._told = False  # of the stall that is under way
        self._ended = threading.Event()
        self._tick: asyncio.TimerHandle | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._run(loop)
        watched = threading.get_ident()
        self._thread = threading.Thread(target=self._watch, args=(watched,), name="watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Twice, or without a start, is harmless."""
        self._ended.set()
        if self._tick is not None:
            self._tick.cancel()
        if self._thread is not None:
            self._thread.join(JOIN)

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        self._ran = time.monotonic()
        self._tick = loop.call_later(self._every, self._run, loop)

    def _watch(self, watched: int) -> None:
        ran, looked = self._ran, time.monotonic()
        since = looked  # when the loop could last have run
        while not self._ended.wait(self._every):
            now = time.monotonic()
            if now - looked > self._limit:  # we did not run, too
                log.warning("the whole process stood still", seconds=round(now - looked, 3))
                since = now
            looked = now
            if self._ran != ran:
                self._resume(self._ran - ran)
                ran = since = self._ran
            elif not self._told and now - since > self._limit:
                self._tell(watched, now - since)

    def _tell(self, watched: int, seconds: float) -> None:
        self._told = True
        LOOP_STALLS.inc()
        log.error("the event loop is blocked", seconds=round(seconds, 3), stack=_stack(watched))

    def _resume(self, seconds: float) -> None:
        if self._told:
            LOOP_STALLED.inc(seconds)
            log.warning("the event loop runs again", seconds=round(seconds, 3))
        self._told = False


def _stack(thread: int) -> str:
    frame = sys._current_frames().get(thread)
    return "".join(traceback.format_stack(frame))[-STACK:] if frame is not None else "the thread has ended"
