"""How Redis and Postgres themselves are: memory, connections, persistence, replication, settings that promises hang on.

Each is asked for at most `PATIENCE`, side by side; one that is away is None and stands in `errors`. What a role may not
see (other roles' transactions without `pg_monitor`) is missing, never an error.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from shared.db.connect import AWAY as POSTGRES_AWAY
from shared.db.connect import Database, is_pooled
from shared.db.statements import statements
from shared.prompt import sentinels_behind
from shared.queue import AWAY as REDIS_AWAY
from shared.sentinel import Word

SQL = statements("servers")
T = TypeVar("T")

_SENTINELS = 0.5  # seconds for all sentinels, side by side
PATIENCE = 1.5  # seconds for each: at night a page that says who is away helps, one that hangs does not


@dataclass(frozen=True, slots=True)
class RedisHealth:
    version: str
    role: str  # master, slave
    ping: float  # seconds for one round trip
    memory: int  # bytes that it uses
    memory_limit: int  # bytes; 0: the machine's
    policy: str  # what it does when its memory is full
    evicted: int  # keys that it dropped, since it started
    clients: int
    clients_limit: int
    operations: int  # a second
    saved_at: int  # unix time of the last snapshot, or of its start
    snapshot_failed: bool
    aof: bool  # an append-only file is written
    aof_failed: bool
    master_down: bool  # a replica that has lost its master
    snapshots: str | None = None  # when it makes them (`save`), empty for never; None where it may not be asked
    replicas: int = 0  # that are connected
    sentinels: Sequence[Word] = ()  # what each says, where they lead to the master

    @property
    def led(self) -> str:
        """Which master the sentinels name, and how many do; empty where none are used."""
        named = Counter(f"{word.master[0]}:{word.master[1]}" for word in self.sentinels if word.master is not None)
        return ", ".join(f"{count} of {len(self.sentinels)} name {master}" for master, count in named.most_common())


@dataclass(frozen=True, slots=True)
class Replica:
    name: str
    state: str | None
    sync_state: str | None
    bytes: int | None  # of the log that it has not replayed
    seconds: float | None  # since it last had all; None where nothing moves


@dataclass(frozen=True, slots=True)
class PostgresHealth:
    """`fsync` and `full_page_writes` are the server's; `synchronous_commit` is a session's that asks for nothing."""

    version: str
    in_recovery: bool
    connections: int  # of all databases
    connections_limit: int  # for ordinary roles
    size: int  # bytes of this database
    fsync: str
    full_page_writes: str
    synchronous_commit: str
    transaction_age: float | None  # seconds, of the oldest one
    transaction: str | None  # whose it is
    lock_wait: float | None  # seconds, of who waits longest
    replicas: tuple[Replica, ...]
    synchronous_standbys: str = ""  # of which commits wait for some, as `synchronous_standby_names` has them
    unbounded: bool = False  # a pooler's sessions have no `lock_timeout`, or none for who sleeps in a transaction


@dataclass(frozen=True, slots=True)
class Servers:
    postgres: PostgresHealth | None  # None: away, `errors` says why
    redis: RedisHealth | None
    errors: Mapping[str, str]


async def servers(db: Database, redis: Redis) -> Servers:
    errors: dict[str, str] = {}
    postgres, found = await asyncio.gather(
        within(errors, "postgres", postgres_health(db)), within(errors, "redis", redis_health(redis))
    )
    return Servers(postgres, found, errors)


async def within(errors: dict[str, str], server: str, read: Awaitable[T]) -> T | None:
    """What is read within `PATIENCE`, else None, and the reason in `errors`."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await read
    except (*POSTGRES_AWAY, *REDIS_AWAY, asyncpg.PostgresError) as error:
        errors[server] = " ".join(str(error).split()) or f"no answer within {PATIENCE} s"
        return None


async def postgres_health(db: Database) -> PostgresHealth:
    """Raises what asyncpg raises where Postgres is away."""
    row = await db.fetchrow(SQL["postgres"])
    activity = await db.fetchrow(SQL["activity"])
    replicas = [] if row["in_recovery"] else await db.fetch(SQL["replicas"])
    return PostgresHealth(
        version=row["version"],
        in_recovery=row["in_recovery"],
        connections=row["connections"],
        connections_limit=row["max_connections"] - row["reserved"],
        size=row["size"],
        fsync=row["fsync"],
        full_page_writes=row["full_page_writes"],
        synchronous_commit=await db.fetchval(SQL["committing"]),
        transaction_age=activity["transaction_age"],
        transaction=activity["transaction"],
        lock_wait=activity["lock_wait"],
        replicas=tuple(Replica(**replica) for replica in replicas),
        synchronous_standbys=row["synchronous_standbys"],
        unbounded=await unbounded(db),
    )


async def unbounded(db: Database) -> bool:
    """Whether a pooler's sessions wait for locks, or sleep in a transaction, without end. Our own ask for bounds."""
    if isinstance(db, asyncpg.Pool):
        async with db.acquire() as connection:
            return await unbounded(connection)
    return is_pooled(db) and not await db.fetchval(SQL["bounded"])


async def redis_health(redis: Redis) -> RedisHealth:
    """Raises what redis raises where it is away."""
    clock = asyncio.get_running_loop().time
    began = clock()
    await redis.ping()
    ping = clock() - began
    info: dict[str, Any] = await redis.info()
    return RedisHealth(
        version=str(info.get("valkey_version") or info["redis_version"]),
        role=info["role"],
        ping=ping,
        memory=info["used_memory"],
        memory_limit=info["maxmemory"],
        policy=info["maxmemory_policy"],
        evicted=info["evicted_keys"],
        clients=info["connected_clients"],
        clients_limit=info.get("maxclients", 0),
        operations=info["instantaneous_ops_per_sec"],
        saved_at=info["rdb_last_save_time"],
        snapshot_failed=info["rdb_last_bgsave_status"] != "ok",
        aof=bool(info["aof_enabled"]),
        aof_failed="err" in (info.get("aof_last_write_status"), info.get("aof_last_bgrewrite_status")),
        master_down=info.get("master_link_status", "up") != "up",
        snapshots=await _snapshots(redis),
        replicas=info.get("connected_slaves", 0),
        sentinels=await _sentinels(redis),
    )


async def _sentinels(redis: Redis) -> Sequence[Word]:
    found = sentinels_behind(redis.connection_pool)
    return () if found is None else await found.words(_SENTINELS, _SENTINELS)


async def _snapshots(redis: Redis) -> str | None:
    """Hosted ones refuse CONFIG, or have it under another name."""
    try:
        found: str | None = (await redis.config_get("save")).get("save")
    except ResponseError:
        return None
    return found
