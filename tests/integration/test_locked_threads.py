"""Somebody appends to a thread while its batches are drained: its row is locked for a moment, again and again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from shared import ids
from shared.db.connect import connect
from shared.events import UserInterrupt, dump
from shared.ids import ThreadId
from shared.settings import Settings
from shared.tasks import end
from tests.driver import Driver
from tests.pipeline import PARTITIONS, message
from tests.rows import Owner, Row, add_thread

APPENDS = """
do $$ begin
    for n in 1..100 loop
        perform from threads where id = '{thread}' and partition = {partition} for no key update;
        perform pg_sleep(0.0004);
        commit;
        perform pg_sleep(0.001);
    end loop;
end $$
"""
BETWEEN = 90  # batches of another thread, read between the two


@asynccontextmanager
async def appending(settings: Settings, thread: ThreadId) -> AsyncIterator[None]:
    """The thread's row is locked for 0.4 ms of 1.4, as a runner's appends would do it."""
    text = APPENDS.format(thread=UUID(bytes=ids.to_bytes(thread)), partition=ids.partition_of(thread, PARTITIONS))

    async def append() -> None:
        connection = await connect(settings.database_url)
        try:
            while True:
                await connection.execute(text)
        finally:
            connection.terminate()

    task = asyncio.create_task(append())
    yield
    await end([task])


async def neighbour(driver: Driver, partition: int) -> Row:
    """Another thread of the account in the same partition."""
    owner = Owner(driver.caller.account, driver.caller.token)
    while (row := await add_thread(driver.pool, owner)).partition != partition:
        pass
    return row


@pytest.mark.parametrize(("light", "attempts"), [(True, 0), (False, 1)])
async def test_a_batch_never_overtakes_one_that_was_read_while_its_thread_was_locked(
    driver: Driver, settings: Settings, light: bool, attempts: int
) -> None:
    """Those with little waiting go first, and those that failed go alone: both choose among what was read."""
    thread = await driver.create()
    await driver.drain()
    partition = ids.partition_of(thread, PARTITIONS)
    other = await neighbour(driver, partition)
    async with appending(settings, thread):
        for _ in range(25):
            first = await driver.accept(thread, message("first"))
            await driver.pool.execute("update batches set attempts = $2 where ref = $1", first, attempts)
            await driver.pool.execute(
                "insert into batches (partition, id, ref, thread, account, token, events)"
                " select $1, nextval('batch_ids'), gen_random_uuid(), $2, $3, $4, $5 from generate_series(1, $6::int)",
                *(partition, other.id, driver.caller.account, driver.caller.token, dump([UserInterrupt()]), BETWEEN),
            )
            second = await driver.accept(thread, message("second"))
            for _ in range(4):
                await driver.drainer.drain([partition], light=light)
                applied = [(await driver.batch(ref))["applied_at"] is not None for ref in (first, second)]
                assert applied != [False, True]
            await driver.drain([partition])
