"""The service at one look: what waits, since when, how fast it goes, who works on it, how its servers are.

Postgres and Redis are looked at side by side, each within its time (`servers.within`); one that is away is None and
stands in `errors`, and the other one is shown. Refused here: a read whose cost grows with what waits or with what is
kept.
"""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass

import asyncpg
from redis.asyncio import Redis

from shared.db.connect import Database
from shared.db.statements import statements
from shared.ids import BatchId
from shared.inspect import partitions, rates
from shared.inspect.bells import LONGEST_ID, ROLES
from shared.inspect.counts import COUNTED, Count, counted
from shared.inspect.fleet import LISTED
from shared.inspect.partitions import ACCOUNTS, Named
from shared.inspect.rates import Rates, Series
from shared.inspect.servers import PostgresHealth, RedisHealth, postgres_health, redis_health, within
from shared.inspect.work import Runs, read_runs
from shared.keys import Keys
from shared.models import RunStatus
from shared.vitals import LIVES

SQL = statements("overview")

EXECUTING = 5_000  # runs counted that have left the queue: as many as fifty workers execute
ACTIVE = (RunStatus.QUEUED, RunStatus.BOOTING, RunStatus.RUNNING, RunStatus.WAITING_INPUT)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is not applied. Ages are seconds."""

    waiting: Count
    held: Count  # of those, what accounts sent that are paused
    blocked: Count
    dead: Count
    dead_age: float | None
    oldest_age: float | None  # of what may be applied: nothing that is paused
    at_least: bool  # more accounts have work than were probed, and Redis did not name the oldest batch


@dataclass(frozen=True, slots=True)
class Alive:
    """Processes of one kind; `silent` are those that fell silent within the last hour without a goodbye."""

    alive: int
    silent: int


@dataclass(frozen=True, slots=True)
class Stored:
    """Postgres' half."""

    backlog: Backlog
    active: Mapping[RunStatus, Count]  # runs that are not over
    runs: Runs
    workers: Alive
    apis: Alive
    rates: Rates | None  # of the last minute; None: nobody wrote a sample
    hour: Series
    health: PostgresHealth


@dataclass(frozen=True, slots=True)
class Rung:
    """Redis' half."""

    waiting: int  # batches in all waiting sets
    wake_ups: Mapping[str, int]  # by role, queued and in progress
    oldest: Named  # the first of each waiting set
    health: RedisHealth


@dataclass(frozen=True, slots=True)
class Overview:
    stored: Stored | None  # None: Postgres is away, `errors` says why
    rung: Rung | None  # None: Redis is away
    errors: Mapping[str, str]


async def overview(db: asyncpg.Connection | None, redis: Redis, keys: Keys, size: int) -> Overview:
    """Both halves, or the one that there is. `db` None: nobody has a connection to Postgres. `size`: partitions."""
    errors: dict[str, str] = {}
    rung = asyncio.create_task(within(errors, "redis", read_rung(redis, keys, size)), name="overview redis")
    try:
        if db is None:
            errors["postgres"] = "it does not answer"
            return Overview(None, await rung, errors)
        stored = await within(errors, "postgres", read_stored(db, rung))
        return Overview(stored, await rung, errors)
    finally:
        rung.cancel()


async def read_stored(db: Database, rung: Awaitable[Rung | None]) -> Stored:
    """Postgres' half. Raises what asyncpg raises where Postgres is away."""
    backlog = await db.fetchrow(SQL["backlog"], COUNTED + 1)
    active = await db.fetch(SQL["active_runs"], COUNTED + 1, EXECUTING + 1)
    processes = await db.fetch(SQL["processes"], LIVES, LISTED)
    runs = await read_runs(db)
    told = await rung
    oldest = await partitions.oldest(db, told.oldest if told else ())
    alive = {row["kind"]: Alive(row["alive"], row["silent"]) for row in processes}
    return Stored(
        backlog=Backlog(
            waiting=counted(backlog["waiting"]),
            held=counted(backlog["held"]),
            blocked=counted(backlog["blocked"]),
            dead=counted(backlog["dead"]),
            dead_age=backlog["dead_age"],
            oldest_age=max(
                (one.age for one in oldest.values() if one.age is not None and not one.paused), default=None
            ),
            at_least=told is None and any(one.looked >= ACCOUNTS for one in oldest.values()),
        ),
        active=_by_status(active),
        runs=runs,
        workers=alive.get("worker", Alive(0, 0)),
        apis=alive.get("api", Alive(0, 0)),
        rates=await rates.rates(db),
        hour=await rates.series(db),
        health=await postgres_health(db),
    )


def _by_status(rows: Sequence[asyncpg.Record]) -> dict[RunStatus, Count]:
    """Of rows with how many of a status there are among the `seen` ones that were looked at."""
    found = dict.fromkeys(ACTIVE, Count(0))
    for row in rows:
        bound = COUNTED if row["status"] == RunStatus.QUEUED else EXECUTING
        found[RunStatus(row["status"])] = Count(min(row["runs"], bound), row["seen"] > bound)
    return found


async def read_rung(redis: Redis, keys: Keys, size: int) -> Rung:
    """Redis' half, in three round trips. Raises what redis raises where it is away."""
    pipeline = redis.pipeline(transaction=False)
    for partition in range(size):
        pipeline.zcard(keys.waiting(partition))
        pipeline.zrange(keys.waiting(partition), 0, 0)
    for role in ROLES:
        pipeline.zcard(keys.queue(role))
    *sets, apply, execute = await pipeline.execute()
    health = await redis_health(redis)
    first = [(partition, members[0]) for partition, members in enumerate(sets[1::2]) if members]
    return Rung(
        waiting=sum(sets[::2]),
        wake_ups=dict(zip(ROLES, (apply, execute), strict=True)),
        oldest=[
            (partition, BatchId(int(member)))
            for partition, member in first
            if member.isdigit() and len(member) <= LONGEST_ID
        ],
        health=health,
    )
