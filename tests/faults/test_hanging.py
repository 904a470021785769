"""Row 8 of the list of faults in its quiet form: a Postgres that hangs and closes no connection, connections that died
and told nobody. Whoever asks is answered within bounds, and all goes on by itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil
import pytest

from tests.faults.processes import Stack
from tests.faults.scene import ASYNC, Scene, scene
from tests.faults.waiting import until
from tests.proxy import wire_to

TOLD = 7.5  # seconds until a client is answered: 5 for the statement, 2 for a new connection, and some slack
BACK = 20.0  # seconds in which a process serves again
GIVEN_UP = 30.0  # seconds until all has new connections: 10 for the client's batch, 15 for a drain that it rang for


@asynccontextmanager
async def standing_still(stack: Stack) -> AsyncIterator[None]:
    """Every process of Postgres is stopped; its sockets stay open, and the kernel takes new connections to them."""
    server = psutil.Process(stack.servers.postgres.process.pid)
    server.suspend()  # first: it starts no other one then
    processes = [server, *server.children()]
    try:
        for process in processes[1:]:
            process.suspend()
        yield
    finally:
        for process in processes:
            process.resume()


async def test_while_postgres_stands_still_clients_are_told_to_come_again_and_then_all_goes_on(stack: Stack) -> None:
    api, worker = stack.api(token_cache="1"), stack.worker()
    async with scene(stack) as s:
        for _ in range(5):
            assert (await s.sender().send(s.request(), prefer=ASYNC)).status == 200
        async with standing_still(stack):
            for count in (5, 1):  # who meets it first, and who comes when it is known
                replies = await asyncio.gather(*(s.sender().send(s.request()) for _ in range(count)))
                assert [(reply.status, reply.retry_after) for reply in replies] == [(503, "1")] * count
                assert max(reply.ended - reply.sent for reply in replies) < TOLD
            async with stack.session.get(f"{api.url}/healthz") as response:
                assert response.status == 200
            assert await stack.readiness(api) is None
        for request in (*s.history, s.request()):
            await s.sender().settle(request)
            assert request.acknowledged
        await stack.ready(api, worker, within=BACK)
        assert (api.process.poll(), worker.process.poll()) == (None, None)
        assert await s.violations() == []


@pytest.mark.long
async def test_connections_that_died_and_told_nobody_are_given_up_by_api_and_worker(stack: Stack) -> None:
    """As after a failover, or behind a firewall that forgot them: new ones work."""
    direct = stack.database_url
    async with wire_to(direct) as wire:
        stack.database_url = wire.url
        api, worker = stack.api(), stack.worker()
        stack.database_url = direct
        async with scene(stack) as s:
            assert await s.bell_works()
            await until("the drains are over", lambda: _nothing_in_hand(s))
            wire.fall_silent()
            async with asyncio.timeout(GIVEN_UP):
                requests = [s.request() for _ in range(5)]
                await asyncio.gather(*(s.sender().settle(request) for request in requests))
                assert all(request.acknowledged for request in requests)
                await s.settled(*requests)
                await stack.ready(api, worker)
                await until("the bell works", s.bell_works)
            assert (api.process.poll(), worker.process.poll()) == (None, None)
            assert await s.violations() == []


async def _nothing_in_hand(s: Scene) -> bool:
    busy: int = await s.db.fetchval(
        "select count(*) from pg_stat_activity where datname = current_database()"
        " and application_name like 'threadmill drain%' and state <> 'idle'"
    )
    return not busy
