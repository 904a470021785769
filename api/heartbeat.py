"""An api's heartbeat: that it lives, where, what it weighs, and what it counted. On a connection of its own.

Nobody depends on it: it is for who looks. An api beats from the moment it listens until it is told to stop.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

import asyncpg
import structlog

from shared import __version__
from shared.db.connect import AWAY, BY_INDEX, Line
from shared.db.statements import statements
from shared.ids import Ulid
from shared.metrics import OF_POSTGRES, POSTGRES_ERRORS, WORKERS, forget
from shared.samples import LOCK_TIMEOUT_MS, Samples, Side
from shared.settings import Settings
from shared.tasks import about, end, stop_process
from shared.vitals import LIVES, Clock, OldestAge, memory

log = structlog.get_logger()
SQL = statements("heartbeats")

INTERVAL = 2.0  # seconds
LEAVE = 1.0  # seconds for the last word


@dataclass(slots=True)
class Heartbeat:
    settings: Settings
    id: Ulid
    streams: Callable[[], int]  # how many are open
    clock: Clock = field(default_factory=Clock)
    _port: int | None = None
    _listens: asyncio.Event = field(default_factory=asyncio.Event)
    _samples: Samples = field(default_factory=lambda: Samples(Side.API))
    _oldest: OldestAge = field(default_factory=OldestAge)
    _line: Line = field(init=False)
    _task: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        options = {**BY_INDEX, "synchronous_commit": "off", "lock_timeout": str(LOCK_TIMEOUT_MS)}
        self._line = Line(self.settings.database_url, **options, application_name="threadmill heartbeat")

    def start(self) -> None:
        """Beats as soon as it is known where the api listens."""
        self._task = asyncio.create_task(self.run(), name="heartbeat")
        self._task.add_done_callback(stop_process)

    def listen(self, port: int) -> None:
        self._port = port
        self._listens.set()

    async def run(self) -> None:
        """Beats until it is cancelled."""
        await self._listens.wait()
        while True:
            try:
                await self.beat_once()
            except (*AWAY, asyncpg.PostgresError) as error:
                POSTGRES_ERRORS.labels("heartbeat").inc()
                log.debug("no heartbeat", error=repr(error))
                forget(OF_POSTGRES)
                self._oldest.sparing.forget()
                await self._line.drop()
            await asyncio.sleep(about(INTERVAL, 0.1))

    async def beat_once(self) -> None:
        """Says that it lives; adds samples where they are due. Raises what says that Postgres is away."""
        connection = await self._line.get()
        if self.clock.skew is None:
            self.clock.ask()
            self.clock.learn(await connection.fetchval(SQL["clock"]))
        me = (self.id, socket.gethostname(), os.getpid(), self._port or 0, __version__)
        self.clock.ask()
        row = await connection.fetchrow(SQL["api"], *me, memory(), self.clock.skew, self.streams(), LIVES)
        self.clock.learn(row["now"])
        WORKERS.set(row["workers"])
        await self._oldest.ask(connection)
        await self._samples.add_if_due(self._line)

    async def close(self) -> None:
        """The last samples, and goodbye, within a second; where that fails, it is forgotten after an hour."""
        await end([] if self._task is None else [self._task])
        if self._listens.is_set():
            try:
                async with asyncio.timeout(LEAVE):
                    connection = await self._line.get()
                    await self._samples.add(connection)
                    await connection.execute(SQL["leave"], self.id)
            except (*AWAY, asyncpg.PostgresError) as error:
                log.debug("left without a word", error=repr(error))
                await self._line.drop()
        await self._line.close()
