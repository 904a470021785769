"""The queue in Redis: wake-ups are never lost, never more than needed, and never somebody else's program."""

import asyncio
import json
import pickle
from contextlib import aclosing
from pathlib import Path

import pytest
from arq.constants import in_progress_key_prefix, job_key_prefix, retry_key_prefix
from redis.asyncio import Redis

from shared import ids
from shared.ids import BatchId, ThreadId
from shared.keys import Keys
from shared.queue import APPLY, LONG, MOST_WAKES, Queue, Waiting, load_job, open_arq
from shared.settings import Settings
from tests.integration.booby import Booby
from tests.pipeline import running_crew
from tests.watch import until
from worker.main import ThreadmillWorker


@pytest.fixture
def keys(redis_prefix: str) -> Keys:
    return Keys(redis_prefix)


@pytest.fixture
def queue(redis: Redis, keys: Keys) -> Queue:
    return Queue(redis, keys)


def waiting(*batches: tuple[int, int]) -> list[Waiting]:
    return [Waiting(partition, BatchId(batch), 1_700_000_000_000 + batch) for partition, batch in batches]


async def wakes(redis: Redis, keys: Keys) -> int:
    """How many workers would be woken."""
    return len(await redis.lrange(keys.wake(APPLY), 0, -1))  # type: ignore[misc]  # awaitable, whatever redis says


async def test_a_ring_leaves_one_json_job_for_each_partition_and_the_batches_in_their_sets(
    queue: Queue, redis: Redis, keys: Keys
) -> None:
    assert await queue.ring(waiting((3, 1), (5, 2), (3, 4))) == 2
    assert await redis.zrange(keys.waiting(3), 0, -1, withscores=True) == [
        (b"1", 1_700_000_000_001.0),
        (b"4", 1_700_000_000_004.0),
    ]
    jobs = await redis.zrange(keys.queue(APPLY), 0, -1, withscores=True)
    assert [score for _, score in jobs] == [1.0, 1.0]
    records = [json.loads(await redis.get(job_key_prefix + job.decode())) for job, _ in jobs]
    assert sorted(record["a"] for record in records) == [[3], [5]]
    assert {record["f"] for record in records} == {"apply"}
    assert await wakes(redis, keys) == 1


async def test_arqs_own_tools_read_the_queue(queue: Queue, redis_url: str, keys: Keys) -> None:
    await queue.ring(waiting((3, 1), (5, 2)))
    arq = open_arq(redis_url, keys.queue(APPLY))
    jobs = await arq.queued_jobs()
    await arq.aclose()
    assert sorted((job.function, list(job.args), job.score) for job in jobs) == [("apply", [3], 1), ("apply", [5], 1)]


async def test_a_partition_that_rings_already_is_not_rung_for_again(queue: Queue, redis: Redis, keys: Keys) -> None:
    assert await queue.ring(waiting((3, 1))) == 1
    assert await queue.ring(waiting((3, 2))) == 0
    assert await redis.zcard(keys.waiting(3)) == 2
    assert await wakes(redis, keys) == 1


async def test_what_is_accepted_after_a_claim_rings_anew(queue: Queue) -> None:
    await queue.ring(waiting((3, 1)))
    (claimed,) = await queue.claim(64)
    assert claimed.partition == 3
    assert await queue.ring(waiting((3, 2))) == 1
    assert [wake_up.partition for wake_up in await queue.claim(64)] == [3]


async def test_what_is_accepted_after_a_stock_worker_took_its_job_rings_anew(queue: Queue) -> None:
    await queue.ring(waiting((3, 1)))
    await queue.forget_mark(3)
    assert await queue.ring(waiting((3, 2))) == 1


async def test_a_wake_up_is_claimed_once_and_runs_again_where_its_worker_never_ended_it(
    queue: Queue, redis: Redis
) -> None:
    await queue.ring(waiting((3, 1)))
    (claimed,) = await queue.claim(64)
    assert await queue.claim(64) == []
    await redis.delete(in_progress_key_prefix.encode() + claimed.job)  # as time does
    assert await queue.claim(64) == [claimed]


async def test_a_claim_takes_its_share_and_wakes_another_worker_for_the_rest(
    queue: Queue, redis: Redis, keys: Keys
) -> None:
    await queue.ring(waiting(*((partition, partition) for partition in range(10))))
    await redis.delete(keys.wake(APPLY))
    assert len(await queue.claim(4)) == 4
    assert await wakes(redis, keys) == 1
    assert len(await queue.claim(64)) == 6
    assert await wakes(redis, keys) == 0  # nobody is woken for what is taken


async def test_each_worker_takes_its_own_partitions_first(queue: Queue, redis: Redis, keys: Keys) -> None:
    await queue.ring(waiting(*((partition, partition) for partition in range(10))))
    first = await queue.claim(64, place=1, workers=3)
    assert sorted(wake_up.partition for wake_up in first if wake_up.partition is not None) == [1, 4, 7]
    assert await wakes(redis, keys) == 1  # the others' owners
    assert len(await queue.claim(2, place=0, workers=3)) == 2
    assert await wakes(redis, keys) == 1


async def test_what_has_waited_long_for_a_worker_that_does_not_come_is_taken_by_others(queue: Queue) -> None:
    await queue.ring(waiting((3, 1), (5, 2)))
    await asyncio.sleep(LONG.total_seconds() + 0.1)
    await queue.ring(waiting((4, 3), (7, 4)))
    taken = await queue.claim(64, place=0, workers=2)
    assert sorted(wake_up.partition for wake_up in taken if wake_up.partition is not None) == [3, 4, 5]


async def test_a_worker_whose_own_partitions_do_not_ring_takes_others(queue: Queue, redis: Redis, keys: Keys) -> None:
    await queue.ring(waiting((3, 1), (5, 2)))
    assert len(await queue.claim(64, place=0, workers=2)) == 2
    assert await wakes(redis, keys) == 0


async def test_nobody_is_woken_for_what_another_worker_has(queue: Queue, redis: Redis, keys: Keys) -> None:
    await queue.ring(waiting((3, 1)))
    await queue.claim(64, place=1, workers=2)
    await queue.ring(waiting((2, 2)))
    assert [wake_up.partition for wake_up in await queue.claim(64, place=0, workers=2)] == [2]
    assert await wakes(redis, keys) == 0


async def test_a_finished_wake_up_leaves_nothing_of_arqs_behind(queue: Queue, redis: Redis, keys: Keys) -> None:
    await queue.ring(waiting((3, 1), (3, 2), (5, 3)))
    claimed = await queue.claim(64)
    await redis.set(retry_key_prefix.encode() + claimed[0].job, 1)
    await queue.tell({}, claimed, {3: [BatchId(1)], 5: [BatchId(3)]})
    for job in (wake_up.job for wake_up in claimed):
        left = await redis.exists(*(prefix.encode() + job for prefix in (job_key_prefix, in_progress_key_prefix)))
        assert left + await redis.exists(retry_key_prefix.encode() + job) == 0
    assert await redis.zcard(keys.queue(APPLY)) == 0
    assert await redis.zrange(keys.waiting(3), 0, -1) == [b"2"]
    assert await redis.exists(keys.waiting(5)) == 0


async def test_a_worker_that_sleeps_is_woken_by_a_ring(queue: Queue) -> None:
    await queue.ring(waiting((3, 1)))
    assert await queue.wait(APPLY, 5)


async def test_sleepers_are_not_woken_for_more_than_there_can_be(queue: Queue, redis: Redis, keys: Keys) -> None:
    for batch in range(MOST_WAKES + 5):
        await queue.ring(waiting((3, batch)))
        await queue.forget_mark(3)
    assert await wakes(redis, keys) == MOST_WAKES


async def test_rings_and_claims_live_through_a_redis_that_forgot_everything(queue: Queue, redis: Redis) -> None:
    await queue.ring(waiting((3, 1)))
    await queue.claim(64)
    await redis.script_flush()
    assert await queue.ring(waiting((5, 2))) == 1
    assert [wake_up.partition for wake_up in await queue.claim(64)] == [5]


async def test_a_pickled_job_is_refused_and_never_read(queue: Queue, redis: Redis, keys: Keys, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    record = {"t": None, "f": "apply", "a": (3,), "k": {"x": Booby(trap)}, "et": 1}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        job = f"apply:3:pickle-{keys.prefix}{protocol}"
        pickled = pickle.dumps(record, protocol)
        await redis.set(job_key_prefix + job, pickled, px=60_000)
        await redis.zadd(keys.queue(APPLY), {job: 1})
        with pytest.raises(ValueError):  # noqa: PT011 - json's own error or ours, both say what it is not
            load_job(pickled)
    claimed = await queue.claim(64)
    assert [wake_up.partition for wake_up in claimed] == [None] * (pickle.HIGHEST_PROTOCOL + 1)
    await queue.tell({}, claimed, {})
    assert await redis.zcard(keys.queue(APPLY)) == 0
    assert not trap.exists()


FOREIGN: list[tuple[bytes, bytes]] = [
    (b"apply:3:a", b"not json"),
    (b"apply:3:b", b"[1]"),
    (b"apply:3:c", b"{}"),
    (b"apply:3:d", b'{"f":"apply","a":[4]}'),
    (b"apply:3:e", b'{"f":"rm","a":[3]}'),
    (b"apply:3:f", b'{"f":"apply","a":["3"]}'),
    (b"apply:3:g", b'{"f":"apply","a":7}'),
    (b"apply:3:j", b'{"f":"apply","a":[3.5]}'),
    (b"apply:1:k", b'{"f":"apply","a":[true]}'),
    (b"apply:64:l", b'{"f":"apply","a":[64000000000]}'),
    (b"apply:3:h", b"[" * 200_000),
    (b"apply:3:i", b"\xff\xfe"),
    (b"apply:\xff\xfe", b'{"f":"apply","a":[3]}'),
    (b"apply:", b""),
    (b"apply:3:no-such-job", b""),
]


@pytest.mark.parametrize(("job", "data"), FOREIGN)
async def test_a_job_that_nobody_of_ours_wrote_is_refused_and_removed(
    queue: Queue, redis: Redis, keys: Keys, job: bytes, data: bytes
) -> None:
    key = job_key_prefix.encode() + job
    if data:
        await redis.set(key, data, px=60_000)
    await redis.zadd(keys.queue(APPLY), {job: 1})
    (claimed,) = await queue.claim(64)
    assert (claimed.job, claimed.partition) == (job, None)
    await queue.tell({}, [claimed], {})
    assert await redis.zcard(keys.queue(APPLY)) == 0
    assert await redis.exists(key) == 0


async def test_what_is_no_batch_is_thrown_out_of_the_waiting_sets(settings: Settings, redis: Redis) -> None:
    keys = Keys(settings.redis_prefix)
    await redis.zadd(keys.waiting(5), {"foo": 1, "1" * 30: 1})
    await redis.set(keys.waiting(6), "not a set")
    async with running_crew(settings):
        await until(lambda: _empty(redis, keys))


async def _empty(redis: Redis, keys: Keys) -> bool:
    return not await redis.exists(keys.waiting(5), keys.waiting(6))


async def test_no_job_that_somebody_puts_into_the_queue_ends_a_worker(settings: Settings, redis: Redis) -> None:
    queue = Keys(settings.redis_prefix).queue("apply")
    jobs = [
        b'{"t":null,"f":["x"],"a":[],"k":{},"et":1}',
        b'{"t":"9","f":"x","a":[],"k":{},"et":1}',
        b'{"t":null,"f":"x","a":[],"k":{},"et":"z"}',
        b'{"t":null,"f":"x","a":[],"k":{},"et":1e300}',
        b"[]",
        pickle.dumps({"t": None, "f": "x", "a": [], "k": {}, "et": 1}),
    ]
    for number, job in enumerate(jobs):
        await redis.set(f"arq:job:{settings.redis_prefix}foreign-{number}", job, px=60_000)
        await redis.zadd(queue, {f"{settings.redis_prefix}foreign-{number}": 1})
    await redis.zadd(queue, {b"\xff\xfe": 1})
    worker = ThreadmillWorker(settings, "apply")
    working = asyncio.create_task(worker.main())
    try:
        await until(lambda: _gone(redis, queue))
        assert not working.done()
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        await worker.close()


async def _gone(redis: Redis, queue: str) -> bool:
    return bool(await redis.zcard(queue) == 0)


async def test_who_follows_a_thread_is_told_that_it_has_something_new(queue: Queue, redis: Redis, keys: Keys) -> None:
    """Beside what else there is to tell, and alone; also by a Redis that was emptied of its scripts."""
    one, two = ThreadId(ids.mint()), ThreadId(ids.mint())
    async with aclosing(redis.pubsub(ignore_subscribe_messages=True)) as pubsub:
        await pubsub.subscribe(keys.thread(one), keys.thread(two))
        await queue.ring(waiting((3, 1)))
        await queue.tell({}, await queue.claim(64), {3: [BatchId(1)]}, {one})
        await redis.script_flush()
        await queue.tell({}, [], {}, [two, one])
        await queue.tell({}, [], {}, [two])
        told: list[str] = []

        async def look() -> bool:
            if (message := await pubsub.get_message()) is not None:
                told.append(message["channel"].decode())
            return len(told) == 4

        await until(look)
    assert told == [keys.thread(thread) for thread in (one, two, one, two)]
    assert not await redis.exists(keys.waiting(3))
