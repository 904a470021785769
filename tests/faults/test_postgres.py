"""Rows 8 and 9 of the list of faults: without a Postgres that works nobody is told that a batch was accepted, nobody
dies of it, and all goes on by itself once it is back."""

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress

import asyncpg
import pytest

from shared.db.connect import connect
from shared.ids import partition_of
from tests.faults.processes import Member, Stack
from tests.faults.scene import ASYNC, Scene, scene
from tests.faults.waiting import until
from tests.pipeline import PARTITIONS
from tests.variants import one_of

BACK = 20.0  # seconds in which a process serves again
LATEST = 2.0  # seconds in which what may be applied is applied


_CUT = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name like 'threadmill%'"


@asynccontextmanager
async def killed(stack: Stack) -> AsyncIterator[None]:
    await stack.servers.stop_postgres(signal.SIGQUIT)
    yield
    await stack.servers.start_postgres()


@asynccontextmanager
async def shut_down(stack: Stack) -> AsyncIterator[None]:
    await stack.servers.stop_postgres(signal.SIGINT)
    yield
    await stack.servers.start_postgres()


@asynccontextmanager
async def read_only(stack: Stack) -> AsyncIterator[None]:
    db = await stack.database()
    await db.execute("set default_transaction_read_only = off")
    await db.execute("alter system set default_transaction_read_only = on")
    await db.execute("select pg_reload_conf()")
    await until("new transactions are read-only", lambda: _is_read_only(stack))
    yield
    await db.execute("alter system reset default_transaction_read_only")
    await db.execute("select pg_reload_conf()")
    await db.close()


async def _is_read_only(stack: Stack) -> bool:
    db = await stack.database()
    try:
        return bool(await db.fetchval("show transaction_read_only") == "on")
    finally:
        await db.close()


@asynccontextmanager
async def full(stack: Stack) -> AsyncIterator[None]:
    """Every connection is taken, and those of the service are cut."""
    async with AsyncExitStack() as taken:
        first = await stack.database()
        taken.push_async_callback(first.close)
        while await _take_one(stack, taken) or await first.fetchval(_CUT):
            pass
        yield


async def _take_one(stack: Stack, taken: AsyncExitStack) -> bool:
    try:
        connection = await asyncpg.connect(stack.database_url, server_settings={"application_name": "faults"})
    except asyncpg.PostgresError:
        return False
    taken.push_async_callback(connection.close)
    return True


Fault = Callable[[Stack], AbstractAsyncContextManager[None]]
FAULTS: tuple[Fault, ...] = (killed, shut_down, read_only, full)


@pytest.mark.parametrize("fault", one_of(*FAULTS), ids=lambda fault: fault.__name__)
async def test_without_postgres_clients_are_told_to_come_again_and_are_served_when_it_is_back(
    stack: Stack, fault: Fault
) -> None:
    api, worker = stack.api(), stack.worker()
    async with scene(stack) as s:
        before, during = s.request(), s.request()
        assert (await s.sender().send(before)).status == 200
        async with fault(stack):
            reply = await s.sender().send(during)
            assert (reply.status, reply.retry_after) == (503, "1")
            async with stack.session.get(f"{api.url}/healthz") as response:
                assert response.status == 200
        await s.reconnect()
        for request in (during, s.request()):
            await s.sender().settle(request)
            assert request.acknowledged
        await stack.ready(api, worker, within=BACK)
        assert (api.process.poll(), worker.process.poll()) == (None, None)
        assert await s.violations() == []


async def test_processes_that_start_without_postgres_serve_when_it_comes(stack: Stack) -> None:
    access = await stack.access()
    await stack.servers.stop_postgres(signal.SIGINT)
    api, worker = stack.api(), stack.worker()
    for member in (api, worker):
        await until(f"{member.name} listens", lambda m=member: _is_alive(stack, m))  # type: ignore[misc]  # the default binds
        assert await stack.readiness(member) is None
    await stack.servers.start_postgres()
    await stack.ready(within=BACK)
    async with scene(stack, access) as s:
        await s.sender().settle(s.request())
        assert (api.process.poll(), worker.process.poll()) == (None, None)
        assert await s.violations() == []


async def _is_alive(stack: Stack, member: Member) -> bool:
    try:
        async with stack.session.get(f"{member.url}/healthz") as response:
            return response.status == 200
    except OSError:
        return False


async def test_a_thread_that_somebody_else_has_locked_holds_nobody_up_and_is_not_held_against_its_batch(
    stack: Stack,
) -> None:
    """Both threads in one partition, so that one drain meets them."""
    api = stack.api()
    stack.worker()
    async with scene(stack) as s:
        other = await connect(stack.database_url)
        locked, free = s.request(), s.request(thread=await _neighbour(s, api))
        async with other.transaction():
            await other.execute("select from threads where id = $1 for update", s.thread)
            for request in (locked, free):
                assert (await s.sender().send(request, prefer=ASYNC)).status == 200
            await s.settled(free, within=LATEST)
            assert not await s.applied(locked)
        await other.close()
        await s.settled(locked, within=LATEST)
        assert await s.db.fetchval("select max(attempts) from batches") == 0
        assert await s.violations() == []


async def _neighbour(s: Scene, api: Member) -> str:
    """Another thread of the same partition."""
    wanted = partition_of(s.thread, PARTITIONS)
    while partition_of(thread := await s.new_thread(api), PARTITIONS) != wanted:
        pass
    return thread


async def test_whoever_locks_threads_in_another_order_than_a_drain_costs_no_attempt(stack: Stack) -> None:
    """One by one, backwards, while a drain wants both: somebody may have to begin again, and nothing is counted."""
    api = stack.api()
    async with scene(stack) as s:
        first, second = sorted([s.thread, await _neighbour(s, api)])
        requests = [s.request(thread=thread) for thread in (first, second)]
        for request in requests:
            await s.sender().send(request, prefer=ASYNC)
        other = await connect(stack.database_url)
        begun = other.transaction()
        await begun.start()
        await other.execute("select from threads where id = $1 for update", second)
        stack.worker()
        await until("a drain has met them", lambda: s.applied(requests[0]))
        with suppress(asyncpg.DeadlockDetectedError):
            await other.execute("select from threads where id = $1 for update", first)
        await begun.rollback()
        await other.close()
        await s.settled(*requests)
        assert await s.db.fetchval("select max(attempts) from batches") == 0
        assert await s.violations() == []
