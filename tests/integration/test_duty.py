"""What an operator asks of a worker: seen with Redis and without, by all that takes work, and gone with its process."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from shared import agents
from shared.audit import Actor, Via
from shared.db.connect import connect
from shared.errors import Conflict, NotFound
from shared.ids import ThreadId, Ulid
from shared.inspect import fleet
from shared.inspect.actions import workers
from shared.inspect.partitions import Partition, read_partitions
from shared.keys import Keys
from shared.queue import Queue, open_redis
from shared.settings import Settings
from tests.pipeline import Caller, message, new_caller, running_crew, running_inbox
from tests.rows import Owner, Row, add_batch, add_owner, add_thread
from tests.watch import until
from worker import crew as crews
from worker.crew import Crew

ANNA = Actor("anna@host", Via.CLI)


@pytest.fixture
async def owner(pool: asyncpg.Pool) -> Owner:
    return await add_owner(pool)


def without_redis(settings: Settings) -> Settings:
    return settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})


async def doing(pool: asyncpg.Pool, crew: Crew, word: str) -> None:
    """Waits until the worker says that it does this."""
    await until(lambda: pool.fetchval("select doing = $2 from workers where id = $1", crew.id, word))


async def applied(pool: asyncpg.Pool, owner: Owner, number: int = 10) -> None:
    """That many new batches, applied by whoever is at work."""
    batches = [await add_batch(pool, owner, await add_thread(pool, owner), age=1) for _ in range(number)]
    await until(
        lambda: pool.fetchval("select bool_and(applied_at is not null) from batches where id = any($1)", batches)
    )


async def test_a_quiet_worker_takes_no_batch_and_works_again_and_needs_no_redis_for_either(
    pool: asyncpg.Pool, owner: Owner, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crews, "BEAT", 0.1)
    alone = without_redis(settings)
    async with running_crew(alone) as first, running_crew(alone) as second:
        await doing(pool, first, "work")
        assert await workers.quiet(pool, ANNA, first.id) == 1
        await doing(pool, first, "quiet")
        before = first.aftermath.applied
        await applied(pool, owner)
        assert (first.aftermath.applied, second.aftermath.applied >= 10) == (before, True)
        await workers.quiet(pool, ANNA, second.id)
        await doing(pool, second, "quiet")
        await workers.work(pool, ANNA, first.id)
        await applied(pool, owner)
        assert first.aftermath.applied == before + 10


async def test_a_word_is_heard_at_once_by_redis(
    pool: asyncpg.Pool, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crews, "BEAT", 60.0)
    redis = open_redis(settings.redis_url, 2)
    keys = Keys(settings.redis_prefix)
    async with running_crew(settings) as crew:
        await until(lambda: pool.fetchval("select count(*) from workers"))
        await until(lambda: _listened_to(redis, keys))
        await workers.quiet(pool, ANNA, crew.id, Queue(redis, keys))
        await doing(pool, crew, "quiet")
    await redis.aclose()


async def _listened_to(redis: object, keys: Keys) -> bool:
    ((_, listeners),) = await redis.pubsub_numsub(keys.control)  # type: ignore[attr-defined]  # untyped in redis
    return bool(listeners)


@pytest.mark.slow
async def test_a_quiet_worker_takes_no_run_and_ends_those_it_has(
    pool: asyncpg.Pool, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crews, "BEAT", 0.1)
    async with running_inbox(settings) as inbox, running_crew(settings, "all") as first:
        caller = await _echoing(inbox.pool, await new_caller(inbox))
        slow, _ = await caller.create(message("/slow 1"))
        await until(lambda: _executing(first, 1))
        await workers.quiet(pool, ANNA, first.id)
        await doing(pool, first, "quiet")
        async with running_crew(settings, "all"):
            quick, _ = await caller.create(message("hello"))
            await until(lambda: _status(pool, quick, "completed"))
            await until(lambda: _status(pool, slow, "completed"))
        losses = await pool.fetchval("select max(attempt) from runs where thread = $1", slow)
        assert losses == 1, "nobody took it over"


async def test_a_worker_that_ends_leaves_no_word_behind(pool: asyncpg.Pool, settings: Settings) -> None:
    async with running_crew(settings) as crew:
        await until(lambda: pool.fetchval("select count(*) from workers"))
        await workers.quiet(pool, ANNA, crew.id)
    with pytest.raises(NotFound):
        await workers.work(pool, ANNA, crew.id)
    assert await pool.fetchval("select count(*) from workers") == 0


async def test_a_worker_on_its_way_out_does_not_come_back(
    pool: asyncpg.Pool, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crews, "BEAT", 0.1)
    async with running_crew(settings) as crew:
        await until(lambda: pool.fetchval("select count(*) from workers"))
        await workers.drain(pool, ANNA, crew.id)
        await asyncio.wait_for(crew.duty.leaving.wait(), 10)
        await doing(pool, crew, "drain")
        with pytest.raises(Conflict, match="on its way out"):
            await workers.work(pool, ANNA, crew.id)
        await pool.execute("update workers set asked = null")
        await crew.beat_once()
        assert crew.duty.quiet


async def test_who_has_a_partition_in_hand_is_known_by_the_drain_that_locked_it(
    pool: asyncpg.Pool, owner: Owner, settings: Settings
) -> None:
    thread = await add_thread(pool, owner)
    async with running_crew(settings) as crew:
        await until(lambda: pool.fetchval("select count(*) from workers"))
        other = await connect(settings.database_url)
        async with other.transaction():  # the drain waits for this row with its partition locked and its note written
            batch = await add_batch(pool, owner, thread)
            await other.execute("select from batches where id = $1 for update", batch)
            found = await until(lambda: _in_hand(pool, thread))
            assert (found.id, found.holder and found.holder.owner) == (thread.partition, crew.id)
            assert (await fleet.find_worker(pool, crew.id)).in_hand == 1
        await other.close()


async def _in_hand(pool: asyncpg.Pool, thread: Row) -> Partition | None:
    one = (await read_partitions(pool))[thread.partition]
    return one if one.holder and one.holder.batches else None


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_a_drained_worker_hands_its_runs_over_and_exits_with_0(pool: asyncpg.Pool, settings: Settings) -> None:
    async with running_inbox(settings) as inbox, worker_process(settings, "worker") as process:
        caller = await _echoing(inbox.pool, await new_caller(inbox))
        thread, _ = await caller.create(message("/slow 3 and no word is lost"), wait=10)
        await until(lambda: _status(pool, thread, "running"))
        (row,) = await pool.fetch("select id, pid from workers")
        assert row["pid"] == process.pid
        async with running_crew(settings, "all"):
            await workers.drain(pool, ANNA, Ulid(row["id"]))
            assert await asyncio.wait_for(process.wait(), 20) == 0
            await until(lambda: _status(pool, thread, "completed"), timeout=20)
    said = await pool.fetchval(
        "select parts->0->>'text' from messages where thread = $1 and role = 'assistant'", thread
    )
    assert said.endswith("/slow 3 and no word is lost")
    assert said.startswith(" ".join(str(n) for n in range(1, 31)))


@pytest.mark.slow
@pytest.mark.timeout(60)
async def test_a_stock_arq_worker_ends_when_it_is_asked_to_leave(pool: asyncpg.Pool, settings: Settings) -> None:
    async with worker_process(settings, "arq", "worker.main.WorkerSettings") as process:
        worker = await until(lambda: pool.fetchval("select id from workers"), timeout=20)
        await workers.drain(pool, ANNA, worker)
        await asyncio.wait_for(process.wait(), 20)
    assert await pool.fetchval("select count(*) from workers") == 0


@asynccontextmanager
async def worker_process(settings: Settings, *module: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker process, killed at the end if it is there still."""
    environment = os.environ | {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "THREADMILL_REDIS_PREFIX": settings.redis_prefix,
        "THREADMILL_WORKER_PORT": "0",
        "THREADMILL_DRAIN_TIMEOUT": "2",
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", *module, env=environment)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _echoing(pool: asyncpg.Pool, caller: Caller) -> Caller:
    """Its agent is the demo `echo`."""
    config = {"function": "worker.runners.demo:echo"}
    await agents.change_agent(pool, caller.agent, config=config)
    return caller


async def _executing(crew: Crew, number: int) -> bool:
    return crew.executor is not None and crew.executor.executing == number


async def _status(pool: asyncpg.Pool, thread: ThreadId, status: str) -> bool:
    return bool(await pool.fetchval("select status = $2 from runs where thread = $1", thread, status))
