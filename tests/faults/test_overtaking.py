"""Going on one batch at a time, a drain that finds a thread in other hands leaves all of it alone."""

from collections.abc import Awaitable, Callable

import pytest

from shared import ids
from shared.db.connect import connect
from shared.settings import Settings
from tests.driver import running_driver
from tests.pipeline import message
from worker.apply import Drained, Drainer
from worker.batch import Batch
from worker.transaction import BOUNDED


async def test_a_batch_never_overtakes_one_that_waits_for_a_locked_thread(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody has the thread while the first batch is tried, and lets go of it before the second one would be."""
    monkeypatch.setitem(BOUNDED, "lock_timeout", "200")
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
        held = other.transaction()
        await held.start()
        await other.execute("select from threads where id = $1 for no key update", thread)
        monkeypatch.setattr(Drainer, "_alone", letting_go(Drainer._alone, held.rollback))
        await driver.drain()
        await driver.drain()
        await other.close()
        said = await driver.pool.fetch(
            "select content from thread_events where thread = $1 and type = 'user.message' order by id", thread
        )
    assert [row["content"] for row in said] == ["first", "second"]


def letting_go(
    alone: Callable[[Drainer, Batch], Awaitable[Drained]], let_go: Callable[[], Awaitable[None]]
) -> Callable[[Drainer, Batch], Awaitable[Drained]]:
    """`alone`, with `let_go` right behind its first call, however it ends."""
    calls = 0

    async def wrapped(drainer: Drainer, batch: Batch) -> Drained:
        nonlocal calls
        calls += 1
        try:
            return await alone(drainer, batch)
        finally:
            if calls == 1:
                await let_go()

    return wrapped
