"""Lanes of a worker by hand: small drains, batches that wait, and what became of them."""

from functools import partial

import asyncpg

from shared import ids
from shared.ids import AccountId, BatchRef, ThreadId
from tests.driver import Driver
from tests.locks import waiters
from tests.pipeline import PARTITIONS
from tests.rows import Owner, Row, a_message
from worker.lanes import Lanes
from worker.pace import SEVERAL_FOR, Pace

SMALL = 4  # batches of a drain: a backlog of few


async def add_batches(pool: asyncpg.Pool, thread: Row, owner: Owner, count: int) -> None:
    """So many batches of one message each wait in the thread."""
    await pool.executemany(
        "insert into batches (partition, id, ref, thread, account, token, events)"
        " values ($1, nextval('batch_ids'), gen_random_uuid(), $2, $3, $4, $5)",
        [(thread.partition, thread.id, owner.account, owner.token, a_message()) for _ in range(count)],
    )


def place(thread: ThreadId) -> int:
    return ids.partition_of(thread, PARTITIONS)


async def two_places(driver: Driver) -> tuple[ThreadId, ThreadId]:
    """Two threads that share no partition."""
    one, two = await driver.create(), await driver.create()
    while place(one) == place(two):
        two = await driver.create()
    await driver.drain()
    return one, two


async def is_applied(driver: Driver, ref: BatchRef) -> bool:
    return (await driver.batch(ref))["applied_at"] is not None


def leave_alone(pace: Pace, account: AccountId) -> None:
    """Nobody else has been met for long enough, and time stands still."""
    began = pace.clock()
    for later in (0.0, SEVERAL_FOR - 1, SEVERAL_FOR):
        pace.clock = partial(float, began + later)
        pace.meet({account})
    assert pace.lone == account


async def waits(other: asyncpg.Connection) -> bool:
    """Whether a drain stands before a partition that somebody has."""
    return bool(await waiters(other))


async def finished(lanes: Lanes) -> None:
    while lanes.busy:
        await lanes.drain(())
