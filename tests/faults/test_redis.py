"""Row 7 of the list of faults: whatever becomes of Redis, batches are accepted, and applied within two seconds."""

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from redis.asyncio import Redis

from tests.faults.processes import Stack
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
SEEN = {killed, stopped, loading}  # by a ping: the others still answer one


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
            assert await stack.readiness(api) == ("degraded" if fault in SEEN else "ready")
        await until("the bell works again", s.bell_works, BACK)
        assert (api.process.poll(), worker.process.poll()) == (None, None)
        assert await s.violations() == []
