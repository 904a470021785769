"""The baseline's worker: arq as it comes, tuned by its settings.

`python -m bench.baseline.worker`, with `REDIS_URL`, `DATABASE_URL` in the environment.
"""

import os
from datetime import UTC, datetime
from typing import Any

import asyncpg
import uvloop
from arq.connections import RedisSettings
from arq.worker import Worker, func
from pydantic_core import from_json, to_json

from bench.baseline.apply import apply
from bench.baseline.queue import QUEUE
from shared.db.connect import open_pool

CONNECTIONS = 24  # tried 4 to 40 on two cores: from 20 on nothing changes, below it the jobs queue for one


async def apply_batch(ctx: dict[str, Any], thread: str, events: list[dict[str, Any]], accepted: float) -> None:
    """One batch, one transaction. A second run of the same job changes nothing."""
    async with ctx["pool"].acquire() as connection:
        try:
            await apply(connection, ctx["job_id"], thread, events, datetime.fromtimestamp(accepted, UTC))
        except asyncpg.UniqueViolationError:
            return  # this batch's row exists: the job ran before


async def _start(ctx: dict[str, Any]) -> None:
    ctx["pool"] = await open_pool(os.environ["DATABASE_URL"], CONNECTIONS)


async def _stop(ctx: dict[str, Any]) -> None:
    await ctx["pool"].close()


def worker() -> Worker:
    return Worker(
        functions=[func(apply_batch, name="apply_batch")],
        queue_name=QUEUE,
        redis_settings=RedisSettings.from_dsn(os.environ["REDIS_URL"]),
        on_startup=_start,
        on_shutdown=_stop,
        max_jobs=100,
        poll_delay=0.01,
        keep_result=0,
        job_timeout=20,
        job_serializer=to_json,
        job_deserializer=from_json,
        log_results=False,
    )


if __name__ == "__main__":
    uvloop.install()
    worker().run()
