"""What operators do on the command line: pause, hold, ask workers, and read who did it."""

from typing import Any

import asyncpg
import pytest

from shared import accounts, audit, ids
from tests.e2e.command_line import Threadmill
from tests.e2e.terminal import at_terminal
from tests.rows import Owner, add_batch, add_owner, add_thread

pytestmark = pytest.mark.timeout(60)


async def test_partitions_and_accounts_are_paused_and_resumed(
    pool: asyncpg.Pool, owner: Owner, threadmill: Threadmill
) -> None:
    for wrong in ((), ("--all", "--partition", "1"), ("--account", "acme", "--all"), ("--partition", "-1")):
        assert (await threadmill("queue", "pause", *wrong)).code == 2, wrong
    asked = await threadmill("queue", "pause", "--all")
    assert (asked.code, "has to be confirmed" in asked.err) == (2, True), "nobody is there to be asked"
    for yes in ((), ("--yes",)):
        assert (await threadmill("queue", "pause", "--partition", "64", *yes)).code == 1, yes
    done = (await threadmill("queue", "pause", "-p", "7", "-p", "9", "--yes", "--json")).document
    assert done == {"done": "paused", "reached": 2}
    assert "2 partitions resumed" in (await threadmill("queue", "resume", "--all")).out
    assert "Nothing was to be resumed" in (await threadmill("queue", "resume", "--all")).out
    assert "The account acme is paused." in (await threadmill("queue", "pause", "--account", "acme", "-y")).out
    assert (await accounts.find_account(pool, owner.account)).held
    assert (await threadmill("queue", "resume", "--account", "nobody")).code == 1


async def test_accounts_whose_batches_wait_are_listed_and_those_that_are_paused(
    pool: asyncpg.Pool, owner: Owner, threadmill: Threadmill
) -> None:
    for thread in (await add_thread(pool, owner), await add_thread(pool, owner)):
        await add_batch(pool, owner, thread, age=90)
    other = await add_owner(pool, "globex")
    await add_batch(pool, other, await add_thread(pool, other))
    await add_owner(pool, "idle")
    await threadmill("queue", "pause", "--account", "idle", "--yes")
    first = (await threadmill("queue", "accounts", "--limit", "1", "--json")).document
    second = (await threadmill("queue", "accounts", "--limit", "1", "--json", "--after", first["after"])).document
    found = [*first["accounts"], *second["accounts"]]
    assert {(one["name"], one["waiting"]["value"], one["age"] >= 90) for one in found} == {
        ("acme", 2, True),
        ("globex", 1, False),
    }
    assert second["after"] is None
    (paused,) = (await threadmill("queue", "accounts", "--paused", "--json")).document["accounts"]
    assert (paused["name"], paused["paused"], paused["waiting"]["value"]) == ("idle", True, 0)
    assert "globex" in (await threadmill("queue", "accounts")).out


@pytest.mark.slow
async def test_a_pause_says_how_much_it_touches_and_no_is_an_answer(
    pool: asyncpg.Pool, owner: Owner, environment: dict[str, str]
) -> None:
    await add_batch(pool, owner, await add_thread(pool, owner))
    for which, touches in (("--account=acme", "the account acme with"), ("--all", "all 64 partitions with")):
        async with at_terminal(environment, "queue", "pause", which) as terminal:
            await terminal.until(f"Pause {touches} 1 waiting batch?")
            terminal.type("n\n")
            await terminal.until("Nothing was done.")
            assert await terminal.ended() == 1
    assert not await pool.fetchval("select bool_or(paused) from partitions")


@pytest.mark.slow
async def test_what_dies_while_the_terminal_asks_is_left(
    pool: asyncpg.Pool, owner: Owner, environment: dict[str, str]
) -> None:
    await add_batch(pool, owner, await add_thread(pool, owner), parked=True)
    async with at_terminal(environment, "dead", "discard", "--account=acme", "--reason=broken") as terminal:
        await terminal.until("Discard 1 dead letter?")
        late = await add_batch(pool, owner, await add_thread(pool, owner), parked=True)
        terminal.type("y\n")
        await terminal.until("1 discarded.")
        assert await terminal.ended() == 0
    assert await pool.fetchval("select id from batches where applied_at is null") == late


async def test_a_thread_is_held_with_a_reason_and_released(
    pool: asyncpg.Pool, owner: Owner, threadmill: Threadmill
) -> None:
    thread = await add_thread(pool, owner)
    assert (await threadmill("thread", "hold", thread.id)).code == 2
    done = (await threadmill("thread", "hold", thread.id, "--reason", "asked by legal", "--json")).document
    assert done == {"done": "held", "reached": 1, "held": True}
    assert "nothing was done" in (await threadmill("thread", "hold", thread.id, "-r", "again")).out
    assert "asked by legal" in (await threadmill("thread", "show", thread.id)).out
    assert (await threadmill("thread", "show", thread.id, "--json")).document["hold"]["reason"] == "asked by legal"
    await add_batch(pool, owner, thread, parked=True)
    assert len((await threadmill("dead", "list", "--thread", thread.id, "--json")).document["dead_letters"]) == 1
    assert "A dead letter holds it still" in (await threadmill("thread", "release", thread.id)).out
    refused = await threadmill("thread", "release", thread.id)
    assert (refused.code, "replay, discard or skip it" in refused.err) == (1, True)


async def test_a_worker_is_listed_asked_and_told_of(pool: asyncpg.Pool, threadmill: Threadmill) -> None:
    worker = ids.mint()
    await pool.execute("insert into workers (id, host, pid, roles, version) values ($1, 'h', 7, 'all', '0')", worker)
    assert (await threadmill("worker", "drain", worker)).code == 2, "nobody is there to be asked"
    asked = await threadmill("worker", "quiet", worker, "--json", REDIS_URL="redis://127.0.0.1:1/0")
    assert "It is the last worker that takes work: nothing will be applied" in asked.err
    done = asked.document
    assert done == {"done": "asked to be quiet", "reached": 1}
    (listed,) = (await threadmill("worker", "list", "--json")).document["workers"]
    assert (listed["id"], listed["asked"], listed["doing"]) == (worker, "quiet", "work")
    api = ids.mint()
    await pool.execute("insert into apis (id, host, pid, port, version) values ($1, 'h', 8, 8080, '0')", api)
    (beside,) = (await threadmill("worker", "list", "--json")).document["apis"]
    assert (beside["id"], beside["port"], beside["streams"]) == (api, 8080, 0)
    shown = (await threadmill("worker", "list")).out
    assert ("work, asked to quiet" in shown, api in shown, "serves" in shown) == (True, True, True)
    assert "asked to work." in (await threadmill("worker", "work", worker)).out
    await pool.execute("delete from workers")
    assert (await threadmill("worker", "quiet", worker)).code == 1
    assert (await threadmill("worker", "quiet", "nonsense")).code == 1


async def test_the_audit_log_says_who_did_what_page_by_page(pool: asyncpg.Pool, threadmill: Threadmill) -> None:
    await threadmill("account", "create", "acme")
    config = '{"function":"worker.runners.demo:echo"}'
    await threadmill("agent", "create", "echo", "--runner", "python", "--config", config)
    await threadmill("agent", "publish", "echo")
    created = (await threadmill("token", "create", "--kind", "viewer", "--life", "12h", "--json")).document
    assert created["token"]["expires_at"] is not None
    assert (await threadmill("token", "create", "--kind", "viewer", "--life", "soon")).code == 2
    await threadmill("token", "revoke", created["token"]["id"], "--yes")
    await threadmill("token", "revoke", ids.mint(), "--yes")
    expected = ["account.create", "agent.create", "agent.publish", "token.create.viewer", *["token.revoke"] * 2]
    found: list[dict[str, Any]] = []
    after: list[str] = []
    while not found or after:
        page = (await threadmill("audit", "list", "--limit", "4", "--json", *after)).document
        found += page["entries"]
        after = ["--after", page["after"]] if page["after"] else []
    assert [entry["action"] for entry in reversed(found)] == expected
    assert {entry["actor"] for entry in found} == {audit.command_line().name}
    assert found[0]["result"].startswith("failed: There is no token")
    assert created["secret"] not in str(found)
    only = (await threadmill("audit", "list", "--action", "token.revoke", "--json")).document["entries"]
    assert len(only) == 2
    assert "agent.publish" in (await threadmill("audit", "list")).out
    assert (await threadmill("audit", "list", "--after", "nonsense")).code == 2
    actor = only[0]["actor"]
    await pool.execute(
        "insert into audit (actor, via, action, target) select $1, 'cli', 'many', 'it' from generate_series(1, 2000)",
        actor,
    )
    rare = ("audit", "list", "--actor", actor, "--action", "account.create", "--json")
    looked = (await threadmill(*rare)).document
    assert (looked["entries"], looked["after"] is None) == ([], False), "a page looks at a bounded number of entries"
    (there,) = (await threadmill(*rare, "--after", looked["after"])).document["entries"]
    assert there["action"] == "account.create"
