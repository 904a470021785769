"""What a caller sees when Redis dies under load: it is killed a second into the run and stays away.

Everything accepted from then on is found by the worker's sweep, and outcomes are read from Postgres.
"""

import asyncio
from functools import partial

from bench.measure import ASYNC, Run, Say, line, load_of, measure, warm_up
from bench.subjects import Service

CLIENTS = 16
KILLED_AFTER = 1.0  # seconds into the load


async def take_redis_away(service: Service, seconds: float, say: Say) -> list[Run]:
    """Runs of variants `async` and `waited` without Redis. Raises Unsound, LoadError, TimeoutError."""
    runs: list[Run] = []
    for variant, prefer in (("async", ASYNC), ("waited", "")):
        await service.start()
        try:
            await warm_up(service)
            load = load_of(service, CLIENTS, seconds + KILLED_AFTER, prefer)
            runs.append(await measure(service, variant, load, during=partial(_kill_redis, service)))
            say(f"no Redis, {line(runs[-1])}")
        finally:
            await service.stop()
            await service.stack.restart_redis()
    return runs


async def _kill_redis(service: Service) -> None:
    await asyncio.sleep(KILLED_AFTER)
    await service.stack.kill_redis()
