"""What a caller sees without Redis: it is killed, and stays away until the run is over.

The asynchronous run loses it in the middle of the load, the waited run before the load begins, so that every answer
is one without Redis. What is accepted is found by the worker's sweep; outcomes are read from Postgres.
"""

import asyncio
from dataclasses import replace
from functools import partial

from bench.measure import ASYNC, Run, Say, line, load_of, measure, nothing, warm_up
from bench.subjects import Service

CLIENTS = 16
KILLED_AFTER = 1.0  # seconds into the load
RATE = 500.0  # requests a second: what waits then waits for the sweep, and not for a machine that is full


async def take_redis_away(service: Service, seconds: float, say: Say) -> list[Run]:
    """Runs of variants `async` and `waited`. Raises Unsound, LoadError, TimeoutError."""
    return [
        await _without_redis(service, "async", load_seconds=seconds + KILLED_AFTER, say=say),
        await _without_redis(service, "waited", load_seconds=seconds, say=say),
    ]


async def _without_redis(service: Service, variant: str, load_seconds: float, say: Say) -> Run:
    await service.start()
    try:
        await warm_up(service)
        if variant == "waited":
            await service.stack.kill_redis()
        during = partial(_kill_redis, service) if variant == "async" else nothing
        prefer = ASYNC if variant == "async" else ""
        load = replace(load_of(service, CLIENTS, load_seconds, prefer), rate=RATE)
        run = await measure(service, variant, load, during=during)
        say(f"no Redis, {line(run)}")
        return run
    finally:
        await service.stop()
        await service.stack.restart_redis()


async def _kill_redis(service: Service) -> None:
    await asyncio.sleep(KILLED_AFTER)
    await service.stack.kill_redis()
