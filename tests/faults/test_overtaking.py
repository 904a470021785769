"""Going on one batch at a time, a drain that finds a thread in other hands leaves all of it alone."""

from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from shared import ids
from shared.db.connect import connect
from shared.settings import Settings
from tests.driver import running_driver
from tests.pipeline import message
from worker.apply import Drained, Drainer
from worker.batch import Batch


async def test_a_batch_never_overtakes_one_that_waits_for_a_locked_thread(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has the thread while the first batch is tried, and lets go of it before the second one would be."""
    async with running_driver(settings) as driver:
        thread = await driver.create()
        first, second = await driver.accept(thread, message("first")), await driver.accept(thread, message("second"))
        await driver.pool.execute(
            "insert into drains (owner, partitions, batches)"
            " select $1, array_agg(partition), array_agg(id) from batches where ref = any($2::uuid[])",
            ids.mint(),
            [first, second],
        )
        other = await connect(settings.database_url)
        tried: list[int] = []
        monkeypatch.setattr(Drainer, "_alone", beside_somebody(Drainer._alone, other, tried))
        await driver.drain()
        assert tried == [(await driver.batch(first))["id"]]
        await driver.drain()
        await other.close()
        said = await driver.pool.fetch(
            "select content from thread_events where thread = $1 and type = 'user.message' order by id", thread
        )
    assert [row["content"] for row in said] == ["first", "second"]


def beside_somebody(
    alone: Callable[[Drainer, Batch], Awaitable[Drained]], other: asyncpg.Connection, tried: list[int]
) -> Callable[[Drainer, Batch], Awaitable[Drained]]:
    """`Drainer._alone`; while the first batch is tried, somebody else has its thread."""

    async def tried_alone(drainer: Drainer, batch: Batch) -> Drained:
        tried.append(batch.id)
        if len(tried) > 1:
            return await alone(drainer, batch)
        async with other.transaction():
            await other.execute("select from threads where id = $1 for no key update", batch.thread)
            return await alone(drainer, batch)

    return tried_alone
