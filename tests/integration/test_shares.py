"""Who takes which wake-ups, where one that counts as at work takes none, or a partition was rung for several times."""

import asyncio

import pytest
from redis.asyncio import Redis

from api.submission import Applied
from shared import ids
from shared.ids import BatchId
from shared.keys import Keys
from shared.queue import APPLY, Queue, Waiting
from shared.settings import Settings
from shared.tasks import end
from tests.pipeline import message, new_caller, running_crew, running_inbox
from tests.rows import add_cut_off_worker
from tests.watch import until

THREADS = 12  # in partitions of either, as it comes
LOOKED_AT = 1000  # wake-ups, by one claim
LATEST = 0.7  # seconds: 0.2 until it is anybody's, and what a busy machine may need for claims and drains


def at(partition: int) -> Waiting:
    return Waiting(partition, BatchId(partition + 1), 1_700_000_000_000)


async def test_a_partition_that_was_rung_for_several_times_counts_once(redis: Redis, redis_prefix: str) -> None:
    keys = Keys(redis_prefix)
    queue = Queue(redis, keys)
    for _ in range(3):
        await queue.ring([at(1)])
        await redis.delete(keys.rung(1))  # a mark lives two seconds, its wake-up may wait longer
    await queue.ring([at(2), at(3)])
    assert [wake_up.partition for wake_up in await queue.claim(2)] == [1, 1, 1, 2]
    assert [wake_up.partition for wake_up in await queue.claim(2)] == [3]


@pytest.mark.parametrize("workers", [1, 2])
async def test_what_waits_behind_all_that_a_claim_looked_at_is_woken_for(
    redis: Redis, redis_prefix: str, workers: int
) -> None:
    """A thousand wake-ups of one partition, and one behind them: for the same worker when it is done, or another."""
    keys = Keys(redis_prefix)
    queue = Queue(redis, keys)
    stamp = ids.mint()
    await redis.zadd(keys.queue(APPLY), {f"{APPLY}:1:{stamp[:-4]}{n:04}": 1 for n in range(LOOKED_AT)})
    await queue.ring([at(2)])
    while await redis.rpop(keys.wake(APPLY)):  # type: ignore[misc]  # awaitable, whatever redis says
        pass
    first = await queue.claim(64)
    assert len(first) == LOOKED_AT
    assert await queue.wait(APPLY, 0.1), "somebody is woken"
    if workers == 1:
        await queue.tell({}, first, {})
    assert [wake_up.partition for wake_up in await queue.claim(64)] == [2]
    assert not await queue.wait(APPLY, 0.1), "nothing is left to be woken for"


async def test_a_thousand_in_progress_wake_nobody(redis: Redis, redis_prefix: str) -> None:
    """Who found nothing to take would be woken for it again and again."""
    keys = Keys(redis_prefix)
    queue = Queue(redis, keys)
    stamp = ids.mint()
    await redis.zadd(keys.queue(APPLY), {f"{APPLY}:1:{stamp[:-4]}{n:04}": 1 for n in range(LOOKED_AT)})
    await queue.claim(64)
    assert await queue.claim(64) == []
    assert not await queue.wait(APPLY, 0.1)


@pytest.mark.parametrize(
    "roles", ["all", "apply"]
)  # one that does not reach Redis; a stock arq worker, which claims none
async def test_a_worker_that_is_at_work_and_claims_nothing_costs_its_partitions_little(
    settings: Settings, redis: Redis, roles: str
) -> None:
    """What rings for it is taken after 0.2 s, however many others ring."""
    settings = settings.model_copy(update={"sweep": False})
    async with running_inbox(settings) as inbox:
        await add_cut_off_worker(inbox.pool, roles)
        async with running_crew(settings) as crew:
            bell = crew.doorbell
            assert bell is not None

            async def shared() -> bool:
                return bell.workers == 2

            await until(shared)
            assert bell.place == 1, "the even partitions are those of the one that is cut off"
            ringing = asyncio.create_task(_ring(Queue(redis, Keys(settings.redis_prefix)), crew.partitions))
            caller = await new_caller(inbox)
            answers = [(await caller.create(message(), wait=10))[1] for _ in range(THREADS)]
            await end([ringing])
        assert all(isinstance(answer, Applied) for answer in answers)
        slowest = await inbox.pool.fetchval(
            "select max(extract(epoch from applied_at - accepted_at))::float8 from batches where partition % 2 = 0"
        )
        assert slowest < LATEST


async def _ring(queue: Queue, partitions: int) -> None:
    """The partitions of the one that works ring all the time: for batches that somebody else had."""
    while True:
        await queue.ring([at(partition) for partition in range(1, partitions, 2)])
