"""What apis and workers say of themselves in Postgres, while they live and when they go."""

import asyncio
import math
import os
import time
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from prometheus_client import REGISTRY

from api.heartbeat import Heartbeat
from shared import __version__, ids, vitals
from shared.db.connect import BY_INDEX, connect
from shared.db.statements import statements
from shared.metrics import WORKERS
from shared.settings import Settings
from shared.tasks import end
from shared.vitals import LIVES, LONGEST_AGE_REST, Clock, OldestAge
from tests.prepared import execute, prepare
from tests.proxy import wire_to
from tests.rows import add_batch, add_owner, add_thread, fill
from tests.service import message, running_service
from tests.watch import until
from worker.crew import Crew

SWEEP = statements("sweep")


async def test_api_and_worker_tell_what_they_are_and_leave_nothing_but_samples(
    settings: Settings, pool: asyncpg.Pool
) -> None:
    async with running_service(settings) as service:
        client = await service.client("acme")
        await client.send(await client.new_thread(), message())
        api = await until(lambda: pool.fetchrow("select * from apis"))
        assert (api["pid"], api["version"], api["streams"]) == (os.getpid(), __version__, 0)
        assert service.url.endswith(f":{api['port']}")
        worker = await until(lambda: pool.fetchrow("select * from workers"))
        for told in (api, worker):
            assert 10 << 20 < told["memory"] < 4 << 30
            assert abs(told["skew"]) < 0.5  # one machine, one clock
    assert await pool.fetchval("select (select count(*) from apis) + (select count(*) from workers)") == 0
    counted = await pool.fetchrow("select sum(accepted) as accepted, sum(applied) as applied from samples")
    assert dict(counted) == {"accepted": 2, "applied": 2}


async def test_the_oldest_age_is_measured_over_accounts_and_reads_no_backlog(
    settings: Settings, pool: asyncpg.Pool
) -> None:
    first, second = await add_owner(pool, "first"), await add_owner(pool, "second")
    await fill(pool, first, await add_thread(pool, first), 5_000)
    await add_batch(pool, second, await add_thread(pool, second), age=300)
    heartbeat = Heartbeat(settings, ids.mint(), lambda: 0)
    await heartbeat.beat_once()
    await heartbeat.close()
    assert REGISTRY.get_sample_value("threadmill_oldest_batch_seconds") == pytest.approx(300, abs=30)
    connection = await connect(settings.database_url, command_timeout=None, **BY_INDEX)
    await prepare(connection, "heartbeats")
    found = await execute(connection, "heartbeats", "oldest_age", vitals.ACCOUNTS)
    await connection.close()
    assert found.looked_at < 64 + 10
    assert {scan.index for scan in found.scans if scan.table == "batches"} == {"batches_waiting"}


async def test_a_look_at_the_oldest_age_that_took_long_is_not_made_again_at_once(pool: asyncpg.Pool) -> None:
    owner = await add_owner(pool, "first")
    thread = await add_thread(pool, owner)
    oldest = OldestAge()

    async def told(age: float) -> float:
        await add_batch(pool, owner, thread, age=age)
        await pool.execute("update batches set id = -id where id > 0")  # the last one made is the first
        async with pool.acquire() as connection:
            await oldest.ask(connection)
        return REGISTRY.get_sample_value("threadmill_oldest_batch_seconds") or 0.0

    assert await told(100) == pytest.approx(100, abs=30)
    assert oldest.sparing.rest <= LONGEST_AGE_REST
    oldest.sparing._until = time.monotonic() + 60
    assert await told(1_000) == pytest.approx(100, abs=30)
    oldest.sparing.forget()
    assert await told(2_000) == pytest.approx(2_000, abs=30)


async def test_workers_on_batches_learn_their_places_among_each_other(pool: asyncpg.Pool) -> None:
    """Who executes only has no place, and takes none from the others."""
    told = {}
    for _ in range(2):  # at first nobody had heard of those behind
        for worker, roles in ((1, "all"), (2, "execute"), (3, "apply")):
            row = await pool.fetchrow(
                SWEEP["beat"],
                ids.from_bytes(worker.to_bytes(16, "big")),
                "host",
                1,
                roles,
                "1",
                0,
                0,
                10,
                0,
                0.0,
                "work",
                LIVES,
            )
            told[roles] = row["place"], row["at_work"], row["alive"]
    assert (told["all"], told["apply"]) == ((0, 2, 3), (1, 2, 3))


async def test_a_worker_counts_all_that_live_though_some_of_them_are_quiet(settings: Settings) -> None:
    quiet, working = Crew(settings), Crew(settings)
    quiet.duty.hear("quiet")
    try:
        for crew in (quiet, working):
            await crew.beat_once()
        assert REGISTRY.get_sample_value("threadmill_workers") == 2
    finally:
        for crew in (quiet, working):
            await crew.stop(1)


async def test_what_postgres_was_asked_for_is_not_known_while_it_is_away(settings: Settings) -> None:
    async with wire_to(settings.database_url) as wire:
        through = settings.model_copy(update={"database_url": wire.url})
        heartbeat, crew = Heartbeat(through, ids.mint(), lambda: 0), Crew(through)
        heartbeat.listen(1)
        await heartbeat.beat_once()
        await crew.beat_once()
        assert {REGISTRY.get_sample_value(name) for name in MEASURED} == {0, 1}
        wire.cut()
    for loop in (heartbeat.run, crew.beat):  # nobody listens there any more
        WORKERS.set(1)
        task = asyncio.create_task(loop())
        await until(unknown)
        await end([task])
    await heartbeat.close()
    await crew.stop(1)


async def unknown() -> bool:
    return all(math.isnan(REGISTRY.get_sample_value(name) or 0) for name in MEASURED)


MEASURED = (
    *("threadmill_workers", "threadmill_oldest_batch_seconds", "threadmill_ready_runs"),
    "threadmill_ready_runs_oldest_seconds",
)


def test_a_clock_is_measured_from_the_middle_of_a_round_trip_and_never_of_a_long_one() -> None:
    clock = Clock()
    clock.ask()
    clock.learn(datetime.now(UTC) - timedelta(seconds=90))
    assert clock.skew == pytest.approx(90, abs=0.4)
    clock.ask()
    clock._asked_at -= 2  # an answer that took two seconds
    clock.learn(datetime.now(UTC))
    assert clock.skew == pytest.approx(90, abs=0.4)
