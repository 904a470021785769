"""Whether Redis answers and takes writes, for whoever asks a process if it is ready.

Asked over a client of its own, and only when somebody wants to know. Refused here: what becomes of the answer.
"""

import asyncio
from typing import Literal, TypeAlias

from redis.exceptions import ResponseError

from shared.keys import Keys
from shared.queue import AWAY, open_redis
from shared.settings import Settings
from shared.tasks import end

State: TypeAlias = Literal["ok", "away", "refuses writes"]

TIMEOUT = 1.0  # seconds; who asks this asks every few seconds


class RedisState:
    def __init__(self, settings: Settings) -> None:
        self._redis = open_redis(settings.redis_url, TIMEOUT)
        self._key = Keys(settings.redis_prefix).rung(0)
        self._asking: asyncio.Task[State] | None = None
        self._closed = False

    async def get(self) -> State:
        """`ok`, `away` (no answer in a second), or `refuses writes` where it answers: it is full, a replica, ...

        Who has waited a second goes on without the answer. Asking goes on, too: a Redis that is only slow would else be
        connected to anew each time.
        """
        if self._closed:
            return "away"
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        asking = self._asking
        await asyncio.wait({asking}, timeout=TIMEOUT)
        return "away" if self._closed or not asking.done() else asking.result()

    async def _ask(self) -> State:
        """Writes nothing to a key: that makes none, and is refused as any write is."""
        try:
            await self._redis.setrange(self._key, 0, "")
        except ResponseError:
            return "refuses writes"
        except AWAY:
            return "away"
        return "ok"

    async def close(self) -> None:
        """Whoever asks from here on is told `away`."""
        self._closed = True
        await end([] if self._asking is None else [self._asking])
        await self._redis.aclose()
