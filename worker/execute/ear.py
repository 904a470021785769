"""What a worker hears from others by Redis: runs that wait for a worker, and its own runs interrupted or steered.

Both are notices: without them the sweep finds the runs, and heartbeats find the news.
"""

import asyncio
from collections.abc import Callable, Collection
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

import structlog
from redis.asyncio import Redis

from shared.ids import ThreadId
from shared.keys import Keys
from shared.logs import Seldom
from shared.metrics import REDIS_ERRORS
from shared.queue import AWAY, EXECUTE, Queue, open_redis
from shared.settings import Settings
from shared.subscription import Subscription
from worker.doorbell import NAP

log = structlog.get_logger()
warn = Seldom(log)

PAUSE = 0.5  # seconds after an error of Redis


@dataclass(slots=True)
class Ear:
    settings: Settings
    queue: Queue  # for wake-ups; what waits for them has a client of its own
    room: Callable[[], int]  # for how many runs more
    ready: Callable[[Collection[ThreadId]], None]  # threads whose run waits
    news: Callable[[Collection[str]], None]  # threads whose executing run has news
    _bell: Queue = field(init=False)
    _nudges: Redis = field(init=False)

    def __post_init__(self) -> None:
        keys = Keys(self.settings.redis_prefix)
        self._bell = Queue(open_redis(self.settings.redis_url, 5 * NAP), keys)
        self._nudges = open_redis(self.settings.redis_url, 5 * NAP)

    async def answer(self) -> None:
        """Takes wake-ups that others rang for, as many as there is room for, until it is cancelled."""
        while True:
            try:
                if (room := self.room()) > 0:
                    self.ready(await self.queue.answer(room))
                await self._bell.wait(EXECUTE, NAP)
            except AWAY as error:
                REDIS_ERRORS.labels("answer").inc()
                warn("no wake-ups without Redis; the sweep works", error=repr(error))
                await asyncio.sleep(PAUSE)

    async def listen(self) -> None:
        """Hears of runs that were interrupted or steered, until it is cancelled."""
        while True:
            try:
                async with aclosing(self._nudges.pubsub(ignore_subscribe_messages=True)) as pubsub:
                    await pubsub.subscribe(Keys(self.settings.redis_prefix).nudges)
                    subscription = Subscription(pubsub, NAP)
                    while True:
                        message = await subscription.message()
                        if message:
                            self.news(message["data"].decode(errors="replace").split())
            except AWAY as error:
                REDIS_ERRORS.labels("nudges").inc()
                log.debug("no subscription to nudges", error=repr(error))
            await asyncio.sleep(PAUSE)

    async def close(self) -> None:
        await self._bell.close()
        with suppress(*AWAY):
            await self._nudges.aclose()
