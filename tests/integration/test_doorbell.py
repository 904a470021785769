"""The fast way to work, with one of its two servers away: it is counted whose error that was."""

import asyncio
from contextlib import suppress

from shared.ids import BatchId
from shared.keys import Keys
from shared.queue import AWAY, Queue, Waiting, open_redis
from shared.settings import Settings
from shared.tasks import end
from tests.figures import figure
from tests.pipeline import PARTITIONS
from tests.watch import until
from worker.aftermath import Aftermath
from worker.doorbell import Doorbell
from worker.lanes import Lanes

POSTGRES, REDIS = ("threadmill_postgres_errors_total", "drain"), ("threadmill_redis_errors_total", "claim")


async def test_a_postgres_that_refuses_connections_is_not_taken_for_a_redis_that_is_away(settings: Settings) -> None:
    gone = settings.model_copy(update={"database_url": "postgresql://127.0.0.1:1/nothing"})
    assert await errors_of(gone) == [True, False]


async def test_a_redis_that_refuses_connections_is_not_taken_for_a_postgres_that_is_away(settings: Settings) -> None:
    gone = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    assert await errors_of(gone) == [False, True]


async def errors_of(settings: Settings) -> list[bool]:
    """Rings for a partition; whether errors of Postgres, and of Redis, are counted."""
    queue = Queue(open_redis(settings.redis_url, 1), Keys(settings.redis_prefix))
    bell = Doorbell(queue, queue, Lanes(settings, Aftermath(queue), PARTITIONS, via="arq", wait=True), PARTITIONS)
    before = counted()
    with suppress(*AWAY):
        await queue.ring([Waiting(0, BatchId(1), 0)])
    loop = asyncio.create_task(bell.run())

    async def counts() -> bool:
        return counted() != before

    await until(counts)
    bell.stop()
    await end([loop])
    await bell.close()
    return [now > then for now, then in zip(counted(), before, strict=True)]


def counted() -> list[float]:
    return [figure(name, call=call) for name, call in (POSTGRES, REDIS)]
