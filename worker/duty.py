"""What an operator asks of this worker: to take nothing new, to leave, or to work again.

The word stands in the worker's row and comes with its heartbeat; what Redis says only makes the next heartbeat come at
once. Refused here: coming back from leaving.
"""

import asyncio
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from enum import StrEnum

import structlog

from shared.ids import Ulid
from shared.keys import Keys
from shared.metrics import REDIS_ERRORS
from shared.queue import AWAY, open_redis
from shared.settings import Settings
from shared.subscription import Subscription

log = structlog.get_logger()

NAP = 1.0  # seconds between looks at the subscription, which also keep it alive
PAUSE = 0.5  # seconds after an error of Redis


class Word(StrEnum):
    WORK = "work"
    QUIET = "quiet"  # takes nothing new, and goes on with what it has in hand
    DRAIN = "drain"  # hands over what it has, and ends


def _set() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass(slots=True)
class Duty:
    """One a worker; its loops look at it before they take anything."""

    doing: Word = Word.WORK
    working: asyncio.Event = field(default_factory=_set)
    leaving: asyncio.Event = field(default_factory=asyncio.Event)
    _called: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def quiet(self) -> bool:
        return not self.working.is_set()

    def hear(self, asked: str | None) -> None:
        """The operator's word, as the worker's row has it. What it is doing now is told at once."""
        if self.leaving.is_set():
            return
        word = Word.WORK if asked is None else Word(asked)
        if word is self.doing:
            return
        log.info("an operator asks something of this worker", asked=word)
        self.doing = word
        if word is Word.WORK:
            self.working.set()
        else:
            self.working.clear()
        if word is Word.DRAIN:
            self.leaving.set()
        self._called.set()

    def leave(self) -> None:
        """The process was told to stop."""
        self.doing = Word.DRAIN
        self.working.clear()
        self.leaving.set()

    async def rest(self, seconds: float) -> None:
        """Between two heartbeats: until somebody calls."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._called.wait()
        self._called.clear()

    async def left(self, seconds: float) -> bool:
        """Whether it was asked to leave, at most so many seconds from now."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.leaving.wait()
        return self.leaving.is_set()

    async def listen(self, settings: Settings, worker: Ulid) -> None:
        """Hears in Redis that there is a word for this worker, until it is cancelled."""
        redis = open_redis(settings.redis_url, 5 * NAP)
        try:
            while True:
                try:
                    async with aclosing(redis.pubsub(ignore_subscribe_messages=True)) as pubsub:
                        await pubsub.subscribe(Keys(settings.redis_prefix).control)
                        subscription = Subscription(pubsub, NAP)
                        while True:
                            message = await subscription.message()
                            if message and message["data"].decode(errors="replace") == worker:
                                self._called.set()
                except AWAY as error:
                    REDIS_ERRORS.labels("control").inc()
                    log.debug("no subscription to control", error=repr(error))
                await asyncio.sleep(PAUSE)
        finally:
            with suppress(*AWAY):
                await redis.aclose()
