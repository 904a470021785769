"""What Redis holds of the queue: waiting sets, marks of partitions that were rung for, wake-ups. All of it is a hint.

Refused here: looking for keys; what is read is named, so that it costs the same whatever else Redis holds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from arq.constants import in_progress_key_prefix
from redis.asyncio import Redis

from shared.ids import BatchId
from shared.inspect.partitions import Named
from shared.keys import Keys

JOBS = 1_000  # wake-ups looked at; there is at most about one a partition
ROLES = ("apply", "execute")
LONGEST_ID = 18  # digits: what others may have written into a set must not be more than a bigint holds


@dataclass(frozen=True, slots=True)
class WakeUps:
    """The doorbells of one role: `queued` and not taken yet, `in_progress` in a worker's hands, `deferred` until later:
    arq runs no job whose score, a time in ms, is ahead of the clock.
    """

    queued: int
    in_progress: int
    deferred: int = 0


@dataclass(frozen=True, slots=True)
class Bells:
    waiting: Mapping[int, int]  # partition -> members of its waiting set, where there are any
    rung: tuple[int, ...]  # partitions whose mark is set
    oldest: Named  # the first of each waiting set
    wake_ups: Mapping[str, WakeUps]  # by role


async def read_bells(redis: Redis, keys: Keys, partitions: Sequence[int]) -> Bells:
    """In four round trips. Raises what redis raises where it is away."""
    pipeline = redis.pipeline(transaction=False)
    for partition in partitions:
        pipeline.zcard(keys.waiting(partition))
        pipeline.exists(keys.rung(partition))
        pipeline.zrange(keys.waiting(partition), 0, 0)
    pipeline.time()
    *answers, (seconds, microseconds) = await pipeline.execute()
    now = seconds * 1_000 + microseconds // 1_000
    found = list(zip(partitions, answers[::3], answers[1::3], answers[2::3], strict=True))
    return Bells(
        waiting={partition: size for partition, size, _, _ in found if size},
        rung=tuple(partition for partition, _, mark, _ in found if mark),
        oldest=[(partition, batch) for partition, _, _, first in found if (batch := _batch(first)) is not None],
        wake_ups={role: await _wake_ups(redis, keys.queue(role), now) for role in ROLES},
    )


def _batch(members: Sequence[Any]) -> BatchId | None:
    """The first member, where it is the id of a batch."""
    (first,) = members or (b"",)
    return BatchId(int(first)) if first.isdigit() and len(first) <= LONGEST_ID else None


async def _wake_ups(redis: Redis, queue: str, now: int) -> WakeUps:
    """arq keeps a job in its queue until it ended; what marks it as taken is a key of its own."""
    pipeline = redis.pipeline(transaction=False)
    pipeline.zcard(queue)
    pipeline.zcount(queue, f"({now}", "+inf")
    pipeline.zrange(queue, 0, JOBS - 1)
    size, deferred, jobs = await pipeline.execute()
    taken = await redis.mget([in_progress_key_prefix + job.decode() for job in jobs]) if jobs else []
    in_progress = sum(mark is not None for mark in taken)
    return WakeUps(max(size - in_progress - deferred, 0), in_progress, deferred)
