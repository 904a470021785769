"""Waiting for outcomes: one subscription a process, one future a waiter, one timer for all of them.

A waiter is registered before its batch is committed, so no notice can be missed. Redis is only the fast way: every
waiter older than 0.3 s is looked up in Postgres, all in one query, and once more before it gives up.
"""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import asyncpg
import structlog
from redis.asyncio import Redis

from api.submission import Fresh, Submission
from shared.db.connect import AWAY as POSTGRES_AWAY
from shared.db.connect import BY_INDEX, Line
from shared.db.statements import statements
from shared.ids import BatchId, BatchRef, Ulid
from shared.metrics import OUTCOME_SECONDS, POSTGRES_ERRORS, REDIS_ERRORS
from shared.queue import AWAY as REDIS_AWAY
from shared.subscription import Subscription

log = structlog.get_logger()
SQL = statements("inbox")

TICK = 0.1  # seconds between looks at the waiters' ages
PATIENCE = 0.3  # seconds after which a waiter no longer trusts its notice to come
LISTEN_TIMEOUT = 1.0  # seconds; how long the subscription waits for a message before it looks around
RECONNECT = 0.5  # seconds between tries to subscribe again


@dataclass(slots=True, eq=False)
class Waiter:
    ref: BatchRef
    since: float  # of the loop's clock
    deadline: float
    recheck: float
    outcome: asyncio.Future[str | None]
    partition: int
    batch: BatchId | None = None  # known once the batch is committed


@dataclass(slots=True)
class Outcomes:
    database_url: str
    redis: Redis  # a client of its own: a subscription holds its connection
    channel: str
    hurried: bool = False  # the process is about to end: nobody waits any more
    _line: Line = field(init=False)
    _waiters: dict[BatchRef, Waiter] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._line = Line(self.database_url, **BY_INDEX)

    def expect(self, ref: BatchRef, partition: int, timeout: float, batch: BatchId | None = None) -> Waiter:
        """Registers a waiter, before its batch is committed, or once more with its number. `timeout` in seconds counts
        from now.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        deadline = 0.0 if self.hurried else now + timeout
        waiter = Waiter(ref, now, deadline, now + PATIENCE, loop.create_future(), partition, batch)
        self._waiters[ref] = waiter
        return waiter

    def commit(self, fresh: Sequence[tuple[Submission, Fresh]]) -> None:
        """Names the batches of waiters that were committed."""
        for submission, verdict in fresh:
            if (waiter := self._waiters.get(submission.ref)) is not None:
                waiter.batch = verdict.batch

    def forget(self, waiter: Waiter) -> None:
        self._waiters.pop(waiter.ref, None)

    def hurry(self) -> None:
        """Lets every wait end with the next tick, with what is known then."""
        self.hurried = True
        for waiter in self._waiters.values():
            waiter.deadline = 0.0

    async def listen(self) -> None:
        """Takes outcomes from Redis until it is cancelled; without Redis it tries again and again."""
        while True:
            try:
                await self._subscribe()
            except REDIS_AWAY as error:
                REDIS_ERRORS.labels("outcomes").inc()
                log.debug("no subscription to outcomes", error=repr(error))
            await asyncio.sleep(RECONNECT)

    async def _subscribe(self) -> None:
        async with aclosing(self.redis.pubsub(ignore_subscribe_messages=True)) as pubsub:
            await pubsub.subscribe(self.channel)
            subscription = Subscription(pubsub, LISTEN_TIMEOUT)
            while True:
                message = await subscription.message()
                if message is not None:
                    self.take(message["data"])

    def take(self, data: bytes) -> None:
        """Lines of `<ref> <outcome>`, as `shared.queue.Queue.tell` writes them."""
        for line in data.decode(errors="replace").split("\n"):
            ref, _, text = line.partition(" ")
            self._settle(BatchRef(Ulid(ref)), text)

    async def tick(self) -> None:
        """Looks up those that waited long, ends those whose time is up, until it is cancelled."""
        while True:
            await asyncio.sleep(TICK)
            await self.tick_once()

    async def tick_once(self) -> None:
        now = asyncio.get_running_loop().time()
        late = [w for w in self._waiters.values() if w.recheck <= now or w.deadline <= now]
        if not late:
            return
        await self._look_up([waiter for waiter in late if waiter.batch is not None])
        for waiter in late:
            waiter.recheck = now + PATIENCE
            if waiter.deadline <= now and waiter.batch is not None:
                self._settle(waiter.ref, None)

    async def _look_up(self, waiters: Sequence[Waiter]) -> None:
        if not waiters:
            return
        try:
            connection = await self._line.get()
            rows = await connection.fetch(
                SQL["outcomes"], [w.partition for w in waiters], [w.batch for w in waiters], timeout=1
            )
        except (*POSTGRES_AWAY, asyncpg.PostgresError) as error:
            POSTGRES_ERRORS.labels("outcomes").inc()
            log.debug("outcomes not looked up", error=repr(error))
            await self._line.drop()
            return
        for row in rows:
            self._settle(row["ref"], row["outcome"])

    def _settle(self, ref: BatchRef, outcome: str | None) -> None:
        waiter = self._waiters.pop(ref, None)
        if waiter is not None and not waiter.outcome.done():
            waiter.outcome.set_result(outcome)
            if outcome is not None:
                OUTCOME_SECONDS.observe((asyncio.get_running_loop().time() - waiter.since,))

    async def close(self) -> None:
        for ref in list(self._waiters):
            self._settle(ref, None)
        await self._line.close()
