"""Apis and workers under a steady load while something is failed over, then the checker's word on all of it."""

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from redis.asyncio import Redis

from shared.db.connect import AWAY as POSTGRES_AWAY
from shared.db.connect import connect
from shared.keys import Keys
from shared.queue import AWAY, open_redis
from shared.tasks import end
from tests.faults import tables
from tests.faults.checker import check
from tests.faults.clients import Load, Sender, chance
from tests.faults.history import created
from tests.faults.processes import Stack
from tests.faults.servers import Servers
from tests.faults.violations import Violation
from tests.faults.waiting import until
from tests.pipeline import PARTITIONS

RUNG = 'threadmill_applied_batches_total{via="arq"}'  # as opposed to found by the sweep
_LOOK = 0.1  # seconds between looks at all processes
QUIET = 40.0  # seconds after the last answer in which everything must be applied and every waiting set empty


@dataclass(frozen=True, slots=True)
class Size:
    apis: int = 2
    workers: int = 2
    threads: int = 40
    clients: int = 16
    pace: float = 60.0  # batches a second; what is looked for is not how many


SMALL = Size(apis=1, workers=2, threads=10, clients=4, pace=20)  # what a machine that does other things can do as well
SERVED = 0.98  # of the batches while nothing is wrong


@dataclass(slots=True)
class Trial:
    stack: Stack
    load: Load
    straight: str | None = None  # where the checker reads, if it is not the way that the service goes

    async def during(self, deed: Callable[[], Awaitable[None]]) -> None:
        """The load goes on until the deed is done and what it took from the clients is settled."""
        load = asyncio.create_task(self.load.run())
        try:
            await deed()
            self.load.seconds = 0.0  # no client begins another one
            await load
        finally:
            await end([load])

    async def rung(self) -> float:
        """Batches applied because somebody rang, by all workers so far."""
        return sum([await self.stack.figure(worker, RUNG) for worker in self.stack.workers])

    async def rings_again(self, within: float) -> float:
        """Waits until batches are rung for and every process listens at the Redis that is the master now; seconds."""
        began, before = time.monotonic(), await self.rung()

        async with open_redis(self.stack.redis_url, 1) as redis:

            async def well() -> bool:
                await asyncio.sleep(_LOOK)
                return await self.rung() > before and await self._heard(redis)

            await until("the bell works again, and all listen", well, within)
        return time.monotonic() - began

    async def _heard(self, redis: Redis) -> bool:
        """Each api listens for its outcomes, each worker for its operator."""
        keys = Keys()
        with suppress(*AWAY):
            apis = await redis.pubsub_channels(f"{keys.outcomes('')}*")
            ((_, workers),) = await redis.pubsub_numsub(keys.control)
            return len(apis) == len(self.stack.apis) and workers == len(self.stack.workers)
        return False

    async def lateness(self) -> float:
        """Seconds from accepted to applied, of the batch that waited longest, by Postgres' clock."""
        db = await self.stack.database()
        try:
            longest = "select max(extract(epoch from applied_at - accepted_at))::float8 from batches"
            return float(await db.fetchval(longest))
        finally:
            await db.close()

    async def violations(self) -> list[Violation]:
        """What the checker finds once all is quiet."""
        db = await (self.stack.database() if self.straight is None else connect(self.straight))
        redis, keys = open_redis(self.stack.redis_url, 5), Keys()

        async def quiet() -> bool:
            with suppress(*AWAY, *POSTGRES_AWAY, asyncpg.PostgresError):
                left = await db.fetchval("select count(*) from batches where applied_at is null")
                return not left and not await tables.count_waiting(redis, keys, PARTITIONS)
            return False

        try:
            with suppress(TimeoutError):  # the checker says what did not come to rest
                await until("all is quiet", quiet, QUIET)
            found = await tables.read(db, redis, keys, PARTITIONS)
            return check(self.load.history, found, creations=created(*self.load.threads))
        finally:
            await db.close()
            await redis.aclose()

    async def serves(self, batches: int, within: float) -> tuple[float, float]:
        """Waits until so many more are acknowledged; when that began and ended."""
        began, goal = time.monotonic(), self.acknowledged + batches

        async def enough() -> bool:
            return self.acknowledged >= goal

        await until(f"{batches} batches are acknowledged", enough, within)
        return began, time.monotonic()

    def share(self, span: tuple[float, float]) -> float:
        """Of batches that were told 200 at once, among those whose first answer came then. (One that is repeated on
        purpose is told 409 as well.)
        """
        first = [request.replies[0] for request in self.load.history if request.replies]
        came = [reply.status for reply in first if span[0] <= reply.ended < span[1]]
        return came.count(200) / max(1, len(came))

    async def hold(self, spans: Sequence[tuple[float, float]]) -> None:
        """Fails unless nothing is lost, and nearly all batches of these spans, in which nothing was wrong, were told so
        at once.
        """
        shares = [round(self.share(span), 3) for span in spans]
        sys.stdout.write(
            f"{self.acknowledged} acknowledged, answers {dict(self.statuses)}, told 200 at once {shares}\n"
        )
        assert await self.violations() == []
        assert set(self.statuses) <= {200, 409, 503, None}
        assert min(shares) >= SERVED

    @property
    def acknowledged(self) -> int:
        return sum(request.acknowledged for request in self.load.history)

    @property
    def statuses(self) -> Mapping[int | None, int]:
        """How often each was answered; None where nothing was."""
        found: dict[int | None, int] = {}
        for request in self.load.history:
            for reply in request.replies:
                found[reply.status] = found.get(reply.status, 0) + 1
        return found


@asynccontextmanager
async def trial(
    database_url: str, redis_url: str, size: Size = Size(), seed: int = 1, straight: str | None = None
) -> AsyncIterator[Trial]:
    """Once every process is ready. Leaving the context ends them all."""
    with tempfile.TemporaryDirectory(prefix="threadmill-failover-") as directory:
        async with Stack(Servers(Path(directory)), database_url, redis_url) as stack:
            for _ in range(size.apis):
                stack.api()
            for _ in range(size.workers):
                stack.worker()
            access = await stack.access()
            await stack.ready()
            sender = Sender(stack.session, [api.url for api in stack.apis], access.token, chance(seed))
            threads = [await sender.create_thread(access.agent) for _ in range(size.threads)]
            load = Load(sender, threads, seed, 1_000_000, clients=size.clients, pace=size.pace, seconds=600.0)
            try:
                yield Trial(stack, load, straight)
            finally:
                sys.stdout.write(stack.last_words())  # pytest shows it where the test failed
