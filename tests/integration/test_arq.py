"""The two ways to work, each without the other; and a stock arq worker in place of ours."""

import asyncio
import json
import os
import pickle
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from arq.constants import job_key_prefix
from redis.asyncio import Redis

from api.submission import Applied
from shared.keys import Keys
from shared.metrics import APPLIED
from shared.queue import APPLY
from shared.settings import Settings
from tests.integration.booby import Booby
from tests.pipeline import Caller, message, new_caller, running_crew, running_inbox
from tests.sentinel_server import NAME, sentinel
from tests.watch import until
from worker.crew import Crew
from worker.main import apply

CALLERS, EACH = 8, 12


def applied(via: str) -> float:
    """Batches applied by this process."""
    (metric,) = APPLIED.collect()
    return sum(s.value for s in metric.samples if s.labels.get("via") == via and s.name.endswith("_total"))


async def converse(caller: Caller) -> None:
    """Some threads, a few batches each, every one waited for."""

    async def one() -> None:
        thread, answer = await caller.create(message())
        assert isinstance(answer, Applied), answer
        for n in range(1, EACH):
            answer = await caller.send(thread, message(str(n)))
            assert isinstance(answer, Applied), answer

    await asyncio.gather(*(one() for _ in range(CALLERS)))


async def slowest(pool: asyncpg.Pool) -> float:
    """Seconds from accepted to applied."""
    seconds: float = await pool.fetchval(
        "select max(extract(epoch from applied_at - accepted_at))::float8 from batches"
    )
    return seconds


async def test_with_the_sweep_off_everything_is_applied_through_the_queue(settings: Settings) -> None:
    settings = settings.model_copy(update={"sweep": False})
    rung, swept = applied("arq"), applied("sweep")
    async with running_inbox(settings) as inbox, running_crew(settings):
        await converse(await new_caller(inbox))
        assert await inbox.pool.fetchval("select count(*) from batches where applied_at is null") == 0
    assert applied("arq") - rung == CALLERS * EACH
    assert applied("sweep") == swept


async def test_with_redis_off_everything_is_applied_by_the_sweep_within_two_seconds(settings: Settings) -> None:
    away = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    swept = applied("sweep")
    async with running_inbox(away) as inbox, running_crew(away):
        caller = await new_caller(inbox)
        for _ in range(2):
            await asyncio.gather(*(caller.create(message(), wait=10) for _ in range(100)))
        assert await inbox.pool.fetchval("select count(*) from batches where applied_at is null") == 0
        assert await slowest(inbox.pool) <= 2
    assert applied("sweep") - swept == 200


async def test_after_quiet_every_waiting_set_and_the_queue_are_empty(settings: Settings, redis: Redis) -> None:
    keys = Keys(settings.redis_prefix)
    async with running_inbox(settings) as inbox, running_crew(settings):
        await converse(await new_caller(inbox))

        async def quiet() -> bool:
            sets = [await redis.zcard(keys.waiting(partition)) for partition in range(64)]
            return not any((*sets, await redis.zcard(keys.queue(APPLY))))

        assert await until(quiet)


async def test_a_job_that_runs_twice_applies_once(settings: Settings, redis: Redis) -> None:
    crew = Crew(settings.model_copy(update={"sweep": False}))
    await crew.start(bell=False)
    ctx = {"crew": crew, "redis": redis}
    async with running_inbox(settings) as inbox:
        caller = await new_caller(inbox)
        threads = [(await caller.create(message(), wait=0))[0] for _ in range(5)]
        where = {row["id"]: row["partition"] for row in await inbox.pool.fetch("select id, partition from threads")}
        first = [await apply(ctx, partition) for partition in set(where.values())]
        before = await inbox.pool.fetch("select * from runs order by id")
        again = await asyncio.gather(*(apply(ctx, partition) for partition in where.values()))
        assert (sum(first), sum(again)) == (5, 0)
        assert await inbox.pool.fetch("select * from runs order by id") == before
        assert {row["thread"] for row in before} == set(threads)
    await crew.stop(timeout=5)


async def test_a_job_about_no_partition_of_ours_is_refused(
    settings: Settings, redis: Redis, pool: asyncpg.Pool
) -> None:
    crew = Crew(settings.model_copy(update={"sweep": False}))
    await crew.start(bell=False)
    foreign: list[Any] = ["3", "1]::int[]) as p; drop table leases; --", 3.5, True, None, 64, -1]
    for partition in foreign:
        with pytest.raises(ValueError, match="no partition"):
            await apply({"crew": crew, "redis": redis}, partition)
    await crew.stop(timeout=5)
    assert await pool.fetchval("select to_regclass('leases') is not null")


@asynccontextmanager
async def stock_worker(settings: Settings) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m arq worker.main.WorkerSettings`, as its manual says; ended by SIGTERM."""
    environment = os.environ | {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "THREADMILL_REDIS_PREFIX": settings.redis_prefix,
        "THREADMILL_SWEEP": "false",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "arq", "worker.main.WorkerSettings"), env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        _, said = await asyncio.wait_for(process.communicate(), 15)
    lines = [json.loads(line) for line in said.decode().splitlines()[2:]]  # arq says two before it calls us
    assert all(line["event"] for line in lines)
    assert "arq.worker" in {line.get("logger") for line in lines}


async def test_a_stock_arq_worker_goes_by_sentinels_with_a_password_of_their_own(settings: Settings) -> None:
    parts = urlsplit(settings.redis_url)
    async with sentinel((str(parts.hostname), parts.port or 0), password="guard") as one:
        login = parts.netloc.rpartition("@")[0]
        url = f"redis+sentinel://{login}@127.0.0.1:{one.port}/{NAME}/0?sentinel_password=guard"
        async with stock_worker(settings.model_copy(update={"redis_url": url})), running_inbox(settings) as inbox:
            _, answer = await (await new_caller(inbox)).create(message(), wait=30)
            assert isinstance(answer, Applied), answer


async def test_a_stock_arq_worker_applies_and_refuses_what_is_pickled(
    settings: Settings, redis: Redis, tmp_path: Path
) -> None:
    keys, trap = Keys(settings.redis_prefix), tmp_path / "trap"
    pickled = pickle.dumps({"t": None, "f": "apply", "a": (Booby(trap),), "k": {}, "et": 1})
    for job in (f"{keys.prefix}pickled", f"apply:3:{keys.prefix}pickled"):
        await redis.set(job_key_prefix + job, pickled, px=60_000)
        await redis.zadd(keys.queue(APPLY), {job: 1})
    async with stock_worker(settings), running_inbox(settings) as inbox:
        caller = await new_caller(inbox)
        thread, answer = await caller.create(message(), wait=30)
        assert isinstance(answer, Applied), answer
        for n in range(3):
            answer = await caller.send(thread, message(str(n)), wait=10)
            assert isinstance(answer, Applied), answer
        assert len(json.loads(answer.outcome)["events"]) == 1

        async def refused() -> bool:
            return not await redis.zrange(keys.queue(APPLY), 0, -1)

        assert await until(refused)
    assert not trap.exists()
