"""A run's part of its thread's log, read while it is written: from its beginning, until it is over.

A notice in Redis says that there is more; a look every two seconds finds it without. What is not read yet waits in
Postgres, so a slow reader costs nothing. Refused here: showing it.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TypeAlias

import asyncpg

from api.notices import LISTEN_TIMEOUT, Notices
from shared import ids, logs, stream
from shared.effects import EventLogged
from shared.errors import NotFound
from shared.history import ENDS
from shared.ids import EventId, ThreadId
from shared.inspect.runs import RunDetail
from shared.inspect.threads import find_run, own_row
from shared.keys import Keys
from shared.queue import open_redis
from shared.settings import Settings
from shared.stream import Piece, Place
from shared.tasks import end

Pieces: TypeAlias = AsyncGenerator[Sequence[EventLogged]]

LOOK = 2.0  # seconds between looks where no notice comes
_ROWS, _SIZE = 5_000, 128 << 10  # of one look
_EARLIER = timedelta(seconds=1)  # between the time of a run and that of its first event's id: both are Postgres'


async def pieces(db: asyncpg.Connection, settings: Settings, found: RunDetail) -> Pieces:
    """What the run logs, in order, deltas that stand beside each other as one. Raises NotFound where it is removed."""
    run, thread = found.run, await own_row(db, found.thread)
    place = Place(thread.partition, thread.id, EventId(ids.earliest(run.created_at - _EARLIER)))
    news, over = asyncio.Event(), run.terminal
    async with _noticing(settings, thread.id, news):
        while True:
            news.clear()
            piece = await _behind(db, place)
            if piece.events:
                place = place._replace(cursor=piece.events[-1].id)
                if own := [event for event in stream.folded(piece.events) if event.run == run.id]:
                    yield own
                if any(event.type in ENDS for event in own):
                    return
            elif piece.deleted:
                raise NotFound("The thread was deleted.")
            elif over:
                return  # and all that it said is read: it was over before
            if place.cursor >= piece.newest and not await _told(news):
                over = (await find_run(db, run.id, thread.id)).run.terminal


async def _behind(db: asyncpg.Connection, place: Place) -> Piece:
    found = await stream.behind(db, [place], _ROWS, _SIZE)
    return found.get(place.thread, Piece([], stream.START, deleted=False))


async def _told(news: asyncio.Event) -> bool:
    """False where no notice came in its time."""
    try:
        async with asyncio.timeout(LOOK):
            return await news.wait()
    except TimeoutError:
        return False


@asynccontextmanager
async def _noticing(settings: Settings, thread: ThreadId, news: asyncio.Event) -> AsyncIterator[None]:
    """Sets `news` when the thread has some, for as long as it is followed."""
    logs.configure(settings.model_copy(update={"log_level": "error"}))  # a Redis that is away only costs time here
    redis = open_redis(settings.redis_url, 5 * LISTEN_TIMEOUT)
    notices = Notices(redis, Keys(settings.redis_prefix), lambda _: news.set())
    notices.want(thread)
    tasks = [asyncio.create_task(loop(), name=loop.__qualname__) for loop in (notices.listen, notices.subscribe)]
    try:
        yield
    finally:
        await end(tasks)
        await redis.aclose()
