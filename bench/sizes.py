"""`python -m bench.sizes`: what one api, one worker and a batch, a run, an event take of memory, disk, log and network.

A program of its own: `python -m bench` measures how fast, this one how much. It judges nothing; docs/scaling.md
computes with what it prints. One api and one worker on an empty database; the usual mix of batches, then `echo` runs.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from bench import cpu
from bench.crowd import crowd
from bench.held import Held, connections, held
from bench.load import drive
from bench.measure import ASYNC, PATIENCE, load_of, warm_up
from bench.stack import Stack
from bench.subjects import Service

CLIENTS = 128
TALKERS = 16
KEYED, WAITING = 10_000, 50_000  # batches
SENDERS = 32
LOOK = 0.1  # seconds between two looks at the connections

_COUNTS = """
select (select count(*) from batches) as batches, (select count(*) from runs) as runs,
       (select count(*) from messages) as messages, (select count(*) from thread_events) as thread_events
"""


@dataclass(slots=True)
class Peak:
    """The most that each program had while something went on."""

    connections: dict[str, int] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)  # MiB

    async def watch(self, service: Service) -> None:
        """Looks until it is cancelled."""
        while True:
            await self.look(service)
            await asyncio.sleep(LOOK)

    async def look(self, service: Service) -> None:
        for name, count in (await connections(service)).items():
            self.connections[name] = max(count, self.connections.get(name, 0))
        for name, program in service.programs.items():
            self.memory[name] = max(round(cpu.resident_mib(program.pid), 1), self.memory.get(name, 0.0))


async def measure(seconds: float) -> dict[str, Any]:
    """All figures, of servers of its own."""
    stack = await Stack.start()
    try:
        service = await Service.prepare(stack)
        figures = {
            "batches": await _applying(service, seconds),
            "keys": await _keyed(service),
            "waiting": await _waiting(service),
            "runs": await _executing(service, seconds),
        }
        await service.close()
        return figures
    finally:
        await stack.stop()


async def _applying(service: Service, seconds: float) -> dict[str, Any]:
    """A load of 128 clients that do not wait for the outcome."""
    await service.start()
    await warm_up(service)
    idle = Peak()
    await asyncio.sleep(2)
    await idle.look(service)
    await service.reset()
    await _checkpoint(service)
    before = await held(service)
    busy, _ = await _watched(service, drive(load_of(service, CLIENTS, seconds, ASYNC)))
    await service.until_applied(PATIENCE)
    spent = (await held(service)).since(before)
    counts = await _counts(service)
    return {
        "idle": {"connections": idle.connections, "MiB": idle.memory},
        "busy": {"connections": busy.connections, "MiB": busy.memory},
        "rows": counts,
        **_shares(spent, counts, counts["batches"]),
    }


async def _keyed(service: Service) -> dict[str, Any]:
    """Batches with an Idempotency-Key of 36 characters."""
    before = await held(service)
    await _send(service, KEYED, keyed=True)
    await service.until_applied(PATIENCE)
    spent = (await held(service)).since(before)
    await service.stop()
    of = "idempotency_keys"
    return {"rows": KEYED, "bytes a key": round((spent.tables[of] + spent.indexes[of]) / KEYED)}


async def _waiting(service: Service) -> dict[str, Any]:
    """Batches that no worker takes: what they hold in Redis."""
    await service.reset()
    await service.start_worker()  # the api waits for nobody, the service stops both
    await service.start_api()
    await service.programs.pop("worker").stop()
    before = await held(service)
    await _send(service, WAITING, keyed=False)
    spent = (await held(service)).since(before)
    await service.start_worker()
    await service.until_applied(PATIENCE)
    await service.stop()
    return {"rows": WAITING, "Redis bytes a waiting batch": round(spent.redis / WAITING, 1)}


async def _executing(service: Service, seconds: float) -> dict[str, Any]:
    """`echo` runs of clients that each follow a stream."""
    await service.reset()
    threads = await service.add_threads(TALKERS)
    await service.start("all")
    await warm_up(service)
    await service.until_executed(PATIENCE)
    await service.reset()
    await _checkpoint(service)
    before = await held(service)
    given = {"port": service.port, "token": service.token, "threads": threads, "seconds": seconds}
    async with crowd("bench.talkers", given) as talkers:
        busy, _ = await _watched(service, talkers.line(seconds + PATIENCE))
    await service.until_executed(PATIENCE)
    spent = (await held(service)).since(before)
    counts = await _counts(service)
    await service.stop()
    return {
        "busy": {"connections": busy.connections, "MiB": busy.memory},
        "rows": counts,
        **_shares(spent, counts, counts["runs"]),
    }


async def _watched(service: Service, going_on: Awaitable[Any]) -> tuple[Peak, Any]:
    peak = Peak()
    watching = asyncio.create_task(peak.watch(service))
    try:
        result = await going_on
    finally:
        watching.cancel()
        await asyncio.wait([watching])
    return peak, result


async def _send(service: Service, count: int, *, keyed: bool) -> None:
    """So many messages of 40 characters, by some clients at once."""
    numbers = iter(range(count))
    headers = {"Authorization": f"Bearer {service.token}", "Prefer": ASYNC}

    async def client(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            own = {"Idempotency-Key": f"{number:036d}"} if keyed else {}
            thread = service.threads[number % len(service.threads)]
            body = {"events": [{"type": "user_message", "text": f"{number:040d}"}]}
            async with session.post(f"/api/v1/threads/{thread}/events", json=body, headers=own) as answer:
                answer.raise_for_status()

    url = f"http://127.0.0.1:{service.port}"
    async with aiohttp.ClientSession(url, headers=headers) as session, asyncio.TaskGroup() as group:
        for _ in range(SENDERS):
            group.create_task(client(session))


async def _checkpoint(service: Service) -> None:
    """From here on each page is written whole to the log when it changes first, as behind every checkpoint."""
    await service.db.execute("checkpoint")


async def _counts(service: Service) -> dict[str, int]:
    return dict(await service.db.fetchrow(_COUNTS))


def _shares(spent: Held, counts: dict[str, int], many: int) -> dict[str, Any]:
    """Bytes of each row of each table, and what one batch, or one run, writes and moves."""
    return {
        "bytes a row": {
            table: {
                "table": round(spent.tables[table] / count),
                "indexes": round(spent.indexes[table] / count),
            }
            for table, count in counts.items()
            if count
        },
        "disk each": round((sum(spent.tables.values()) + sum(spent.indexes.values())) / many),
        "log each": round(spent.wal / many),
        "sent each": {name: round(value / many) for name, value in spent.sent.items()},
        "received each": {name: round(value / many) for name, value in spent.received.items()},
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.sizes", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each load")
    figures = asyncio.run(measure(parser.parse_args().seconds))
    print(json.dumps(figures, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
