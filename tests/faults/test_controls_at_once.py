"""Builds that are wrong on purpose, each led into the one moment where it goes wrong: the checker needs no luck there.

The fault run finds the same ones by chance, in `test_controls`.
"""

import signal

from shared.crashpoints import CRASHED
from tests.faults.processes import Stack
from tests.faults.scene import ASYNC, Scene, is_stopped, scene
from tests.faults.violations import Kind
from tests.faults.waiting import until


async def found(s: Scene) -> set[str]:
    """The kinds of what the checker finds."""
    return {violation.split()[0] for violation in await s.violations()}


async def test_a_build_without_the_key_index_is_caught_by_one_repeat(stack: Stack) -> None:
    for _ in range(2):  # the second one finds the index gone
        stack.api(testing="no_key_index")
    stack.worker()
    async with scene(stack) as s:
        request = s.request()
        for _ in range(2):
            assert (await s.sender().send(request)).status == 200
        assert Kind.DUPLICATED in await found(s)


async def test_a_build_that_answers_before_it_writes_is_caught_by_one_kill_behind_its_answer(stack: Stack) -> None:
    stack.api()
    broken = stack.api(testing="ack_before_commit,crash:api.before_commit")
    stack.worker()
    async with scene(stack) as s:
        assert (await s.sender(broken).send(s.request(), prefer=ASYNC)).status == 200
        assert await broken.died() == CRASHED
        assert await found(s) == {Kind.LOST}


async def test_a_build_whose_queue_is_redis_alone_is_caught_by_one_flush(stack: Stack) -> None:
    """And before it: the time that it answers with is its own, and Postgres keeps another one, told by each repeat."""
    stack.api(testing="redis_only")
    stack.worker()
    async with scene(stack) as s:
        kept = s.request()
        assert (await s.sender().send(kept, prefer=ASYNC)).status == 200
        await s.settled(kept)
        assert await found(s) == {Kind.UNEQUAL}, "without a fault nothing is lost"
        for request in [s.request() for _ in range(3)]:
            assert (await s.sender().send(request, prefer=ASYNC)).status == 200
        await stack.servers.flush_redis()
        assert await found(s) == {Kind.UNEQUAL, Kind.LOST}


async def test_a_build_that_skips_locked_batches_is_caught_where_the_first_of_two_is_locked(stack: Stack) -> None:
    """The test has the first one's row locked, as a worker that reads it, and has not come to its thread's lock."""
    stack.api()
    worker = stack.worker(testing="skip_locked")
    async with scene(stack) as s:
        worker.signal(signal.SIGSTOP)
        first, second = s.request(), s.request()
        for request in (first, second):
            assert (await s.sender().send(request, prefer=ASYNC)).status == 200
        async with s.db.transaction():
            await s.db.execute("select from batches where id = (select max(id) - 1 from batches) for update")
            worker.signal(signal.SIGCONT)
            await s.settled(second)
            assert not await s.applied(first)
        assert Kind.REORDERED in await found(s)


async def test_a_build_that_reads_in_the_locks_own_statement_is_caught_by_one_wait_for_it(stack: Stack) -> None:
    """The second worker waits for the first one's lock, and reads from before its commit: it interrupts a second run.

    The first one stops before its note, which would warn the second one.
    """
    stack.api()
    right = stack.worker()
    async with scene(stack) as s:
        for request in [s.request() for _ in range(2)]:
            await s.sender().settle(request)
        await right.kill()
        late = stack.worker(testing="stale_read")
        await stack.ready(late)
        late.signal(signal.SIGSTOP)
        first = stack.worker(testing="stale_read,stop:worker.after_read")
        await s.sender().send(s.request({"type": "user_interrupt"}), prefer=ASYNC)
        await until("the first worker has read", lambda: is_stopped(first))
        late.signal(signal.SIGCONT)
        await until(
            "the second worker waits for its lock", lambda: _locks(s, 2), 1.9
        )  # then Postgres ends the first one
        first.signal(signal.SIGCONT)
        await until("both are done", lambda: _locks(s, 0))
        assert Kind.UNASKED in await found(s)


async def _locks(s: Scene, count: int) -> bool:
    """Whether so many partitions' locks are held or waited for."""
    return bool(await s.db.fetchval("select count(*) = $1 from pg_locks where locktype = 'advisory'", count))
