"""What the tests of webhooks share: rows that are due, loops that run, and what came, verified."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from standardwebhooks import Webhook

from shared import agents, ids, webhooks
from shared.ids import AgentId, RunId, ThreadId, Ulid
from shared.models import RunError
from shared.reports import RunFinished
from shared.tasks import end
from tests.driver import Driver
from tests.pipeline import message
from tests.receiver import Receiver
from worker.webhooks import Webhooks


async def deliver(hooks: Webhooks) -> int:
    """One look for due rows, and all that comes of it; returns how many calls it made."""
    began = await hooks.run_once()
    await hooks.finish()
    return began


@asynccontextmanager
async def running(*several: Webhooks) -> AsyncIterator[None]:
    """Their loops, as workers run them."""
    loops = [asyncio.create_task(one.run()) for one in several]
    try:
        yield
    finally:
        await end(loops)


async def told(driver: Driver) -> list[asyncpg.Record]:
    return list(await driver.pool.fetch("select * from outbox order by created_at, id"))


async def make_due(driver: Driver) -> None:
    await driver.pool.execute("update outbox set next_try_at = clock_timestamp() - interval '1 second'")


async def finished(driver: Driver, error: RunError | None = None) -> tuple[ThreadId, RunId]:
    """A thread whose run came to its end."""
    thread, run = await driver.executing(message())
    await driver.report(thread, RunFinished(run, error))
    return thread, run


def verified(receiver: Receiver, secret: str) -> list[dict[str, Any]]:
    """What came, each one verified as a receiver does it."""
    return [Webhook(secret).verify(call.body, call.headers) for call in receiver.calls]


async def another_agent(driver: Driver, url: str) -> AgentId:
    agent = await agents.create_agent(driver.pool, driver.caller.account, "other", "python")
    await webhooks.set_webhook(driver.pool, agent.id, url)
    return agent.id


async def stuff(driver: Driver, agent: AgentId, rows: int) -> None:
    """Rows that are due for longer than any other."""
    made = [(Ulid(ids.mint()), agent, ids.mint()) for _ in range(rows)]
    await driver.pool.executemany(
        "insert into outbox (partition, id, thread, run, agent, type, body, next_try_at)"
        " values (7, $1, $3, $3, $2, 'run.completed', '{}', clock_timestamp() - interval '1 hour')",
        made,
    )
