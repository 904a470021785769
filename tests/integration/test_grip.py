"""A partition that somebody has for long keeps its own batches waiting, and nobody else's."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from functools import partial
from typing import Any

import asyncpg
import pytest

from shared.db.connect import connect
from shared.keys import Keys
from shared.queue import Queue, open_redis
from shared.settings import Settings
from tests.driver import Driver
from tests.lanes import is_applied, place, two_places, waits
from tests.locks import waiters
from tests.pipeline import PARTITIONS, message
from tests.watch import LOOK_EVERY, until
from worker import grip
from worker.aftermath import Aftermath
from worker.lanes import Lanes
from worker.sweep import Sweep
from worker.transaction import BOUNDED

PATIENCE = 1.0  # seconds that a drain waits for a lock here; five in a worker


@pytest.fixture
async def stranger(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """Somebody's session, without bounds."""
    connection = await connect(settings.database_url)
    yield connection
    await connection.close()


async def waited(driver: Driver, drain: Coroutine[Any, Any, object]) -> int:
    """Lets it drain; how many of its transactions stood before a partition."""
    draining, seen = asyncio.create_task(drain), set[str]()
    while not draining.done():
        seen.update(lock["virtualtransaction"] for lock in await waiters(driver.pool))
        await asyncio.sleep(LOOK_EVERY)
    await draining
    return len(seen)


async def test_a_stranger_s_lock_on_one_partition_costs_the_others_one_wait_and_no_second(
    driver: Driver, settings: Settings, stranger: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BOUNDED, "lock_timeout", f"{PATIENCE}s")
    queue = Queue(open_redis(settings.redis_url, 1), Keys(settings.redis_prefix))
    rung, swept = (Lanes(settings, Aftermath(queue), PARTITIONS, via, wait=via == "arq") for via in ("arq", "sweep"))
    sweep = Sweep(settings.database_url, swept, rung)
    held, free = await two_places(driver)
    both = [place(held), place(free)]
    async with stranger.transaction():
        await stranger.execute("select pg_advisory_xact_lock(1, $1)", place(held))
        waiting = [await driver.accept(held, message())]
        for times in (1, 0, 0):
            waiting.append(await driver.accept(held, message()))
            ref = await driver.accept(free, message())
            assert await waited(driver, rung.drain(both)) == times
            assert await is_applied(driver, ref)
            assert not rung.busy
    sweeping = asyncio.create_task(sweep.run())  # what was passed over is the sweep's, as soon as it is free
    for ref in waiting:
        await until(partial(is_applied, driver, ref))
    sweep.stop()
    await sweeping
    await rung.drain(both)
    async with stranger.transaction():  # it was free: it is waited for again
        await stranger.execute("select pg_advisory_xact_lock(1, $1)", place(held))
        last = await driver.accept(held, message())
        draining = asyncio.create_task(rung.drain(both))
        await until(lambda: waits(stranger))
    await draining
    assert await is_applied(driver, last)
    await rung.close()
    await sweep.close()
    await queue.close()


async def test_a_drain_that_waits_for_one_partition_after_the_other_waits_once(
    driver: Driver, settings: Settings, stranger: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grip, "BEGIN_TIMEOUT", PATIENCE)  # for all locks: less than for each
    first, second = sorted(await two_places(driver), key=place)
    refs = [await driver.accept(thread, message()) for thread in (first, second)]
    for thread in (first, second):
        await stranger.execute("select pg_advisory_lock(1, $1)", place(thread))
    draining = asyncio.create_task(waited(driver, driver.drainer.drain([place(first), place(second)])))
    await until(lambda: waits(stranger))
    await stranger.execute("select pg_advisory_unlock(1, $1)", place(first))
    assert await draining == 1
    assert [await is_applied(driver, ref) for ref in refs] == [True, False]
