"""Ways to accept batches that are wrong, for the tests which show that the checker catches them; see `crashpoints`."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg
from pydantic import ConfigDict, TypeAdapter
from redis.asyncio import Redis

from api.submission import Fresh, Submission, Verdict
from api.tracing import Accept
from shared.crashpoints import armed
from shared.errors import ServiceInactive
from shared.ids import BatchId
from shared.queue import AWAY, open_redis
from shared.settings import Settings

QUEUE = "broken:queue"
POLL = 0.5  # seconds; what a stock arq worker takes
MOST = 1_000  # batches a poll
OF_TESTS = ("test_", "fault")  # how the names of databases begin that tests make, and drop

_JSON = TypeAdapter(Submission, config=ConfigDict(ser_json_bytes="base64", val_json_bytes="base64"))


class NotATests(Exception):
    """What breaks a database for good is refused here: this one is not a test's."""


async def drop_key_index(connection: asyncpg.Connection) -> None:
    """What `no_key_index` breaks: keys are stored and compared as ever, and nothing keeps one from standing twice.

    It stays broken when the process is gone, so it is done to a test's database alone. Raises NotATests.
    """
    if armed("no_key_index"):
        name = await connection.fetchval("select current_database()")
        if not name.startswith(OF_TESTS):
            begins = " or ".join(OF_TESTS)
            raise NotATests(f"no_key_index breaks a database for good: {name!r} does not begin with {begins}")
        await connection.execute("alter table idempotency_keys drop constraint if exists idempotency_keys_pkey")


def take(rightly: Accept, settings: Settings) -> Accept:
    """How batches are taken: rightly, but as this process is armed."""
    return RedisOnly(rightly, open_redis(settings.redis_url, 1.0)).take if armed("redis_only") else rightly


async def answer_too_soon(verdicts: Iterable[asyncio.Future[Verdict]]) -> None:
    """What `ack_before_commit` breaks: everyone hears that it is stored, and gets to act on it, before it is."""
    for verdict in verdicts:
        if not verdict.done():
            verdict.set_result(Fresh(BatchId(0), datetime.now(UTC), None))
    await asyncio.sleep(0.1)


@dataclass(slots=True)
class RedisOnly:
    """What `redis_only` breaks: a batch is a job in Redis and answered as that; Postgres gets it with the next poll.

    Those that make a thread, or attach a file, go the right way. Nobody may wait for an outcome that is lost.
    """

    rightly: Accept
    redis: Redis
    _polling: asyncio.Task[None] | None = None

    async def take(self, submission: Submission) -> Verdict:
        if submission.new is not None or submission.files:
            return await self.rightly(submission)
        if self._polling is None:
            self._polling = asyncio.create_task(self._poll())
        try:
            await self.redis.execute_command("RPUSH", QUEUE, _JSON.dump_json(submission))
        except AWAY as error:
            raise ServiceInactive(retry_after=1) from error
        return Fresh(BatchId(0), datetime.now(UTC), None)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL)
            jobs = await self.redis.execute_command("LPOP", QUEUE, MOST) or ()
            await asyncio.gather(*(self.rightly(_JSON.validate_json(job)) for job in jobs), return_exceptions=True)
