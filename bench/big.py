"""A big database, for what must cost the same whatever the tables hold: `python -m bench.big --batches 1000000`.

Fills the database of DATABASE_URL, which must be migrated and without threads, and the waiting sets in the Redis of
REDIS_URL, by statements of whole sets. Refused: a database that has threads, and making it as a service would have.
"""

import argparse
import asyncio
import os
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import asyncpg
from redis.asyncio import Redis

from shared import ids
from shared.db.connect import connect
from shared.db.statements import statements
from shared.keys import Keys

SQL = statements("big", "bench")
CHUNK = 20_000  # members of a waiting set that one command adds
YEAR = 365 * 86_400_000  # ms


@dataclass(frozen=True, slots=True)
class Size:
    """How many rows there are of each."""

    threads: int = 1_000_000
    batches: int = 1_000_000  # that wait
    events: int = 10_000_000
    applied: int = 1_000_000  # batches of the last day
    accounts: int = 2_000


async def fill(db: asyncpg.Connection, size: Size, say: Callable[[str], None] = lambda _: None) -> None:
    """Everything but Redis. Raises ValueError where the database has threads."""
    if await db.fetchval("select exists (select from threads)"):
        raise ValueError("the database has threads already")
    await db.execute(SQL["accounts"], size.accounts)
    await db.execute(SQL["stage"])
    partitions = await db.fetchval(statements("inbox")["partitions"])
    await db.copy_records_to_table("bench_threads", records=_threads(size.threads, partitions))
    await db.execute("analyze bench_threads")
    steps: list[tuple[str, tuple[int, ...]]] = [
        ("threads", (size.accounts,)),
        ("runs", ()),
        ("leases", ()),
        ("requests", ()),
        ("messages", ()),
        ("events", (max(size.events // max(size.threads, 1), 1),)),
        ("applied", (size.applied,)),
        ("waiting", (size.batches,)),
        ("outbox", (size.threads // 10,)),
        ("keys", (size.applied // 2,)),
    ]
    for name, arguments in steps:
        await db.execute(SQL[name], *arguments)
        say(name)
    await db.execute(SQL["tidy"])
    await db.execute("vacuum analyze")


def _threads(many: int, partitions: int) -> Iterator[tuple[int, int, str]]:
    """Number, partition and id of each, made one after another through the last year."""
    now = int(time.time() * 1000)
    for n in range(1, many + 1):
        chance = n * 2_654_435_761 % (1 << 80)  # the same each time
        thread = ids.from_bytes((now - YEAR + n).to_bytes(6, "big") + chance.to_bytes(10, "big"))
        yield n, zlib.crc32(thread.encode()) % partitions, thread


async def ring(db: asyncpg.Connection, redis: Redis, keys: Keys) -> None:
    """The waiting sets, as the sweep would make them in time."""
    for partition in range(await db.fetchval(statements("inbox")["partitions"])):
        rows = await db.fetch(SQL["in_redis"], partition)
        for start in range(0, len(rows), CHUNK):
            members = {str(row["id"]): row["ms"] for row in rows[start : start + CHUNK]}
            await redis.zadd(keys.waiting(partition), members)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.big", description="Fills an empty database.")
    add_sizes(parser)
    return parser.parse_args()


def add_sizes(parser: argparse.ArgumentParser) -> None:
    default = Size()
    for name in Size.__slots__:
        value = getattr(default, name)
        parser.add_argument(f"--{name}", type=int, default=value, help=f"({value})")


def size_of(chosen: argparse.Namespace) -> Size:
    return Size(**{name: getattr(chosen, name) for name in Size.__slots__})


def said(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


async def run(size: Size, database_url: str, redis_url: str, prefix: str = "") -> None:
    db = await connect(database_url, synchronous_commit="off")
    try:
        await fill(db, size, said)
        async with Redis.from_url(redis_url) as redis:
            await ring(db, redis, Keys(prefix))
        said("waiting sets")
    finally:
        await db.close()


if __name__ == "__main__":
    asyncio.run(run(size_of(arguments()), os.environ["DATABASE_URL"], os.environ["REDIS_URL"]))
