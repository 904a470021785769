"""Heartbeats: one statement for all leases of a worker, every 2 s, on a thread and a connection of its own.

So they go on while a runner blocks the worker's loop. The answer says which leases are gone, which runs are over, and
which were offered messages; it is handed back to the worker's loop. A nudge makes the next heartbeat come at once.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

import asyncpg
import structlog

from shared.crashpoints import crash
from shared.db.connect import AWAY, BY_INDEX, DURABLE, Line
from shared.db.statements import statements
from shared.ids import ThreadId
from shared.logs import Seldom
from shared.metrics import POSTGRES_ERRORS
from worker.execute.leases import LIFE, Lease

warn = Seldom(structlog.get_logger())
SQL = statements("execute")

BEAT = 2.0  # seconds
RETRY = 0.3  # seconds after one that failed: a lease lasts for three beats
TIMEOUT = 1.5  # seconds of one statement
END = 5.0  # seconds for the thread to end


class Beaten(NamedTuple):
    """How it stands with one lease."""

    thread: ThreadId
    epoch: int
    held: bool
    over: bool
    steered: bool
    passed: bool  # not renewed, because somebody had its row locked


class Heartbeat:
    def __init__(self, url: str, leases: Callable[[], Sequence[Lease]], tell: Callable[[list[Beaten]], None]) -> None:
        """`leases` is called in the heartbeat's thread, `tell` in the loop that started it."""
        self._url = url
        self._leases = leases
        self._tell = tell
        self._nudged = asyncio.Event()
        self._ended = asyncio.Event()
        self._thread: threading.Thread | None = None
        self._home: asyncio.AbstractEventLoop | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # the thread's, while it runs

    def start(self) -> None:
        self._home = asyncio.get_running_loop()
        self._thread = threading.Thread(target=asyncio.run, args=(self._run(),), name="heartbeat", daemon=True)
        self._thread.start()

    def nudge(self) -> None:
        """Something happened to a run of ours: look now."""
        self._set(self._nudged)

    def check(self) -> None:
        """Raises RuntimeError where the thread has ended, and nobody told it to."""
        if self._thread is not None and not self._thread.is_alive() and not self._ended.is_set():
            raise RuntimeError("the heartbeat's thread has ended")

    async def stop(self) -> None:
        """Ends the thread; its leases run out, unless they were released."""
        if self._thread is not None:
            self._set(self._ended)
            self._set(self._nudged)
            await asyncio.to_thread(self._thread.join, END)

    def _set(self, event: asyncio.Event) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the thread has ended
                self._loop.call_soon_threadsafe(event.set)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        line = Line(self._url, **BY_INDEX, **DURABLE, application_name="threadmill leases")
        try:
            while not self._ended.is_set():
                pause = await self._beat_once(line)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._nudged.wait(), pause)
                self._nudged.clear()
        finally:
            await line.close()

    async def _beat_once(self, line: Line) -> float:
        """One heartbeat; returns the seconds until the next one."""
        leases = self._leases()
        if not leases:
            return BEAT
        try:
            connection = await line.get()
            columns = zip(*((*lease.where, lease.epoch) for lease in leases), strict=True)
            rows = await connection.fetch(SQL["beat"], *columns, LIFE, timeout=TIMEOUT)
            crash("worker.after_beat")
        except (*AWAY, asyncpg.PostgresError) as error:
            POSTGRES_ERRORS.labels("leases").inc()
            warn("leases not renewed", leases=len(leases), error=repr(error))
            await line.drop()
            return RETRY
        if self._home is not None:
            with suppress(RuntimeError):  # the worker's loop has ended
                self._home.call_soon_threadsafe(self._tell, [Beaten(*row) for row in rows])
        return RETRY if any(row["passed"] for row in rows) else BEAT
