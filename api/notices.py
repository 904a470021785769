"""Notices of threads that have something new: one subscription a process, to the channels of followed threads only.

A notice says nothing but the thread. Without Redis there are none, and the hub's own look finds what they would have
told. Refused here: reading the log.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from shared.ids import ThreadId, Ulid
from shared.keys import Keys
from shared.logs import Seldom
from shared.metrics import REDIS_ERRORS
from shared.queue import AWAY
from shared.subscription import Subscription

log = structlog.get_logger()
warn = Seldom(log)

LISTEN_TIMEOUT = 1.0  # seconds; how long a subscription waits for a message before it looks around
RECONNECT = 0.5  # seconds between tries to subscribe again
_AT_ONCE = 500  # channels of one command


@dataclass(slots=True)
class Notices:
    redis: Redis  # a client of its own: a subscription holds its connection
    keys: Keys
    tell: Callable[[ThreadId], None]
    _wanted: set[ThreadId] = field(default_factory=set)
    _have: set[ThreadId] = field(default_factory=set)  # subscribed to
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _pubsub: PubSub | None = None  # while there is a connection

    def want(self, thread: ThreadId) -> None:
        self._wanted.add(thread)
        self._changed.set()

    def forget(self, thread: ThreadId) -> None:
        self._wanted.discard(thread)
        self._changed.set()

    async def listen(self) -> None:
        """Takes notices until it is cancelled; without Redis it tries again and again."""
        while True:
            try:
                async with aclosing(self.redis.pubsub()) as pubsub:
                    await pubsub.connect()
                    self._pubsub = pubsub
                    self._begin_anew()
                    await self._take(pubsub)
            except AWAY as error:
                REDIS_ERRORS.labels("streams").inc()
                warn("no notices for streams; they look for themselves", error=repr(error))
            finally:
                self._pubsub = None
            await asyncio.sleep(RECONNECT)

    async def subscribe(self) -> None:
        """Keeps the subscription to what is wanted, until it is cancelled.

        A task of its own: the listener's waits for messages.
        """
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                while self._pubsub is not None and self._have != self._wanted:
                    await self._adjust(self._pubsub)
            except AWAY as error:
                log.debug("not subscribed", error=repr(error))  # the listener tells it: the connection is the same
                await asyncio.sleep(RECONNECT)
                self._begin_anew()

    def _begin_anew(self) -> None:
        self._have.clear()
        self._changed.set()

    async def _adjust(self, pubsub: PubSub) -> None:
        new, gone = list(self._wanted - self._have)[:_AT_ONCE], list(self._have - self._wanted)[:_AT_ONCE]
        self._have.update(new)
        self._have.difference_update(gone)
        if new:
            await pubsub.subscribe(*map(self.keys.thread, new))
        if gone:
            await pubsub.unsubscribe(*map(self.keys.thread, gone))

    async def _take(self, pubsub: PubSub) -> None:
        prefix, subscription = len(self.keys.thread("").encode()), Subscription(pubsub, LISTEN_TIMEOUT)
        while True:
            message = await subscription.message()
            # A subscription that has just begun is a notice too: what came before it was told to nobody.
            if message is not None and message["type"] in ("message", "subscribe"):
                self.tell(ThreadId(Ulid(message["channel"][prefix:].decode())))
