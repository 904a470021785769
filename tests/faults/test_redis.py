"""Row 7 of the list of faults: whatever becomes of Redis, batches are accepted, and applied within two seconds."""

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tests.faults.links import Links
from tests.faults.processes import Member, Stack
from tests.faults.scene import ASYNC, scene
from tests.faults.servers import Servers
from tests.faults.waiting import until
from tests.variants import one_of

LATEST = 2.0  # seconds from accepted to applied
BACK = 15.0  # seconds in which the bell must work again


@asynccontextmanager
async def killed(servers: Servers) -> AsyncIterator[None]:
    await servers.kill_redis()
    yield
    await servers.start_redis()


@asynccontextmanager
async def emptied(servers: Servers) -> AsyncIterator[None]:
    await servers.flush_redis()
    yield


@asynccontextmanager
async def full(servers: Servers) -> AsyncIterator[None]:
    async with Redis.from_url(servers.redis.url) as client:
        await client.config_set("maxmemory", 1)
        yield
        await client.config_set("maxmemory", 0)


@asynccontextmanager
async def stopped(servers: Servers) -> AsyncIterator[None]:
    servers.redis.process.send_signal(signal.SIGSTOP)
    yield
    servers.redis.process.send_signal(signal.SIGCONT)


@asynccontextmanager
async def read_only(servers: Servers) -> AsyncIterator[None]:
    async with Redis.from_url(servers.redis.url) as client:
        await client.replicaof("127.0.0.1", "1")
        yield
        await client.replicaof("NO", "ONE")


@asynccontextmanager
async def loading(servers: Servers) -> AsyncIterator[None]:
    await servers.load_redis_slowly()
    yield
    await until("Redis has loaded its file", servers.redis_answers)


FAULTS: tuple[Callable[[Servers], AbstractAsyncContextManager[None]], ...] = (
    killed,
    emptied,
    full,
    stopped,
    read_only,
    loading,
)


@pytest.mark.parametrize("fault", one_of(*FAULTS), ids=lambda fault: fault.__name__)
async def test_whatever_becomes_of_redis_batches_are_accepted_and_applied_in_time(
    stack: Stack, fault: Callable[[Servers], AbstractAsyncContextManager[None]]
) -> None:
    api, worker = stack.api(), stack.worker()
    async with scene(stack) as s:
        async with fault(stack.servers):
            requests = [s.request() for _ in range(6)]
            for request in requests:
                reply = await s.sender().send(request, prefer=ASYNC)
                assert reply.status == 200
            assert max(await s.settled(*requests)) < LATEST
            waited = await s.sender().send(s.request())
            assert waited.outcome is not None, "the api asks Postgres where Redis does not tell it"
            assert await stack.readiness(api) == ("ready" if fault is emptied else "degraded")
        await until("the bell works again", s.bell_works, BACK)
        assert (api.process.poll(), worker.process.poll()) == (None, None)
        assert await s.violations() == []


@pytest.mark.parametrize(("delay", "health"), one_of((0.6, "degraded"), (0.25, "ready")))
async def test_a_redis_that_is_slow_costs_no_batch_its_time(
    stack: Stack, delay: float, health: str, tmp_path: Path
) -> None:
    """The delay is each way, in seconds; an answer that takes a second is none."""
    async with Links(tmp_path / "proxy.log") as links:
        redis = await links.add("redis", stack.redis_url)
        stack.ways = dict.fromkeys(("api-0", "worker-0"), (stack.database_url, redis))
        api, worker = stack.api(), stack.worker()
        async with scene(stack) as s:
            await links.change("redis", delay=delay)
            await until("it is slow", lambda: _says(stack, api, health), BACK)
            requests = [s.request() for _ in range(6)]
            for request in requests:
                assert (await s.sender().send(request, prefer=ASYNC)).status == 200
            assert max(await s.settled(*requests)) < LATEST
            assert [await stack.readiness(member) for member in (api, worker)] == [health] * 2
            await links.heal("redis")
            await until("the bell works again", s.bell_works, BACK)
            assert (api.process.poll(), worker.process.poll()) == (None, None)
            assert await s.violations() == []


async def _says(stack: Stack, api: Member, health: str) -> bool:
    return await stack.readiness(api) == health
