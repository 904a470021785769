"""The queue in Redis: ring for batches, wait for the bell, claim wake-ups, tell what was applied.

A wake-up is a doorbell: its argument is a partition, what to do stands in Postgres. Every function here may fail
when Redis is away; nothing is lost by it (the workers' sweep finds the batches). Refused: any retry, and pickle.
"""

import json
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any

from arq.connections import ArqRedis
from arq.constants import in_progress_key_prefix, job_key_prefix, retry_key_prefix
from pydantic_core import to_json
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from shared import ids
from shared.ids import BatchId, BatchRef, ThreadId
from shared.keys import Keys
from shared.prompt import prompt_pool

AWAY = (RedisError, OSError, TimeoutError)  # what a Redis that is away, full, read-only or loading raises

MARK_MS = 2_000  # a mark whose wake-up was lost is forgotten after this; the sweep is faster
JOB_MS = 86_400_000  # arq's own life of a job
IN_PROGRESS_MS = 30_000  # arq's job_timeout of ours (20 s) + 10 s
MOST_WAKES = 64  # elements kept for workers that sleep; more would only wake them for nothing
ARQ_TIMEOUT = 5.0  # seconds of one command of the stock loop, which would else wait for ever for a server that hangs
JOB_TIMEOUT = 20.0  # seconds; arq runs a job of a killed worker again after the longest time-out + 10 s

LONG = timedelta(milliseconds=200)  # that a wake-up waits for its own worker before others take it
MOST_PARTITIONS = 1 << 15  # what the column holds; a database has fewer

APPLY = "apply"
EXECUTE = "execute"

# arq's record of a job (try, function, arguments, keyword arguments, enqueue time), of a partition and a time.
_APPLY_JOB = f'{{"t":null,"f":"{APPLY}","a":[%d],"k":{{}},"et":%d}}'
_EXECUTE_JOB = f'{{"t":null,"f":"{EXECUTE}","a":["%s"],"k":{{}},"et":%d}}'
_JOB = {"t": int | None, "f": str, "a": list, "k": dict, "et": int}  # try, function, arguments, enqueue time (ms)
_LATEST = 4_102_444_800_000  # the year 2100: arq makes a date of it


def dump_job(job: dict[str, Any]) -> bytes:
    """arq's serializer: JSON, because a pickle from a shared Redis is somebody else's program."""
    return to_json(job, fallback=repr)


def load_job(data: bytes) -> dict[str, Any]:
    """arq's deserializer. Raises ValueError on anything but a JSON object, a pickled job among it."""
    try:
        job = json.loads(data)
    except (UnicodeDecodeError, RecursionError) as error:
        raise ValueError("a job must be JSON; a pickled one is refused") from error
    if not isinstance(job, dict) or not all(isinstance(job.get(name), kind) for name, kind in _JOB.items()):
        raise ValueError("a job must be a JSON object of arq's shape")
    if isinstance(job["et"], bool) or not 0 <= job["et"] <= _LATEST:
        raise ValueError("a job's enqueue time is no time")
    return job


@cache
def _script(name: str) -> str:
    return (files("shared") / "lua" / f"{name}.lua").read_text(encoding="utf-8")


def open_redis(url: str, timeout: float) -> Redis:
    """A client that fails within `timeout` seconds rather than try again. Connects when it is first used."""
    return Redis.from_pool(_pool(url, timeout))


def _pool(url: str, timeout: float) -> ConnectionPool:
    return prompt_pool(
        url,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        retry_on_timeout=False,
    )


def open_arq(url: str, queue: str) -> ArqRedis:
    """arq's own client, not connected yet: arq's way of making one fails where Redis is away."""
    pool = ArqRedis(_pool(url, ARQ_TIMEOUT))
    pool.auto_close_connection_pool = True
    pool.job_serializer, pool.job_deserializer, pool.default_queue_name = dump_job, load_job, queue
    return pool


@dataclass(frozen=True, slots=True)
class Waiting:
    """A batch that waits, as the waiting sets hold it."""

    partition: int
    batch: BatchId
    accepted_ms: int


@dataclass(frozen=True, slots=True)
class WakeUp:
    job: bytes  # its id, as it stands in the queue: whoever may write there can write what is no text
    partition: int | None  # None: not a job of ours, refused


class Queue:
    """One client's view of the queue."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._shas: dict[str, str] = {}

    async def ring(self, waiting: Iterable[Waiting]) -> int:
        """Adds the batches to their waiting sets and rings for their partitions; returns the wake-ups written."""
        partitions: dict[int, list[str | int]] = {}
        newest = 0
        for item in waiting:
            partitions.setdefault(item.partition, []).extend((item.accepted_ms, item.batch))
            newest = max(newest, item.accepted_ms)
        if not partitions:
            return 0
        keys = [self._keys.queue(APPLY), self._keys.wake(APPLY)]
        args: list[str | int | bytes] = [MARK_MS, JOB_MS, MOST_WAKES]
        stamp = ids.mint()
        for partition, members in partitions.items():
            job = f"{APPLY}:{partition}:{stamp}"
            keys += [self._keys.waiting(partition), self._keys.rung(partition), job_key_prefix + job]
            args += [job, _APPLY_JOB % (partition, newest), len(members) // 2, *members]
        return int(await self._run("ring", keys, args))

    async def call(self, threads: Sequence[ThreadId]) -> None:
        """Rings for a worker to execute the current runs of these threads: a job each, `execute:<thread>:<id>`."""
        now = time.time_ns() // 1_000_000
        keys = [self._keys.queue(EXECUTE), self._keys.wake(EXECUTE)]
        args: list[str | int | bytes] = [JOB_MS, MOST_WAKES, job_key_prefix]
        for thread in threads:
            args += [f"{EXECUTE}:{thread}:{ids.mint()}", _EXECUTE_JOB % (thread, now)]
        await self._run("call", keys, args)

    async def answer(self, most: int) -> list[ThreadId]:
        """Takes at most `most` of those wake-ups, which end with that: what is lost of them the sweep finds."""
        keys = [self._keys.queue(EXECUTE), self._keys.wake(EXECUTE)]
        jobs = await self._run("answer", keys, [most, f"{EXECUTE}:", job_key_prefix, in_progress_key_prefix])
        threads = [ids.parse(job.decode(errors="replace").split(":")[1]) for job in jobs]
        return [ThreadId(thread) for thread in threads if thread is not None]

    async def nudge(self, threads: Iterable[ThreadId]) -> None:
        """Tells all workers that an executing run of these threads has news."""
        await self._redis.publish(self._keys.nudges, " ".join(threads))

    async def call_worker(self, worker: str) -> None:
        """Tells a worker that an operator asks something of it: what, stands in Postgres."""
        await self._redis.publish(self._keys.control, worker)

    async def wait(self, role: str, timeout: float) -> bool:
        """Waits at most `timeout` seconds to be woken. The client must allow for a longer answer than that."""
        return await self._redis.execute_command("BRPOP", self._keys.wake(role), timeout) is not None

    async def claim(self, most: int, place: int = 0, workers: int = 1) -> list[WakeUp]:
        """Takes wake-ups of at most `most` partitions; their marks are gone before anything is read.

        Of so many workers, the one at this place (from 0) takes its own partitions first, and with them what has
        waited for longer than `LONG`, by the clocks of whoever rang and of this process: clocks that differ cost
        efficiency alone.
        """
        long_ago = datetime.now(UTC) - LONG
        keys = [self._keys.queue(APPLY), self._keys.wake(APPLY)]
        args: list[str | int | bytes] = [
            most,
            IN_PROGRESS_MS,
            f"{APPLY}:",
            in_progress_key_prefix,
            self._keys.rung_prefix,
            job_key_prefix,
            place,
            workers,
            ids.earliest(long_ago),
        ]
        flat = await self._run("claim", keys, args)
        return [WakeUp(job, _partition(job, data)) for job, data in zip(flat[::2], flat[1::2], strict=True)]

    async def tell(
        self,
        outcomes: Mapping[str, Sequence[tuple[BatchRef, str]]],
        wake_ups: Sequence[WakeUp],
        applied: Mapping[int, Sequence[BatchId]],
        threads: Collection[ThreadId] = (),
    ) -> None:
        """What follows a drain, in one round trip: each api is told the outcomes it may wait for, lines of
        `<ref> <outcome>`; the wake-ups end, applied batches (per partition) leave the waiting sets, and who follows one
        of `threads` is told that it has something new.
        """
        pipeline = self._redis.pipeline(transaction=False)
        for api, items in outcomes.items():
            pipeline.publish(self._keys.outcomes(api), "\n".join([f"{ref} {text}" for ref, text in items]))
        if not wake_ups and not applied and not threads:
            await pipeline.execute()
            return
        keys, args = self._finishing(wake_ups, applied, threads)
        pipeline.execute_command("EVALSHA", await self._sha("finish"), len(keys), *keys, *args)
        try:
            await pipeline.execute()
        except NoScriptError:  # Redis was emptied or restarted; the outcomes are out
            await self._run("finish", keys, args)

    def _finishing(
        self, wake_ups: Sequence[WakeUp], applied: Mapping[int, Sequence[BatchId]], threads: Collection[ThreadId]
    ) -> tuple[list[str], list[str | int | bytes]]:
        """Keys and arguments of the script `finish`."""
        keys = [self._keys.queue(APPLY), *(self._keys.waiting(partition) for partition in applied)]
        args: list[str | int | bytes] = [in_progress_key_prefix, retry_key_prefix, job_key_prefix, len(wake_ups)]
        args += [wake_up.job for wake_up in wake_ups]
        for batches in applied.values():
            args += [len(batches), *batches]
        if threads:
            args += [self._keys.thread(""), *threads]
        return keys, args

    async def waiting(self, partitions: int) -> int:
        """How many batches wait, as the waiting sets of all partitions count them."""
        pipeline = self._redis.pipeline(transaction=False)
        for partition in range(partitions):
            pipeline.zcard(self._keys.waiting(partition))
        answers = await pipeline.execute(raise_on_error=False)  # a key of another type is the upkeep's to remove
        return sum(answer for answer in answers if isinstance(answer, int))

    async def beat(self, worker: str, record: dict[str, Any], life_ms: int) -> None:
        """Says that a worker lives, for those who look with redis-cli."""
        await self._redis.set(self._keys.worker(worker), json.dumps(record), px=life_ms)

    async def take(self, asked: Sequence[tuple[int, Sequence[tuple[str, float, float]]]]) -> list[int]:
        """Takes from token buckets, as the script `take` says: for each request its units, and its buckets' keys, µs a
        unit and µs of a whole bucket; returns four numbers for each.
        """
        keys: list[str] = []
        args: list[str | int | bytes] = []
        for units, buckets in asked:
            args += [units, len(buckets)]
            for key, interval, whole in buckets:
                keys.append(key)
                args += [repr(interval), repr(whole)]
        answers: list[int] = await self._run("take", keys, args)
        return answers

    async def note_refused(self, refused: Mapping[str, int], most: int) -> None:
        """Adds to the note of who was refused by a limit, and how often; at most `most` of them are kept."""
        args = [most, *(item for pair in refused.items() for item in pair)]
        await self._run("refused", [self._keys.limited, self._keys.limited_counts], args)

    async def forget_mark(self, partition: int) -> None:
        """What a job that a stock worker runs does first: whatever is accepted from here on rings again."""
        await self._redis.delete(self._keys.rung(partition))

    async def close(self) -> None:
        await self._redis.aclose()

    async def _run(self, name: str, keys: Sequence[str], args: Sequence[str | int | bytes]) -> Any:
        sha = await self._sha(name)
        try:
            return await self._redis.execute_command("EVALSHA", sha, len(keys), *keys, *args)
        except NoScriptError:  # Redis was emptied or restarted
            self._shas.clear()
            return await self._redis.execute_command("EVALSHA", await self._sha(name), len(keys), *keys, *args)

    async def _sha(self, name: str) -> str:
        if name not in self._shas:
            self._shas[name] = await self._redis.script_load(_script(name))
        return self._shas[name]


def _partition(job: bytes, data: bytes | None) -> int | None:
    """The partition of a wake-up, or None where it is not one that `ring` wrote."""
    try:
        record = load_job(data or b"")
        (partition,) = record["a"]
        ours = type(partition) is int and record["f"] == APPLY and job.split(b":")[1] == b"%d" % partition
        return partition if ours and 0 <= partition < MOST_PARTITIONS else None
    except (ValueError, KeyError, TypeError, IndexError):
        return None
