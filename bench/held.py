"""What the service holds at a moment: bytes of tables, of the write-ahead log, in Redis and on connections; memory.

Read from Postgres, Redis, `/proc` and `ss`; nothing here is estimated. Linux only.
"""

import asyncio
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from redis.asyncio import Redis

from bench.subjects import Service

TABLES = ("batches", "idempotency_keys", "threads", "runs", "messages", "thread_events", "leases", "drains")
_SENT = re.compile(r"bytes_sent:(\d+)")
_RECEIVED = re.compile(r"bytes_received:(\d+)")


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes, each since its own beginning; `sent` and `received` are the server's side, by server."""

    tables: Mapping[str, int]
    indexes: Mapping[str, int]
    wal: int
    redis: int
    sent: Mapping[str, int]
    received: Mapping[str, int]

    def since(self, before: "Held") -> "Held":
        return Held(
            tables={name: value - before.tables[name] for name, value in self.tables.items()},
            indexes={name: value - before.indexes[name] for name, value in self.indexes.items()},
            wal=self.wal - before.wal,
            redis=self.redis - before.redis,
            sent={name: value - before.sent[name] for name, value in self.sent.items()},
            received={name: value - before.received[name] for name, value in self.received.items()},
        )


async def held(service: Service) -> Held:
    """Now. Connections that were closed since they began count no more: compare moments of one load."""
    sizes = await service.db.fetch(
        "select t, pg_table_size(t::regclass) as bytes, pg_indexes_size(t::regclass) as indexes"
        " from unnest($1::text[]) t",
        TABLES,
    )
    wal = await service.db.fetchval("select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint")
    async with Redis.from_url(service.stack.redis.url) as redis:
        memory = int((await redis.info("memory"))["used_memory"])
    moved = {name: await _moved(port) for name, port in _ports(service).items()}
    return Held(
        tables={row["t"]: row["bytes"] for row in sizes},
        indexes={row["t"]: row["indexes"] for row in sizes},
        wal=wal,
        redis=memory,
        sent={name: one[0] for name, one in moved.items()},
        received={name: one[1] for name, one in moved.items()},
    )


async def connections(service: Service) -> dict[str, int]:
    """How many of Postgres' connections each program has."""
    port = _ports(service)["postgres"]
    found = {}
    for name, program in service.programs.items():
        text = await _ss("state", "established", f"dport = :{port}", "-p")
        found[name] = sum(f"pid={program.pid}," in line for line in text)
    return found


def _ports(service: Service) -> dict[str, int]:
    stack = service.stack
    return {
        "postgres": urlsplit(stack.postgres.url).port or 0,
        "redis": urlsplit(stack.redis.url).port or 0,
    }


async def _moved(port: int) -> tuple[int, int]:
    """Bytes of payload that the server at this port has sent and received on the connections that are open now."""
    text = "\n".join(await _ss("state", "established", f"sport = :{port}", "-i"))
    return sum(map(int, _SENT.findall(text))), sum(map(int, _RECEIVED.findall(text)))


async def _ss(*arguments: str) -> list[str]:
    *matched, option = arguments
    argv = ["ss", "-tnHO", option, *matched]
    done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()
