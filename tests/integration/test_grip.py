"""A partition that somebody has for long keeps its own batches waiting, and nobody else's."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import asyncpg
import pytest

from shared.db.connect import connect
from shared.keys import Keys
from shared.queue import Queue, open_redis
from shared.settings import Settings
from tests.driver import Driver
from tests.integration.test_lanes import is_applied, place, two_places, waits
from tests.pipeline import PARTITIONS, message
from tests.watch import until
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


async def test_a_stranger_s_lock_on_one_partition_costs_the_others_one_wait_and_no_second(
    driver: Driver, settings: Settings, stranger: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BOUNDED, "lock_timeout", f"{PATIENCE}s")
    queue = Queue(open_redis(settings.redis_url, 1), Keys(settings.redis_prefix))
    rung, swept = (Lanes(settings, Aftermath(queue), PARTITIONS, via, wait=via == "arq") for via in ("arq", "sweep"))
    sweep = Sweep(settings.database_url, swept, rung)
    held, free = await two_places(driver)
    both, clock = [place(held), place(free)], asyncio.get_running_loop().time
    async with stranger.transaction():
        await stranger.execute("select pg_advisory_xact_lock(1, $1)", place(held))
        waiting = [await driver.accept(held, message())]
        for longest in (2 * PATIENCE, PATIENCE, PATIENCE):
            waiting.append(await driver.accept(held, message()))
            ref, began = await driver.accept(free, message()), clock()
            await rung.drain(both)
            assert await is_applied(driver, ref)
            assert clock() - began < longest
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
