"""What the tests of the pipeline share: a driver by hand."""

from collections.abc import AsyncIterator

import pytest
import structlog
from redis.asyncio import Redis

from shared import webhooks
from shared.settings import Settings
from tests.driver import Driver, running_driver
from tests.practice import Practice, practising
from tests.receiver import Receiver, receiving
from worker.webhooks import Webhooks


@pytest.fixture
async def driver(settings: Settings) -> AsyncIterator[Driver]:
    async with running_driver(settings) as driver:
        yield driver


@pytest.fixture
async def practice(settings: Settings, redis: Redis) -> AsyncIterator[Practice]:
    async with practising(settings, redis) as practice:
        yield practice


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def secret(driver: Driver, receiver: Receiver) -> str:
    """Of the driver's agent, whose webhook is the receiver."""
    hook = await webhooks.set_webhook(driver.pool, driver.caller.agent, receiver.url)
    assert hook.secret is not None
    return hook.secret


@pytest.fixture
async def hooks(settings: Settings) -> AsyncIterator[Webhooks]:
    hooks = Webhooks(settings.model_copy(update={"private_endpoints": True}))
    yield hooks
    await hooks.finish()
    await hooks.close()


@pytest.fixture(autouse=True, scope="session")
def plain_logs() -> None:
    """Exceptions that a test provokes are logged as plain text: drawing them takes longer than the test."""
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, plain])
