"""Who was refused by a limit: counted at once for `/metrics`, told to Redis once a second for those who look.

What is told is bounded, here and there: of a flood from many callers the latest are kept. Refused here: deciding.
"""

import asyncio
from dataclasses import dataclass, field

import structlog

from shared.ids import AccountId, TokenId
from shared.metrics import LIMITED, REDIS_ERRORS
from shared.queue import AWAY, Queue

log = structlog.get_logger()

INTERVAL = 1.0  # seconds
MOST = 200  # callers and limits kept in Redis: more than anybody reads
HELD = 1_000  # of them kept here, while Redis is away


@dataclass(slots=True)
class Refusals:
    queue: Queue
    _counts: dict[str, int] = field(default_factory=dict)

    def add(self, limit: str, account: AccountId, token: TokenId) -> None:
        """`limit` is a word of few: it is a label of the counter."""
        LIMITED.labels(limit).inc()
        who = f"{limit} {account} {token}"
        if who in self._counts or len(self._counts) < HELD:
            self._counts[who] = self._counts.get(who, 0) + 1

    async def run(self) -> None:
        """Tells until it is cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            await self.tell()

    async def tell(self) -> None:
        """What was refused since; where Redis is away it is told with the next."""
        if not self._counts:
            return
        told, self._counts = self._counts, {}
        try:
            await self.queue.note_refused(told, MOST)
        except AWAY as error:
            REDIS_ERRORS.labels("refused").inc()
            log.debug("refusals not told", error=repr(error))
            for who, n in told.items():
                if who in self._counts or len(self._counts) < HELD:
                    self._counts[who] = self._counts.get(who, 0) + n
