"""What the tests of the pipeline share: a driver by hand, runs over files."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import structlog
from redis.asyncio import Redis

from shared import webhooks
from shared.db.connect import BY_INDEX, connect
from shared.keys import Keys
from shared.queue import Queue, open_redis
from shared.settings import Settings
from tests.agents import running_stage
from tests.desk import Desk
from tests.driver import Driver, running_driver
from tests.lanes import SMALL
from tests.pipeline import PARTITIONS
from tests.practice import Practice, practising
from tests.receiver import Receiver, receiving
from worker.aftermath import Aftermath
from worker.lanes import Lanes
from worker.webhooks import Webhooks


@pytest.fixture
async def driver(settings: Settings) -> AsyncIterator[Driver]:
    async with running_driver(settings) as driver:
        yield driver


@pytest.fixture
async def by_index(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """As the loops of the workers connect."""
    connection = await connect(settings.database_url, command_timeout=None, **BY_INDEX)
    yield connection
    await connection.close()


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


@pytest.fixture(params=["inline", pytest.param("process", marks=pytest.mark.slow)])
async def desk(settings: Settings, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    async with running_stage(settings) as stage:
        yield Desk(stage, request.param, Path(settings.files))


@pytest.fixture(params=["inline", pytest.param("process", marks=pytest.mark.slow)])
async def tight(settings: Settings, request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    """Files of at most 1,000 bytes."""
    async with running_stage(settings.model_copy(update={"file_limit": 1_000})) as stage:
        yield Desk(stage, request.param, Path(settings.files))


@pytest.fixture(autouse=True, scope="session")
def plain_logs() -> None:
    """Exceptions that a test provokes are logged as plain text: drawing them takes longer than the test."""
    plain = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, plain])


@pytest.fixture
async def lanes(settings: Settings) -> AsyncIterator[Lanes]:
    queue = Queue(open_redis(settings.redis_url, 1), Keys(settings.redis_prefix))
    small = settings.model_copy(update={"drain_limit": SMALL})
    lanes = Lanes(small, Aftermath(queue), PARTITIONS, via="arq", wait=True)
    yield lanes
    await lanes.close()
    await queue.close()


@pytest.fixture
async def other(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """Another worker's connection."""
    connection = await connect(settings.database_url)
    yield connection
    await connection.close()
