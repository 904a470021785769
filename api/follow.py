"""The hub: follows the logs of all threads that this process has open streams of.

One loop reads all threads that have something new in one query, and every few seconds all that are followed, so that
streams live without Redis; each event is encoded once, however many clients get it. One timer speaks for all streams
that are silent. Streams of a revoked token or a deleted thread are ended here. Refused here: waiting for a client.
"""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import asyncpg
import structlog
from redis.asyncio import Redis

from api import sse
from api.notices import LISTEN_TIMEOUT, Notices
from api.streams import Stream
from shared import stream as logs
from shared.db.connect import AWAY, BY_INDEX, Line
from shared.errors import NotFound, ServiceInactive, Unauthenticated
from shared.ids import EventId, ThreadId
from shared.keys import Keys
from shared.logs import Seldom
from shared.metrics import OPEN_STREAMS, POSTGRES_ERRORS, STREAM_LAG, STREAMED_EVENTS
from shared.queue import open_redis
from shared.settings import Settings
from shared.stream import Piece, Place
from shared.tasks import end, stop_process
from shared.vitals import Clock

log = structlog.get_logger()
warn = Seldom(log)

INTERVAL = 2.0  # seconds between looks at all followed threads
TOKENS = 5.0  # seconds between looks at the tokens of open streams
PATIENCE = 10.0  # seconds without Postgres after which streams end: their clients can ask another api
REST = 0.5  # seconds after a look that failed
SILENCE = 14.5  # seconds; with the tick on top of it clients hear something every 15
TICK = 0.5
ROWS, SIZE = 200, 64 << 10  # of one thread in one look; the rest follows at once
MOST = 1_000  # threads of one look: what they give in one answer stays within some megabytes
READ_TIMEOUT = 5.0  # seconds of one look


@dataclass(slots=True, eq=False)
class Followed:
    partition: int
    thread: ThreadId
    cursor: EventId  # the last event that was pushed
    streams: set[Stream] = field(default_factory=set)


class Hub:
    def __init__(self, settings: Settings) -> None:
        self._redis: Redis = open_redis(settings.redis_url, 5 * LISTEN_TIMEOUT)
        self._notices = Notices(self._redis, Keys(settings.redis_prefix), self._mark)
        self._line = Line(settings.database_url, **BY_INDEX, application_name="threadmill streams")
        self._followed: dict[ThreadId, Followed] = {}
        self._marked: dict[ThreadId, None] = {}  # threads that have something new
        self._arrived = asyncio.Event()
        self.clock = Clock()  # the heartbeat measures it
        self._whole_look = self._token_look = 0.0  # when they are due
        self._away_since: float | None = None
        self._closing = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Starts the loops: listen, subscribe, read, tick. Neither Postgres nor Redis need be there."""
        loops = (self._notices.listen, self._notices.subscribe, self._read, self._tick)
        self._tasks = [asyncio.create_task(loop(), name=loop.__qualname__) for loop in loops]
        for task in self._tasks:
            task.add_done_callback(stop_process)

    def hurry(self) -> None:
        """Ends all streams at once: the process is about to end, their clients go on elsewhere."""
        self._closing = True
        for stream in self._streams():
            stream.stop()
            stream.outlet.cut()

    async def close(self) -> None:
        await end(self._tasks)
        await self._line.close()
        await self._redis.aclose()

    def follow(self, stream: Stream) -> None:
        """From here on the stream is given all that its thread's log has behind `stream.since`, which moves up where
        the hub is further."""
        followed = self._followed.get(stream.thread)
        if followed is None:
            followed = Followed(stream.partition, stream.thread, stream.since)
            self._followed[stream.thread] = followed
            self._notices.want(stream.thread)
        stream.since = max(stream.since, followed.cursor)
        stream.spoke_at = stream.now()
        followed.streams.add(stream)
        OPEN_STREAMS.inc()
        if self._closing:
            stream.stop()

    def leave(self, stream: Stream) -> None:
        followed = self._followed[stream.thread]
        followed.streams.remove(stream)
        OPEN_STREAMS.dec()
        if not followed.streams:
            del self._followed[stream.thread]
            self._notices.forget(stream.thread)

    @property
    def open_streams(self) -> int:
        return sum(len(followed.streams) for followed in self._followed.values())

    def _streams(self) -> list[Stream]:
        return [stream for followed in self._followed.values() for stream in followed.streams]

    def _mark(self, thread: ThreadId) -> None:
        if thread in self._followed:
            self._marked[thread] = None
            self._arrived.set()

    async def _read(self) -> None:
        """Reads what is new until it is cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._whole_look):
                    await self._arrived.wait()
            try:
                await self._look(clock())
                self._away_since = None
            except (*AWAY, asyncpg.PostgresError) as error:
                POSTGRES_ERRORS.labels("streams").inc()
                warn("streams not read", error=repr(error))
                await self._line.drop()
                self._whole_look = 0.0  # what was marked and not read
                self._despair(clock())
                await asyncio.sleep(REST)

    async def _look(self, now: float) -> None:
        whole = now >= self._whole_look
        threads = list(self._followed if whole else self._marked)
        self._marked.clear()
        self._arrived.clear()
        for start in range(0, len(threads), MOST):
            await self._look_at(threads[start : start + MOST])
        if self._followed and now >= self._token_look:
            await self._check_tokens()
            self._token_look = now + TOKENS
        if whole:
            self._whole_look = now + INTERVAL

    async def _look_at(self, threads: Collection[ThreadId]) -> None:
        asked = [self._followed[thread] for thread in threads if thread in self._followed]
        if not asked:
            return
        places = [Place(followed.partition, followed.thread, followed.cursor) for followed in asked]
        async with asyncio.timeout(READ_TIMEOUT):
            pieces = await logs.behind(await self._line.get(), places, ROWS, SIZE)
        for followed in asked:
            if (piece := pieces.get(followed.thread)) is not None and followed.streams:
                self._push(followed, piece)
        self._measure(list(pieces.values()))

    def _measure(self, pieces: Sequence[Piece]) -> None:
        """How late the newest event of each piece is, by Postgres' clock."""
        now = self.clock.now()
        STREAM_LAG.observe([max(0.0, now - p.events[-1].occurred_at.timestamp()) for p in pieces if p.events])

    def _push(self, followed: Followed, piece: Piece) -> None:
        STREAMED_EVENTS.inc(len(piece.events) * len(followed.streams))
        for frame in map(sse.frame, piece.events):
            followed.cursor = frame.id
            for stream in followed.streams:
                stream.push(frame)
        if piece.events and followed.cursor < piece.newest:
            self._mark(followed.thread)
        elif piece.deleted:
            for stream in followed.streams:
                stream.end(NotFound("The thread was deleted."))

    async def _check_tokens(self) -> None:
        tokens = {stream.token for stream in self._streams()}
        async with asyncio.timeout(READ_TIMEOUT):
            revoked = await logs.revoked(await self._line.get(), list(tokens))
        for stream in self._streams() if revoked else ():
            if stream.token in revoked:
                stream.stop(Unauthenticated())

    def _despair(self, now: float) -> None:
        """Ends all streams where Postgres has been away for too long."""
        if self._away_since is None:
            self._away_since = now
        elif now - self._away_since >= PATIENCE:
            for stream in self._streams():
                stream.stop(ServiceInactive("The database is away; go on behind the last id."))

    async def _tick(self) -> None:
        """Speaks where it is silent and ends what nobody listens to, until it is cancelled."""
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(TICK)
            late = clock() - SILENCE
            for stream in self._streams():
                if stream.outlet.closed:
                    stream.stop()
                elif stream.spoke_at <= late:
                    stream.say_something()
