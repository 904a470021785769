"""Accounts that are paused (`accounts.held`): their batches wait unmarked, cost nobody anything, and go on in order."""

import asyncio
from functools import partial

import asyncpg
import pytest

from api.submission import Applied, Pending
from shared import ids, inspect
from shared.events import MessageAdded, PermissionDecision, ThreadArchived, ThreadDeleted
from shared.inspect import batches
from shared.inspect.batches import BatchState
from shared.inspect.counts import Count
from shared.inspect.queue import read_stored
from shared.keys import Keys
from shared.queue import Queue, open_redis
from shared.reports import Ask
from shared.settings import Settings
from tests.driver import Driver, codes
from tests.pipeline import PARTITIONS, Caller, message, new_caller, running_crew, running_inbox
from tests.prepared import execute, prepare
from tests.rows import Owner, Row, add_batch, add_owner, add_thread, fill
from tests.watch import until
from worker.aftermath import Aftermath
from worker.lanes import Lanes
from worker.sweep import Sweep

PAUSE, RESUME = "update accounts set held = true where id = $1", "update accounts set held = false where id = $1"
BACKLOG = 20_000


async def neighbours(pool: asyncpg.Pool, count: int, age: float = 60) -> list[tuple[Owner, Row]]:
    """Accounts with a late batch each, all in one partition, in the order of the index."""
    owners = [await add_owner(pool, f"account {n}") for n in range(count)]
    made = []
    for owner in sorted(owners, key=lambda owner: owner.account):
        thread = await add_thread(pool, owner)
        await pool.execute("update threads set partition = 7 where id = $1", thread.id)
        made.append((owner, Row(7, thread.id)))
        await add_batch(pool, owner, made[-1][1], age=age)
    return made


async def test_batches_of_a_paused_account_wait_unmarked_and_go_on_in_order(driver: Driver) -> None:
    thread = await driver.create()
    refs = [await driver.accept(thread, message(str(n))) for n in range(3)]
    await driver.pool.execute(PAUSE, driver.caller.account)
    drains = await driver.drain()
    assert [(d.outcomes, d.blocked, d.more) for d in drains] == [((), (), False)]
    refs += [await driver.accept(thread, event) for event in (message("3"), ThreadArchived(), ThreadDeleted())]
    await driver.drain()
    assert not any([(await driver.batch(ref))["blocked"] or (await driver.batch(ref))["applied_at"] for ref in refs])
    await driver.pool.execute(RESUME, driver.caller.account)
    (drained,) = await driver.drain()
    assert [outcome.ref for outcome in drained.outcomes] == refs


@pytest.mark.slow
async def test_a_decision_that_waits_with_its_account_keeps_its_request_open(
    driver: Driver, settings: Settings
) -> None:
    asked = Ask(ids.RequestId(ids.mint()), "May I?", expires_in=60)
    thread, _, (request,) = await driver.asking(asked)
    ref = await driver.accept(thread, PermissionDecision(request, allow=True))
    await driver.pool.execute(PAUSE, driver.caller.account)
    await driver.pool.execute("update permission_requests set expires_at = clock_timestamp() - interval '2 s'")
    await driver.pool.execute("update batches set accepted_at = clock_timestamp() - interval '3 s' where ref = $1", ref)
    sweep = _sweep(settings)
    assert await sweep.expire_once() == 0
    await _close(sweep)
    await driver.pool.execute(RESUME, driver.caller.account)
    await driver.drain()
    assert codes(await driver.outcome(ref)) == []


async def test_an_account_paused_in_the_middle_of_its_load_goes_on_in_order_under_load(settings: Settings) -> None:
    """Two accounts send as fast as they can: one is paused and resumed, twice; the other one sees nothing of it."""
    async with running_inbox(settings) as inbox, running_crew(settings):
        paused, other = await new_caller(inbox, "paused"), await new_caller(inbox, "other")
        (thread, _), (neighbour, _) = await paused.create(), await other.create()
        sent: list[str] = []
        stop = asyncio.Event()
        sender = asyncio.create_task(_send(paused, thread, sent, stop))
        for _ in range(2):
            stands = await _paused_while_others_go_on(paused, other, neighbour)
            await until(partial(inbox.pool.fetchval, _APPLIED, paused.account, stands + 20))
        stop.set()
        await sender
        await until(partial(inbox.pool.fetchval, "select not exists (select from batches where applied_at is null)"))
        order = await inbox.pool.fetch("select id from messages where thread = $1 order by num", thread)
        assert [row["id"] for row in order] == sent


async def _paused_while_others_go_on(paused: Caller, other: Caller, neighbour: ids.ThreadId) -> int:
    """How many batches of the paused account were applied before."""
    pool = paused.inbox.pool
    await until(partial(pool.fetchval, _APPLIED, paused.account, 20))
    await pool.execute(PAUSE, paused.account)
    await _barrier(pool)
    stands: int = await pool.fetchval(_COUNT, paused.account)
    for n in range(5):
        assert isinstance(await other.send(neighbour, message(str(n))), Applied)
    assert await pool.fetchval(_COUNT, paused.account) == stands
    await pool.execute(RESUME, paused.account)
    return stands


_COUNT = "select count(*) from batches where account = $1 and applied_at is not null"
_APPLIED = "select count(*) >= $2 from batches where account = $1 and applied_at is not null"


async def _send(caller: Caller, thread: ids.ThreadId, sent: list[str], stop: asyncio.Event) -> None:
    while not stop.is_set():
        event = MessageAdded(ids.MessageId(ids.mint()), "user", [{"type": "text", "text": "hello"}])
        assert isinstance(await caller.send(thread, event, wait=0), Pending)
        sent.append(event.message)


async def _barrier(pool: asyncpg.Pool) -> None:
    """Behind it, no drain is under way that had begun before."""
    await pool.execute("select pg_advisory_xact_lock(1, p) from generate_series(0, $1::int - 1) p", PARTITIONS)


async def test_paused_accounts_keep_no_other_one_from_its_turn_and_no_drain_asks_for_more(driver: Driver) -> None:
    made = await neighbours(driver.pool, 140)
    for n, (owner, _) in enumerate(made):
        if n % 7:  # rounds of 64 accounts would begin and end among them
            await driver.pool.execute(PAUSE, owner.account)
    drains = await driver.drain([7])
    assert sum(len(drained.outcomes) for drained in drains) == 20
    assert len(drains) == 1
    await driver.pool.execute("update accounts set held = false")
    assert sum(len(drained.outcomes) for drained in await driver.drain([7])) == 120


async def test_a_paused_backlog_is_late_for_nobody_and_is_not_read(
    pool: asyncpg.Pool, by_index: asyncpg.Connection
) -> None:
    made = await neighbours(pool, 5)
    for owner, thread in made[1::2]:
        await fill(pool, owner, thread, BACKLOG)
        await pool.execute(PAUSE, owner.account)
    for noun in ("sweep", "drain"):
        await prepare(by_index, noun)
    late = await execute(by_index, "sweep", "late", 0.5, [], None)
    assert late.rows == 1
    known = await execute(by_index, "sweep", "late", 0.5, [7], None)
    assert known.rows == sum(scan.read + scan.removed for scan in known.scans if scan.table == "batches") == 0
    await pool.execute(
        "update batches set applied_at = now(), outcome = '' where account <> all($1::uuid[])",
        [owner.account for owner, _ in made[1::2]],
    )
    for plan in (
        await execute(by_index, "sweep", "late", 0.5, [], None),
        await execute(by_index, "drain", "read", [7], 100, "0" * 26, 64, ids.mint(), [], False, False, 16, 4, 4 << 20),
    ):
        assert plan.rows == 0
        assert sum(scan.read + scan.removed for scan in plan.scans if scan.table == "batches") <= 4
        assert {scan.index for scan in plan.scans if scan.table == "batches"} <= {"batches_waiting", "batches_retrying"}


async def test_the_sweep_finds_what_is_late_between_paused_accounts(driver: Driver, settings: Settings) -> None:
    made = await neighbours(driver.pool, 3)
    sweep = _sweep(settings)
    for owner, _ in (made[0], made[2]):
        await driver.pool.execute(PAUSE, owner.account)
    assert await sweep.run_once() == 1
    assert await sweep.run_once() == 0
    await driver.pool.execute("update accounts set held = false")
    assert await sweep.run_once() == 2
    await _close(sweep)


async def test_what_a_paused_account_has_waiting_is_shown_apart(pool: asyncpg.Pool) -> None:
    (owner, _), (other, theirs) = await neighbours(pool, 2, age=6_000)
    await pool.execute("update batches set accepted_at = now() - interval '1 min' where account = $1", other.account)
    await pool.execute(PAUSE, owner.account)
    stored = await read_stored(pool)
    assert (stored.waiting, stored.held, stored.blocked) == (Count(1), Count(1), Count(0))
    assert 60 <= (stored.oldest_age or 0) < 120
    assert (stored.held_age or 0) >= 6_000
    name = await pool.fetchval("select name from accounts where id = $1", owner.account)
    (held, waiting) = sorted((await batches.waiting_batches(pool, 10)).items, key=lambda batch: batch.id)
    if held.account != owner.account:
        held, waiting = waiting, held
    assert (held.state, held.reason) == (BatchState.PAUSED, f"the account {name} is paused")
    assert (waiting.state, waiting.reason) == (BatchState.WAITING, None)
    await pool.execute("update partitions set paused = true where id = 7")
    both = await batches.find_batch(pool, str(held.id))
    assert both.reason == f"the partition 7 is paused and the account {name} is paused"
    assert (await batches.batches_of_thread(pool, 7, theirs.id, 1)).items[0].reason == "the partition 7 is paused"


@pytest.mark.slow
async def test_a_paused_backlog_is_counted_up_to_a_bound(pool: asyncpg.Pool) -> None:
    ((owner, thread),) = await neighbours(pool, 1)
    await fill(pool, owner, thread, BACKLOG)
    await pool.execute(PAUSE, owner.account)
    async with pool.acquire() as connection:
        await inspect.bound(connection)
        assert str((await read_stored(connection)).held) == "1,000+"
        await prepare(connection, "inspect")
        for name in ("depths", "oldest"):
            plan = await execute(connection, "inspect", name, 1_001)
            assert sum(scan.read + scan.removed for scan in plan.scans if scan.table == "batches") <= 2_000


def _sweep(settings: Settings) -> Sweep:
    queue = Queue(open_redis(settings.redis_url, 1), Keys(settings.redis_prefix))
    return Sweep(settings.database_url, Lanes(settings, Aftermath(queue), PARTITIONS, via="sweep", wait=False))


async def _close(sweep: Sweep) -> None:
    await sweep.close()
    await sweep.lanes.aftermath.queue.close()
