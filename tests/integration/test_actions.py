"""What operators do: done once, told truthfully, and all of it in the audit log."""

import asyncio

import asyncpg
import pytest

from api.submission import Held, Passes
from shared import accounts, agents, audit, ids, webhooks
from shared.audit import Actor, Record, Via
from shared.errors import Conflict, InvalidRequest, NotFound
from shared.events import ThreadDeleted
from shared.ids import AccountId, AgentId, ThreadId, TokenId
from shared.inspect import auditlog
from shared.inspect.actions import agents as publishing
from shared.inspect.actions import queue, threads, tokens, workers
from shared.inspect.actions import webhooks as hooks
from shared.inspect.auditlog import Wanted
from shared.inspect.threads import find_thread
from shared.models import TokenKind
from tests.driver import Driver
from tests.pipeline import message
from tests.rows import PARTITIONS, Owner, add_batch, add_owner, add_thread

ANNA = Actor("anna@host", Via.CLI)


async def logged(pool: asyncpg.Pool) -> Record:
    """The newest entry of the audit log."""
    (newest,) = (await auditlog.page(pool, 1, Wanted())).items
    return newest


async def told(pool: asyncpg.Pool) -> tuple[str, str, int | None, str | None]:
    newest = await logged(pool)
    assert (newest.actor, newest.via) == (ANNA.name, ANNA.via)
    return newest.action, newest.target, newest.touched, newest.result


async def paused(pool: asyncpg.Pool) -> set[int]:
    return {row["id"] for row in await pool.fetch("select id from partitions where paused")}


async def test_partitions_are_paused_and_resumed_alone_together_and_all(pool: asyncpg.Pool) -> None:
    assert await queue.pause_partitions(pool, ANNA, [7]) == 1
    assert await told(pool) == ("queue.pause", "partition 7", 1, "done")
    assert await queue.pause_partitions(pool, ANNA, [9, 7, 9]) == 1
    assert await told(pool) == ("queue.pause", "partitions 7, 9", 1, "done")
    assert await queue.pause_partitions(pool, ANNA, None) == PARTITIONS - 2
    assert await queue.resume_partitions(pool, ANNA, [7]) == 1
    assert await paused(pool) == set(range(PARTITIONS)) - {7}
    assert await queue.resume_partitions(pool, ANNA, None) == PARTITIONS - 1
    assert await queue.resume_partitions(pool, ANNA, None) == 0, "nothing was paused, and that is said"
    assert await told(pool) == ("queue.resume", "all partitions", 0, "done")


async def test_a_deed_that_breaks_is_logged_by_the_error_and_not_by_what_it_quotes(pool: asyncpg.Pool) -> None:
    with pytest.raises(KeyError):
        async with audit.entry(pool, ANNA, "dead.replay", "batch 1"):
            raise KeyError("what a user sent")
    assert (await logged(pool)).result == "failed: KeyError"


@pytest.mark.parametrize("partitions", [[64], [-1, 3], [1 << 40]])
async def test_a_partition_that_is_not_there_pauses_none(pool: asyncpg.Pool, partitions: list[int]) -> None:
    with pytest.raises(NotFound):
        await queue.pause_partitions(pool, ANNA, partitions)
    assert await paused(pool) == set()
    assert (await logged(pool)).result == f"failed: There is no partition {partitions[0]}."
    with pytest.raises(InvalidRequest):
        await queue.pause_partitions(pool, ANNA, [])


async def test_an_account_is_paused_once_and_resumed_once(pool: asyncpg.Pool) -> None:
    account = (await add_owner(pool)).account
    assert [await queue.pause_account(pool, ANNA, account) for _ in range(2)] == [1, 0]
    assert (await accounts.find_account(pool, account)).held
    assert (await logged(pool)).account == account
    assert [await queue.resume_account(pool, ANNA, account) for _ in range(2)] == [1, 0]
    with pytest.raises(NotFound):
        await queue.pause_account(pool, ANNA, AccountId(ids.mint()))


async def test_a_thread_held_by_hand_takes_nothing_and_goes_on_when_it_is_released(driver: Driver) -> None:
    pool, thread = driver.pool, await driver.create()
    waits = await driver.accept(thread, message("waits"))
    assert [await threads.hold(pool, ANNA, thread, " asked by legal ") for _ in range(2)] == [1, 0]
    newest = await logged(pool)
    assert (newest.action, newest.reason, newest.account) == ("thread.hold", "asked by legal", driver.caller.account)
    hold = (await find_thread(pool, thread)).hold
    assert hold is not None
    assert (hold.by, hold.reason) == (ANNA.name, "asked by legal")
    await driver.drain()
    assert await pool.fetchval("select blocked from batches where ref = $1", waits)
    assert isinstance(await driver.caller.send(thread, message("refused"), wait=0), Held)
    assert [await threads.release(pool, ANNA, thread) for _ in range(2)] == [1, 0]
    await driver.drain()
    assert (await driver.outcome(waits))["warnings"] == []
    assert (await find_thread(pool, thread)).hold is None


async def test_a_hand_and_a_dead_letter_hold_a_thread_each_by_itself(pool: asyncpg.Pool) -> None:
    owner = await add_owner(pool)
    thread = await add_thread(pool, owner, held=True)
    await add_batch(pool, owner, thread, parked=True)
    with pytest.raises(Conflict, match="dead letter"):
        await threads.release(pool, ANNA, thread.id)
    assert await threads.hold(pool, ANNA, thread.id, "wait for the fix") == 1
    assert await threads.release(pool, ANNA, thread.id) == 1
    found = await find_thread(pool, thread.id)
    assert (found.thread.held, found.hold) == (True, None), "the dead letter holds it still"


async def test_a_thread_that_is_held_by_nothing_any_more_can_be_released(pool: asyncpg.Pool) -> None:
    thread = await add_thread(pool, await add_owner(pool), held=True)
    assert [await threads.release(pool, ANNA, thread.id) for _ in range(2)] == [1, 0]


async def test_a_delete_passes_a_hand_and_takes_it_away(driver: Driver) -> None:
    thread = await driver.create()
    await threads.hold(driver.pool, ANNA, thread, "asked by legal")
    await driver.send(thread, ThreadDeleted(), passes=Passes.ARCHIVED | Passes.HELD)
    found = await find_thread(driver.pool, thread)
    assert (found.thread.held, found.hold, found.thread.deleted_at is not None) == (False, None, True)


async def test_what_is_no_thread_any_more_is_not_held(driver: Driver) -> None:
    thread = await driver.create()
    await driver.pool.execute("update threads set deleted_at = now() where id = $1", thread)
    with pytest.raises(Conflict, match="deleted"):
        await threads.hold(driver.pool, ANNA, thread, "why not")
    with pytest.raises(NotFound):
        await threads.hold(driver.pool, ANNA, ThreadId(ids.mint()), "why not")
    with pytest.raises(InvalidRequest):
        await threads.hold(driver.pool, ANNA, thread, "two\nlines")


async def test_a_token_is_made_with_its_life_and_revoked_and_its_secret_is_not_in_the_log(pool: asyncpg.Pool) -> None:
    account = (await add_owner(pool)).account
    made = await tokens.create(pool, ANNA, account, TokenKind.SERVICE_TOKEN, "billing", 3_600.0)
    assert await told(pool) == ("token.create.service_token", f"token {made.token.id}", 1, "done")
    assert made.token.expires_at is not None
    assert (await tokens.create(pool, ANNA, None, TokenKind.VIEWER, "tv", None)).token.expires_at is None
    with pytest.raises(InvalidRequest):
        await tokens.create(pool, ANNA, account, TokenKind.ADMIN, "", None)
    revoked = await tokens.revoke(pool, ANNA, made.token.id)
    assert revoked.revoked_at is not None
    assert await told(pool) == ("token.revoke", f"token {made.token.id}", 1, "done")
    assert await tokens.revoke(pool, ANNA, made.token.id) == revoked
    assert await told(pool) == ("token.revoke", f"token {made.token.id}", 0, "done")
    with pytest.raises(NotFound):
        await tokens.revoke(pool, ANNA, TokenId(ids.mint()))
    log = "".join(map(str, (await auditlog.page(pool, 100, Wanted())).items))
    assert made.secret.text not in log


async def test_an_agent_is_published_once(pool: asyncpg.Pool) -> None:
    account = (await add_owner(pool)).account
    agent = await agents.create_agent(pool, account, "echo", "echo")
    assert (await publishing.publish(pool, ANNA, agent.id)).published
    assert await told(pool) == ("agent.publish", f"agent {agent.id}", 1, "done")
    await publishing.publish(pool, ANNA, agent.id)
    assert await told(pool) == ("agent.publish", f"agent {agent.id}", 0, "done")
    assert not (await publishing.unpublish(pool, ANNA, agent.id)).published
    with pytest.raises(NotFound):
        await publishing.publish(pool, ANNA, AgentId(ids.mint()))


async def test_dead_messages_are_replayed_page_by_page_and_those_that_fail_again_only_once(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = await add_owner(pool)
    agent = await agents.create_agent(pool, owner.account, "echo", "echo")
    await add_messages(pool, owner, agent.id, 5)
    monkeypatch.setattr(webhooks, "PAGE", 2)
    await pool.execute(  # whatever is told again fails again at once
        "create function park() returns trigger language plpgsql as"
        " 'begin new.parked_at = clock_timestamp(); return new; end';"
        "create trigger park before update on outbox for each row execute function park()"
    )
    assert await hooks.replay_dead(pool, ANNA, agent.id) == 5
    assert await told(pool) == ("webhook.replay", f"dead messages of agent {agent.id}", 5, "done")
    with pytest.raises(NotFound):
        await hooks.replay(pool, ANNA, ids.mint())


async def add_messages(pool: asyncpg.Pool, owner: Owner, agent: AgentId, number: int) -> None:
    thread = await add_thread(pool, owner)
    await pool.executemany(
        "insert into outbox (partition, id, agent, thread, run, type, body, next_try_at, parked_at)"
        " values ($1, $2, $3, $4, $2, 'run.completed', '{}', now(), clock_timestamp())",
        [(thread.partition, ids.mint(), agent, thread.id) for _ in range(number)],
    )


async def add_worker(pool: asyncpg.Pool, silent: float = 0.0, doing: str = "work") -> ids.Ulid:
    worker = ids.mint()
    await pool.execute(
        "insert into workers (id, host, pid, roles, version, seen_at, doing)"
        " values ($1, 'h', 1, 'all', '0', clock_timestamp() - make_interval(secs => $2), $3)",
        *(worker, silent, doing),
    )
    return worker


async def test_a_worker_is_asked_once_and_one_that_is_gone_not_at_all(pool: asyncpg.Pool) -> None:
    worker = await add_worker(pool)
    assert [await workers.quiet(pool, ANNA, worker) for _ in range(2)] == [1, 0]
    assert await told(pool) == ("worker.quiet", f"worker {worker}", 0, "done")
    assert await workers.work(pool, ANNA, worker) == 1
    assert await pool.fetchval("select asked from workers") is None
    assert [await workers.drain(pool, ANNA, worker) for _ in range(2)] == [1, 0]
    with pytest.raises(Conflict, match="on its way out"):
        await workers.work(pool, ANNA, worker)
    with pytest.raises(Conflict, match="silent"):
        await workers.quiet(pool, ANNA, await add_worker(pool, silent=20))
    with pytest.raises(NotFound):
        await workers.quiet(pool, ANNA, ids.mint())


async def test_of_operators_who_hold_one_thread_at_once_one_does(pool: asyncpg.Pool) -> None:
    thread = await add_thread(pool, await add_owner(pool))
    done = await asyncio.gather(*(threads.hold(pool, ANNA, thread.id, "once") for _ in range(4)))
    assert sorted(done) == [0, 0, 0, 1]
    assert [record.touched for record in (await auditlog.page(pool, 10, Wanted())).items].count(1) == 1
