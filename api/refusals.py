"""Who was refused by a limit: counted at once for `/metrics`, told to Redis once a second for those who look.

What is told is bounded, here and there: of a flood from many callers the latest are kept, while Redis is away, too.
Refused here: deciding.
"""

import asyncio
from collections import OrderedDict
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
    _counts: OrderedDict[str, int] = field(default_factory=OrderedDict)  # the latest last

    def add(self, limit: str, account: AccountId, token: TokenId) -> None:
        """`limit` is a word of few: it is a label of the counter."""
        LIMITED.labels(limit).inc()
        self._note(f"{limit} {account} {token}", 1)

    def _note(self, who: str, times: int) -> None:
        self._counts[who] = self._counts.pop(who, 0) + times
        if len(self._counts) > HELD:
            self._counts.popitem(last=False)

    async def run(self) -> None:
        """Tells until it is cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            await self.tell()

    async def tell(self) -> None:
        """What was refused since; where Redis is away it is told with the next."""
        if not self._counts:
            return
        told, self._counts = self._counts, OrderedDict()
        try:
            await self.queue.note_refused(told, MOST)
        except AWAY as error:
            REDIS_ERRORS.labels("refused").inc()
            log.debug("refusals not told", error=repr(error))
            since, self._counts = self._counts, told
            for who, times in since.items():
                self._note(who, times)
