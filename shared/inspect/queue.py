"""The state of the queue, as Postgres (the truth) and Redis (the doorbell) tell it, side by side.

Either may be away: its half is then missing and the other one is shown. What is in Postgres is counted up to a bound
(batches by partition), so that a backlog of millions costs what a backlog of thousands does; the counts of Redis are
exact for what is in Redis.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg
from redis.asyncio import Redis

from shared.db.connect import AWAY as POSTGRES_AWAY
from shared.db.connect import Database
from shared.db.statements import statements
from shared.ids import Ulid
from shared.inspect import fleet, webhooks
from shared.inspect.bells import WakeUps, read_bells
from shared.inspect.counts import COUNTED, Count, counted
from shared.inspect.fleet import WorkerView
from shared.inspect.limits import Limit, Limited, backlog, limited
from shared.inspect.partitions import Holder, holders
from shared.inspect.work import Runs, read_runs
from shared.keys import Keys
from shared.queue import AWAY as REDIS_AWAY
from shared.settings import Settings

ACCOUNTS = 200  # accounts with work looked at in one partition for the age of the oldest batch
LIMITED = 20  # callers shown that were refused lately
WORKERS = 1_000  # shown with the queue, the latest started first
PARTITIONS = 64  # of a new database: assumed where Postgres is away and can't tell


@dataclass(frozen=True, slots=True)
class Depth:
    """One partition as Postgres holds it."""

    partition: int
    paused: bool
    waiting: Count
    held: Count  # of accounts that are paused: they wait for their operator
    blocked: Count
    oldest_age: float | None  # seconds, of what is waiting
    held_age: float | None  # the same of what is held
    holder: Holder | None  # None: nobody has it in hand


@dataclass(frozen=True, slots=True)
class Stored:
    """Postgres' half."""

    depths: tuple[Depth, ...]
    dead: Count
    dead_age: float | None  # seconds since the oldest dead letter was parked
    runs: Runs
    webhooks: webhooks.Summary
    workers: tuple[WorkerView, ...]

    @property
    def waiting(self) -> Count:
        return sum((depth.waiting for depth in self.depths), Count(0))

    @property
    def held(self) -> Count:
        return sum((depth.held for depth in self.depths), Count(0))

    @property
    def blocked(self) -> Count:
        return sum((depth.blocked for depth in self.depths), Count(0))

    @property
    def oldest_age(self) -> float | None:
        """Of batches that a drain may take: this is what alarms go by. What its operator paused is not late."""
        return max((d.oldest_age for d in self.depths if d.oldest_age is not None), default=None)

    @property
    def held_age(self) -> float | None:
        return max((d.held_age for d in self.depths if d.held_age is not None), default=None)


@dataclass(frozen=True, slots=True)
class Rung:
    """Redis' half."""

    wake_ups: Mapping[str, WakeUps]  # by role
    waiting: Mapping[int, int]  # partition -> members of its waiting set, where there are any
    rung: tuple[int, ...]  # partitions whose mark is set
    workers: tuple[Ulid, ...]  # those of Postgres' that live as Redis knows


@dataclass(frozen=True, slots=True)
class QueueStatus:
    stored: Stored | None  # None: Postgres is away, `errors` says why
    rung: Rung | None  # None: Redis is away
    errors: Mapping[str, str]
    backlog: Limit  # of what waits in Redis
    limited: tuple[Limited, ...] = ()  # who was refused by a limit lately, the latest first


async def queue_status(db: Database, redis: Redis, keys: Keys, settings: Settings) -> QueueStatus:
    """Both halves; one that is away is None and stands in `errors` by the server's name."""
    errors: dict[str, str] = {}
    stored = rung = None
    refused: list[Limited] = []
    try:
        stored = await read_stored(db)
    except (*POSTGRES_AWAY, asyncpg.PostgresError) as error:
        errors["postgres"] = _line(error)
    try:
        partitions = [depth.partition for depth in stored.depths] if stored else list(range(PARTITIONS))
        rung = await read_rung(redis, keys, partitions, [one.id for one in stored.workers] if stored else [])
        refused = await limited(db if stored else None, redis, keys, LIMITED)
    except REDIS_AWAY as error:
        errors["redis"] = _line(error)
    except (*POSTGRES_AWAY, asyncpg.PostgresError) as error:  # it went meanwhile: nobody has a name
        errors["postgres"] = _line(error)
    waiting = None if rung is None else sum(rung.waiting.values())
    return QueueStatus(stored, rung, errors, backlog(settings, waiting), tuple(refused))


async def read_stored(db: Database) -> Stored:
    """Postgres' half. Raises what asyncpg raises where Postgres is away."""
    sql = statements("inspect")
    depths = await db.fetch(sql["depths"], COUNTED + 1)
    ages = {row["partition"]: (row["age"], row["held_age"]) for row in await db.fetch(sql["oldest"], ACCOUNTS)}
    who = await holders(db)
    dead = await db.fetchrow(sql["dead"], COUNTED + 1)
    workers = await fleet.workers(db, WORKERS)
    return Stored(
        depths=tuple(
            Depth(
                row["partition"],
                row["paused"],
                counted(row["waiting"]),
                counted(row["held"]),
                counted(row["blocked"]),
                *ages.get(row["partition"], (None, None)),
                who.get(row["partition"]),
            )
            for row in depths
        ),
        dead=counted(dead["dead"]),
        dead_age=dead["age"],
        runs=await read_runs(db),
        webhooks=await webhooks.summary(db),
        workers=tuple(workers.items),
    )


async def read_rung(redis: Redis, keys: Keys, partitions: list[int], workers: Sequence[Ulid]) -> Rung:
    """Redis' half, and of the workers that Postgres names those that Redis knows. Raises what redis raises where it is
    away.
    """
    bells = await read_bells(redis, keys, partitions)
    told = await redis.mget([keys.worker(worker) for worker in workers]) if workers else []
    alive = tuple(worker for worker, one in zip(workers, told, strict=True) if one is not None)
    return Rung(bells.wake_ups, bells.waiting, bells.rung, alive)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
