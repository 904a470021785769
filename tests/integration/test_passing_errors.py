"""Errors of Postgres that pass: a deadlock, a serialization failure, a lock time-out. What met one is taken again,
once, with no try counted; where they do not pass nothing is stored, and the next who comes does it.
"""

import asyncio

import asyncpg
import pytest

from api import flush
from shared import ids
from shared.db import bounded
from shared.db.connect import MET, connect
from shared.settings import Settings
from tests.agents import Stage, running_stage
from tests.driver import Driver
from tests.locks import waiters
from tests.pipeline import PARTITIONS, message
from tests.service import Client, running_service, upload
from tests.service import message as said
from tests.watch import until
from worker import apply

PASSING = pytest.mark.parametrize("state", ["40P01", "40001", "55P03"])
# A sequence goes on where a transaction is rolled back.
_FAIL = """
create sequence inserts;
create function fail() returns trigger language plpgsql as $$ begin
    if nextval('inserts') <= {times} then raise exception 'not now' using errcode = '{state}'; end if;
    return new;
end $$;
create trigger fail before insert on {table} for each row {when} execute function fail();
"""
_WANT = """
create sequence inserts;
create function want() returns trigger language plpgsql as $$ begin
    perform nextval('inserts');
    perform pg_advisory_xact_lock(7);
    return new;
end $$;
create trigger want before insert on runs for each row execute function want();
"""


async def fail(pool: asyncpg.Pool, table: str, state: str, times: int, when: str = "") -> None:
    """The next so many inserts into a table raise an error of this SQLSTATE."""
    await pool.execute(_FAIL.format(table=table, state=state, times=times, when=when))


async def met(pool: asyncpg.Pool) -> int:
    """How many inserts came, those that failed among them."""
    found: int = await pool.fetchval("select last_value from inserts")
    return found


@PASSING
async def test_a_drain_that_met_a_deadlock_is_taken_again_and_applies_once(driver: Driver, state: str) -> None:
    thread = await driver.create()
    ref = await driver.accept(thread, message())
    await fail(driver.pool, "runs", state, apply.TRIES - 1)
    (drained, *_) = await driver.drain([ids.partition_of(thread, PARTITIONS)])
    assert len(drained.outcomes) == 1
    assert await met(driver.pool) == apply.TRIES
    await applied_once(driver, thread, ref)


@PASSING
async def test_a_drain_that_meets_one_deadlock_too_many_leaves_its_batch_to_the_next_one(
    driver: Driver, state: str
) -> None:
    thread = await driver.create()
    ref = await driver.accept(thread, message())
    await fail(driver.pool, "runs", state, apply.TRIES)
    with pytest.raises(MET):
        await driver.drain()
    row = await driver.batch(ref)
    assert (row["attempts"], row["error"], row["blocked"], row["applied_at"]) == (0, None, False, None)
    assert await driver.runs(thread) == []
    await driver.drain()
    await applied_once(driver, thread, ref)


async def test_a_drain_that_is_ended_by_a_deadlock_with_somebody_else_applies_once(
    driver: Driver, settings: Settings
) -> None:
    """It holds a thread that the other one wants, and wants what the other one holds."""
    thread = await driver.create()
    ref = await driver.accept(thread, message())
    await driver.pool.execute(_WANT)
    other = await connect(settings.database_url, deadlock_timeout="30s")  # Postgres ends whoever finds it first
    async with other.transaction():
        await other.execute("select pg_advisory_xact_lock(7)")
        drain = asyncio.create_task(driver.drain())
        await until(lambda: waiters(driver.pool))
        await other.execute("select from threads where id = $1 for update", thread)
    await drain
    await other.close()
    await driver.drain()  # the other one may have had the thread still
    await until(lambda: deadlocks(driver.pool), 30)  # Postgres counts them some seconds late
    assert await met(driver.pool) == 2
    await applied_once(driver, thread, ref)


async def deadlocks(pool: asyncpg.Pool) -> int:
    found: int = await pool.fetchval("select deadlocks from pg_stat_database where datname = current_database()")
    return found


async def applied_once(driver: Driver, thread: ids.ThreadId, ref: ids.BatchRef) -> None:
    row = await driver.batch(ref)
    assert (row["attempts"], row["error"], row["applied_at"] is None) == (0, None, False)
    assert len(await driver.runs(thread)) == 1
    assert [kind for kind, _ in await driver.log(thread)].count("user.message") == 1


@PASSING
async def test_an_accept_that_met_a_deadlock_is_taken_again_and_stores_once(settings: Settings, state: str) -> None:
    """The flush, and then each row by itself, a few times."""
    async with running_service(settings) as service:
        client = await service.client("acme")
        thread = await client.new_thread()
        await fail(service.pool, "batches", state, flush.TRIES)
        assert (await client.send(thread, said("hello"), Idempotency_Key="one")).status == 200
        assert await met(service.pool) == flush.TRIES + 1
        assert await stored(service.pool, thread) == 1


@PASSING
async def test_an_accept_that_meets_one_deadlock_too_many_is_503_and_stores_nothing(
    settings: Settings, state: str
) -> None:
    async with running_service(settings) as service:
        client = await service.client("acme")
        thread = await client.new_thread()
        await fail(service.pool, "batches", state, flush.TRIES + 1)
        reply = await client.send(thread, said("hello"), Idempotency_Key="one")
        assert (reply.status, reply.json["error"]["code"]) == (503, "service_inactive")
        assert reply.headers["retry-after"] == "1"
        assert await stored(service.pool, thread) == 0
        await accepted_again(client, service.pool, thread)


async def accepted_again(client: Client, pool: asyncpg.Pool, thread: str) -> None:
    """With the same key: once, whoever asks how often."""
    first, second = [await client.send(thread, said("hello"), Idempotency_Key="one") for _ in range(2)]
    assert (first.status, second.status, first.json["events"]) == (200, 200, second.json["events"])
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert await stored(pool, thread) == 1


async def stored(pool: asyncpg.Pool, thread: str) -> int:
    """Batches of a thread with something in them."""
    found: int = await pool.fetchval("select count(*) from batches where thread = $1 and events::text <> '[]'", thread)
    return found


@PASSING
async def test_an_append_that_meets_deadlocks_writes_what_a_run_said_once(settings: Settings, state: str) -> None:
    async with running_stage(settings) as stage:
        await fail(stage.service.pool, "thread_events", state, 3, "when (new.type = 'agent.message.delta')")
        thread, run = await stage.start("word for word")
        await completed_once(stage, thread, run, "word for word")
        assert await met(stage.service.pool) > 3


async def completed_once(stage: Stage, thread: str, run: str, text: str) -> None:
    ended = await stage.until(thread, run, "completed")
    assert ended["finalOutput"] == {"text": text}
    assert await stage.text(run) == text
    row = await stage.service.pool.fetchrow("select attempt, losses from runs where id = $1", run)
    assert (row["attempt"], row["losses"]) == (1, 0)


@PASSING
async def test_an_upload_that_met_a_deadlock_is_taken_again_and_one_that_meets_too_many_is_503(
    settings: Settings, state: str
) -> None:
    async with running_service(settings, worker=False) as service:
        client = await service.client("acme")
        await fail(service.pool, "files", state, 2 * bounded.TRIES - 1)
        refused, stored = [await upload(client) for _ in range(2)]
        assert (refused.status, refused.headers["retry-after"], stored.status) == (503, "1", 201)
        assert await met(service.pool) == 2 * bounded.TRIES
        assert await service.pool.fetchval("select count(*) from files") == 1
        usage = await service.pool.fetchrow("select files, bytes from file_usage")
        assert (usage["files"], usage["bytes"]) == (1, len(b"hello"))
