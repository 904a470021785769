"""What the doctor looks at: one bounded look at Postgres and one at Redis, whatever waits or is kept there.

Refused here: judging what is found.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from redis.asyncio import Redis

from shared.db.connect import Database
from shared.db.migrate import migrations
from shared.db.statements import statements
from shared.ids import BatchId, ThreadId
from shared.inspect import files, rates, webhooks
from shared.inspect.files import Removals
from shared.inspect.servers import PostgresHealth, RedisHealth, postgres_health, redis_health
from shared.inspect.webhooks import Summary
from shared.keys import Keys
from shared.vitals import LIVES

SQL = statements("doctor")
SWEEP = statements("sweep")

ACCOUNTS = 16  # with work, looked at in each partition for the batch that has waited longest
COUNTED = 1_000  # rows of a kind; more are "1,000+"
LEASES = 10_000  # as many runs as a hundred workers execute
PAUSED = 1_000  # accounts; a longer list helps nobody
_LONGEST_ID = 18  # digits: what others may have written into a set must not be more than a bigint holds
DEEDS = 200  # entries of the audit log in which a pause is looked for


@dataclass(frozen=True, slots=True)
class Process:
    kind: str  # api, worker
    host: str
    pid: int
    version: str
    skew: float | None  # seconds that its clock is ahead of Postgres'
    roles: str
    doing: str  # work, quiet, drain

    @property
    def name(self) -> str:
        return f"{self.kind} {self.pid} on {self.host}"


@dataclass(frozen=True, slots=True)
class Partition:
    id: int
    paused: bool
    batch: BatchId | None  # that has waited longest; of accounts that are not held
    age: float | None  # seconds


@dataclass(frozen=True, slots=True)
class Waiting:
    """Counts go up to a bound, ages are seconds of the oldest."""

    dead: int
    dead_age: float | None
    held: int
    ready: int
    ready_age: float | None
    lost: int
    lost_age: float | None
    overdue: int
    overdue_age: float | None
    requests: int
    request_age: float | None


@dataclass(frozen=True, slots=True)
class Held:
    """The thread that has been held longest, by hand or by a dead letter."""

    thread: ThreadId
    who: str | None  # held it by hand
    letter: BatchId | None
    age: float  # seconds


@dataclass(frozen=True, slots=True)
class Holder:
    """A session that has the lock of a partition."""

    partition: int
    pid: int
    name: str | None
    state: str | None
    age: float | None  # seconds of its transaction


@dataclass(frozen=True, slots=True)
class Paused:
    """By whom and since when: as far as the audit log has it."""

    name: str
    by: str | None
    age: float | None


@dataclass(frozen=True, slots=True)
class Stored:
    """Postgres' half."""

    schema: int  # the database's newest migration
    needed: int  # the one that every program must know that runs on it
    known: int  # this program's
    health: PostgresHealth
    processes: Sequence[Process] = ()
    partitions: Sequence[Partition] = ()
    waiting: Waiting | None = None
    held: Held | None = None  # None, too, where only what is beyond the bound could say it
    webhooks: Summary | None = None
    removals: Removals | None = None
    holders: Sequence[Holder] = ()
    accounts: Sequence[Paused] = ()
    paused_by: Sequence[Paused] = ()
    sampled: float | None = None  # seconds since the newest sample began


@dataclass(frozen=True, slots=True)
class Member:
    """The first of a waiting set: since when it waits, as the set has it."""

    partition: int
    batch: BatchId
    accepted_at: float  # unix time


@dataclass(frozen=True, slots=True)
class Rung:
    """Redis' half."""

    health: RedisHealth
    waiting: int  # members of all waiting sets
    oldest: Sequence[Member] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    stored: Stored | None  # None: Postgres is away, `errors` says why
    rung: Rung | None  # None: Redis is away
    differing: Sequence[int] = ()  # partitions of which the two halves say different things
    errors: Mapping[str, str] = field(default_factory=dict)


async def read_stored(db: Database, late: float, request_hours: float) -> Stored:
    """Postgres' half: `late` seconds are too long for a batch. Raises what asyncpg raises where it is away."""
    (schema, needed), known = await _schema(db), migrations()[-1].version
    health = await postgres_health(db)
    if schema < known:  # what is read below may not be there
        return Stored(schema, needed, known, health)
    processes = [Process(**row) for row in await db.fetch(SQL["processes"], LIVES)]
    partitions = [
        Partition(row["partition"], row["paused"], row["batch"], row["age"])
        for row in await db.fetch(SQL["partitions"], ACCOUNTS)
    ]
    stuck = [one.id for one in partitions if one.age is not None and one.age > late]
    holders = await db.fetch(SQL["lock_holders"], stuck) if stuck else []
    waiting = Waiting(**await db.fetchrow(SQL["waiting_on"], COUNTED + 1, LEASES, request_hours))
    return Stored(
        schema,
        needed,
        known,
        health,
        processes,
        partitions,
        waiting=waiting,
        held=await _held(db) if waiting.held else None,
        webhooks=await webhooks.summary(db),
        removals=await files.removals(db),
        holders=[Holder(**row) for row in holders],
        accounts=await _paused_accounts(db),
        paused_by=await _paused_partitions(db, [one.id for one in partitions if one.paused]),
        sampled=await rates.written_ago(db),
    )


async def _held(db: Database) -> Held | None:
    row = await db.fetchrow(SQL["longest_held"], COUNTED)
    return None if row is None else Held(**row)


async def _schema(db: Database) -> tuple[int, int]:
    """The newest migration, and the one that every program must know."""
    try:
        row = await db.fetchrow(SQL["schema"])
    except asyncpg.UndefinedTableError:  # a database that nobody has migrated
        return 0, 0
    return row["newest"], row["needed"]


async def _paused_accounts(db: Database) -> list[Paused]:
    rows = await db.fetch(SQL["paused_accounts"], PAUSED)
    deeds = await _deeds(db, "account") if rows else []
    by = {deed["target"]: deed for deed in reversed(deeds)}  # the newest of each is left
    return [_paused(row["name"], by.get(f"account {row['id']}")) for row in rows]


async def _paused_partitions(db: Database, paused: Sequence[int]) -> list[Paused]:
    """The audit log names a partition, several, or all."""
    deeds = await _deeds(db, "queue") if paused else []
    found = []
    for one in paused:
        deed = next((deed for deed in deeds if _names(deed["target"], one)), None)
        found.append(_paused(str(one), deed))
    return found


async def _deeds(db: Database, noun: str) -> list[asyncpg.Record]:
    """Pauses and resumes, the newest first; each kind by its index."""
    kinds = [await db.fetch(SQL["deeds"], f"{noun}.{verb}", DEEDS) for verb in ("pause", "resume")]
    return sorted((deed for kind in kinds for deed in kind), key=lambda deed: -deed["id"])


def _names(target: str, partition: int) -> bool:
    if target == "all partitions":
        return True
    _, _, numbers = target.partition(" ")
    return str(partition) in numbers.split(", ")


def _paused(name: str, deed: Mapping[str, Any] | None) -> Paused:
    """Where the last that the log has is a resume, it was paused by hand behind it."""
    if deed is None or deed["action"].endswith("resume"):
        return Paused(name, None, None)
    return Paused(name, deed["actor"], deed["age"])


async def read_rung(redis: Redis, keys: Keys, partitions: int) -> Rung:
    """Redis' half, in three round trips. Raises what redis raises where it is away."""
    health = await redis_health(redis)
    pipeline = redis.pipeline(transaction=False)
    for partition in range(partitions):
        pipeline.zcard(keys.waiting(partition))
        pipeline.zrange(keys.waiting(partition), 0, 0, withscores=True)
    answers = await pipeline.execute()
    oldest = [
        Member(partition, BatchId(int(batch)), score / 1000)
        for partition, first in enumerate(answers[1::2])
        for batch, score in first
        if batch.isdigit() and len(batch) <= _LONGEST_ID
    ]
    return Rung(health, sum(answers[::2]), oldest)


async def differing(
    db: Database, redis: Redis, keys: Keys, stored: Stored, rung: Rung, settled: float
) -> Sequence[int]:
    """Partitions whose first member no longer waits, or whose oldest batch has no member; of what is older than
    `settled` seconds. Raises what either raises where it is away.
    """
    now = (await db.fetchval(SWEEP["clock"])).timestamp()
    asked = [one for one in rung.oldest if one.accepted_at < now - settled]
    rows = await db.fetch(SWEEP["gone"], [o.partition for o in asked], [o.batch for o in asked]) if asked else []
    late = [one for one in stored.partitions if one.batch is not None and (one.age or 0.0) > settled]
    pipeline = redis.pipeline(transaction=False)
    for one in late:
        pipeline.zscore(keys.waiting(one.id), str(one.batch))
    scores = await pipeline.execute() if late else []
    missing = [one.id for one, score in zip(late, scores, strict=True) if score is None]
    return sorted({*missing, *(row["partition"] for row in rows)})
