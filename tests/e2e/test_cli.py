"""`threadmill`, as an operator types it: against a real database and a real Redis."""

from typing import Any
from uuid import UUID

import asyncpg
import pytest
from redis.asyncio import Redis

from shared import accounts, ids
from shared.db.connect import connect
from shared.ids import BatchId
from shared.inspect import auditlog
from shared.inspect.auditlog import Wanted
from shared.keys import Keys
from shared.models import TokenKind
from shared.queue import Queue, Waiting
from shared.settings import Settings
from shared.tokens import Loan
from tests.e2e.command_line import Threadmill
from tests.e2e.terminal import at_terminal
from tests.rows import Owner, add_batch, add_thread
from tests.search import all_keys, all_rows

pytestmark = pytest.mark.timeout(60)

ECHO = '{"function":"worker.runners.demo:echo"}'


async def a_dead_letter(pool: asyncpg.Pool, owner: Owner) -> BatchId:
    return await add_batch(pool, owner, await add_thread(pool, owner, held=True), parked=True)


async def test_an_account_a_token_and_an_agent_are_made_from_nothing(threadmill: Threadmill) -> None:
    account = (await threadmill("account", "create", "acme", "--json")).document
    created = (await threadmill("token", "create", "--kind", "service_token", "--name", "ci", "--json")).document
    made = await threadmill("agent", "create", "echo", "--runner", "python", "--config", ECHO, "--publish", "--json")
    agent = made.document
    assert created["secret"].startswith(created["token"]["prefix"])
    assert (created["token"]["account"], created["token"]["kind"]) == (account["id"], "service_token")
    assert (agent["published"], agent["is_default"], agent["config"]) == (
        True,
        True,
        {"function": "worker.runners.demo:echo"},
    )
    assert (await threadmill("account", "list", "--json")).document == {"accounts": [account], "after": None}
    assert (await threadmill("token", "list", "--json")).document == {"tokens": [created["token"]], "after": None}
    assert (await threadmill("agent", "list", "--json")).document == {"agents": [agent], "after": None}
    assert (await threadmill("agent", "show", "echo", "--json")).document == agent


async def test_a_secret_is_the_only_thing_on_its_line(threadmill: Threadmill, owner: Owner) -> None:
    ended = await threadmill("token", "create", "--account", "acme")
    secret = ended.out.strip().splitlines()[-1]
    assert secret.startswith("mst_")
    assert len(secret) == 47
    assert "only time" in ended.err


async def test_an_agent_is_published_closed_and_made_the_default(threadmill: Threadmill, owner: Owner) -> None:
    for name in ("first", "second"):
        assert (await threadmill("agent", "create", name, "--runner", "python", "--config", ECHO, "--json")).code == 0
    assert (await threadmill("agent", "publish", "second", "--json")).document["published"]
    assert not (await threadmill("agent", "unpublish", "second", "--json")).document["published"]
    assert (await threadmill("agent", "default", "second", "--json")).document["is_default"]
    assert "second" in (await threadmill("agent", "list")).out


async def test_a_token_issued_elsewhere_comes_in_over_standard_input(threadmill: Threadmill, owner: Owner) -> None:
    secret = "grt_pat_" + "s" * 40
    taken = (await threadmill("token", "import", "--json", stdin=secret + "\n")).document
    assert (taken["kind"], taken["prefix"]) == ("human_pat", "grt_pat_ssssss")
    for stdin in (secret, "grt_pat_short", ""):
        refused = await threadmill("token", "import", stdin=stdin)
        assert refused.code != 0
        assert secret not in refused.out + refused.err


async def test_the_queue_says_who_has_a_partition_in_hand(
    threadmill: Threadmill, owner: Owner, pool: asyncpg.Pool, settings: Settings
) -> None:
    worker, thread = ids.mint(), await add_thread(pool, owner)
    batches = [await add_batch(pool, owner, thread) for _ in range(2)]
    drain = await connect(
        settings.database_url, application_name=f"threadmill drain {UUID(bytes=ids.to_bytes(worker))}"
    )

    async def look() -> tuple[Any, str]:
        (found,) = (await threadmill("queue", "status", "--json")).document["postgres"]["partitions"]
        table = (await threadmill("queue", "status")).out.split("in hand of")[1]
        rows = (line.rstrip() for line in table.splitlines())
        return found["holder"], next(row for row in rows if row.split()[:1] == [str(found["partition"])])

    assert (await look())[0] is None
    async with drain.transaction():
        await drain.execute("select pg_advisory_xact_lock(1, $1::int)", thread.partition)
        assert (await look())[1].endswith(" a worker that is gone")
        await pool.execute(
            "insert into workers (id, host, pid, roles, version) values ($1, 'h', 77, 'all', '0')", worker
        )
        await pool.execute("insert into drains values ($1, $2, $3)", worker, [thread.partition], batches)
        holder, line = await look()
        assert (holder["owner"], holder["host"], holder["pid"], holder["batches"]) == (worker, "h", 77, 2)
        assert " 77 on h, 2 batches for " in line
        await drain.execute("set application_name = 'somebody'")
        assert (await look())[1].endswith(" locked")
    await drain.close()


async def test_a_token_is_revoked_only_with_a_yes(threadmill: Threadmill, owner: Owner) -> None:
    asked = await threadmill("token", "revoke", owner.token)
    assert (asked.code, asked.out) == (2, "")
    assert "--yes" in asked.err
    assert (await threadmill("token", "list", "--json")).document["tokens"][0]["revoked_at"] is None
    revoked = (await threadmill("token", "revoke", owner.token.lower(), "--yes", "--json")).document
    assert revoked["revoked_at"] is not None


@pytest.mark.slow
async def test_whoever_revokes_a_token_is_told_how_many_end_with_it(
    threadmill: Threadmill, pool: asyncpg.Pool, owner: Owner, environment: dict[str, str]
) -> None:
    admin = (await accounts.create_token(pool, None, TokenKind.ADMIN)).token
    for life in (None, 600, None):
        loan = Loan(admin.id, b"of a login")
        lent = await accounts.create_token(pool, owner.account, TokenKind.HUMAN_PAT, life=life, loan=loan)
    await accounts.revoke_token(pool, lent.token.id)
    async with at_terminal(environment, "token", "revoke", admin.id) as terminal:
        await terminal.until(f"Revoke the token {admin.id} and 2 that the playground was lent with it?")
        terminal.type("n\n")
        assert await terminal.ended() == 1
    unknown = await threadmill("token", "revoke", ids.mint())
    assert (unknown.code, "There is no token" in unknown.err) == (1, True), "nobody is asked about nothing"


async def test_the_state_of_the_queue_is_one_document(
    threadmill: Threadmill, pool: asyncpg.Pool, redis: Redis, redis_prefix: str, owner: Owner
) -> None:
    thread = await add_thread(pool, owner)
    batch = await add_batch(pool, owner, thread, age=90)
    await Queue(redis, Keys(redis_prefix)).ring([Waiting(thread.partition, batch, 1_000)])
    worker = ids.mint()
    await pool.execute(
        "insert into workers (id, host, pid, roles, version) values ($1, 'a', 1, 'all', '0.1.0')", worker
    )
    document = (await threadmill("queue", "status", "--json")).document
    assert document["postgres"]["waiting"] == {"value": 1, "at_least": False}
    assert 90 <= document["postgres"]["oldest_age"] < 120
    assert [one["partition"] for one in document["postgres"]["partitions"]] == [thread.partition]
    assert [one["id"] for one in document["postgres"]["workers"]] == [worker]
    assert set(document["postgres"]["runs"]) == {
        *("ready", "ready_age", "executing", "executing_age", "lost", "asking", "asking_age")
    }
    assert document["postgres"]["webhooks"]["waiting"] == {"value": 0, "at_least": False}
    assert set(document["redis"]["wake_ups"]) == {"apply", "execute"}
    assert document["redis"]["wake_ups"]["apply"] == {"queued": 1, "in_progress": 0, "deferred": 0}
    assert document["redis"]["waiting"] == {str(thread.partition): 1}
    assert document["errors"] == {}
    table = await threadmill("queue", "status")
    assert table.code == 0
    assert worker in table.out
    for row in ("runs that wait", "runs executing", "permissions", "webhooks", "wake-ups, execute"):
        assert row in table.out


async def test_waiting_batches_are_listed_and_one_is_shown(
    threadmill: Threadmill, pool: asyncpg.Pool, owner: Owner
) -> None:
    thread = await add_thread(pool, owner)
    first, second = [await add_batch(pool, owner, thread) for _ in range(2)]
    listed = (await threadmill("queue", "list", "--json", "--limit", "1")).document["batches"]
    assert [(one["id"], one["state"], one["events"][0]["type"]) for one in listed] == [
        (first, "waiting", "user_message")
    ]
    assert len((await threadmill("queue", "list", "--thread", thread.id, "--json")).document["batches"]) == 2
    shown = (await threadmill("queue", "show", str(second), "--json")).document
    assert (shown["id"], shown["thread"], shown["applied_at"]) == (second, thread.id, None)
    assert shown["next_step"]
    assert "user_message: hello" in (await threadmill("queue", "list")).out
    assert thread.id in (await threadmill("queue", "show", str(second))).out


async def test_a_dead_letter_is_listed_shown_and_replayed(
    threadmill: Threadmill, pool: asyncpg.Pool, owner: Owner
) -> None:
    batch = await a_dead_letter(pool, owner)
    listed = (await threadmill("dead", "list", "--json")).document["dead_letters"]
    assert [(one["id"], one["error"]) for one in listed] == [(batch, "ValueError: boom")]
    assert "boom" in (await threadmill("dead", "show", str(batch))).out
    done = (await threadmill("dead", "replay", str(batch), "--json")).document
    assert (done["done"], done["held"]) == ("replayed", False)
    again = await threadmill("dead", "replay", str(batch))
    assert (again.code, again.out) == (1, "")
    assert "no dead letter" in again.err
    assert (await threadmill("dead", "show", str(batch))).code == 1


@pytest.mark.slow
async def test_a_skip_asks_for_those_that_hold_their_threads(
    pool: asyncpg.Pool, owner: Owner, threadmill: Threadmill, environment: dict[str, str]
) -> None:
    batches = [str(await a_dead_letter(pool, owner)) for _ in range(3)]
    assert (await threadmill("dead", "skip", batches[0], "--yes")).code == 0
    for which, number in ((["--account=acme"], 2), ([batches[0], batches[1]], 1)):
        async with at_terminal(environment, "dead", "skip", *which) as terminal:
            await terminal.until(f"Skip {number} dead letter{'s' if number > 1 else ''}? ")
            terminal.type("n\n")
            await terminal.until("Nothing was done.")
            assert await terminal.ended() == 1


async def test_all_dead_letters_that_match_are_settled_at_once_but_not_unasked(
    pool: asyncpg.Pool, owner: Owner, threadmill: Threadmill
) -> None:
    batches = [str(await a_dead_letter(pool, owner)) for _ in range(3)]
    for wrong in ((), ("--all", batches[0]), ("--all", "--account", "acme")):
        assert (await threadmill("dead", "replay", *wrong, "--yes")).code == 2, wrong
    assert (await threadmill("dead", "replay", "--all")).code == 2, "nobody is there to be asked"
    assert (await threadmill("dead", "skip", batches[0], "--yes")).out.startswith("1 skipped.")
    assert (await threadmill("dead", "replay", batches[0])).code == 2, "it would be applied late"
    done = (await threadmill("dead", "replay", "--account", "acme", "--yes", "--json")).document
    assert done == {"done": "replayed", "reached": 3, "left": 0}
    actions = [(entry.action, entry.touched) for entry in (await auditlog.page(pool, 10, Wanted())).items]
    assert actions == [("dead.replay", 3), ("dead.skip", 1)]


async def test_a_dead_letter_is_discarded_only_with_a_reason_and_a_yes(
    threadmill: Threadmill, pool: asyncpg.Pool, owner: Owner
) -> None:
    batch = str(await a_dead_letter(pool, owner))
    assert (await threadmill("dead", "discard", batch, "--yes")).code == 2
    assert (await threadmill("dead", "discard", batch, "--reason", "broken")).code == 2
    assert (await threadmill("dead", "show", batch, "--json")).document["state"] == "parked"
    done = await threadmill("dead", "discard", batch, "--reason", "broken", "--yes")
    assert "discarded" in done.out
    shown = (await threadmill("dead", "show", batch, "--json")).document
    assert shown["state"] == "discarded"
    assert shown["outcome"]["warnings"][0]["code"] == "batch_discarded"


async def test_threads_and_runs_are_listed_and_shown(threadmill: Threadmill, pool: asyncpg.Pool, owner: Owner) -> None:
    thread, run = await add_thread(pool, owner), ids.mint()
    await pool.execute(
        "insert into runs (partition, thread, id, seq, status, trigger, created_at, updated_at)"
        " values ($1, $2, $3, 1, 'queued', 'user_prompt', now(), now())",
        *(thread.partition, thread.id, run),
    )
    listed = (await threadmill("thread", "list", "--account", "acme", "--json")).document["threads"]
    assert [one["id"] for one in listed] == [thread.id]
    shown = (await threadmill("thread", "show", thread.id, "--json")).document
    assert shown["runs"][0]["run"]["id"] == run
    assert run in (await threadmill("thread", "show", thread.id)).out
    assert [one["id"] for one in (await threadmill("run", "list", "--json")).document["runs"]] == [run]
    found = (await threadmill("run", "show", run, "--thread", thread.id, "--json")).document
    assert (found["thread"], found["status"]) == (thread.id, "queued")
    assert run in (await threadmill("run", "show", run)).out


async def test_the_secret_of_a_token_is_nowhere_but_where_it_was_shown(
    threadmill_process: Threadmill, pool: asyncpg.Pool, redis: Redis, owner: Owner
) -> None:
    created = await threadmill_process("token", "create", "--account", "acme", "--json")
    secret = created.document["secret"]
    imported = "grt_svc_" + "canary0123456789" * 3
    taken = await threadmill_process("token", "import", stdin=imported)
    listed = await threadmill_process("token", "list")
    kept = await all_rows(pool) + await all_keys(redis)
    assert created.document["token"]["prefix"] in kept  # the search sees what it should
    for canary in (secret, imported):
        assert canary not in created.err + taken.out + taken.err + listed.out + listed.err
        assert canary not in kept
        assert canary.encode().hex() not in kept
    assert created.out.count(secret) == 1
