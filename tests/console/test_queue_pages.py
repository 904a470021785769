"""The queue's pages and the workers': what they say, what they ask before it is done, what the audit log has of it."""

from urllib.parse import urlencode
from uuid import UUID

import asyncpg
import pytest
from redis.asyncio import Redis

from shared import agents, ids
from shared.db.connect import connect
from shared.keys import Keys
from shared.settings import Settings
from tests.console.browsing import Browsing, Seen
from tests.console.staff import Staff
from tests.rows import Owner, Row, a_message, add_batch, add_owner, add_thread

NAME = "<b>acme</b> & sons"  # text is only ever text


@pytest.fixture
async def pool(staff: Staff) -> asyncpg.Pool:
    return staff.service.pool


@pytest.fixture
async def owner(pool: asyncpg.Pool) -> Owner:
    return await add_owner(pool, NAME)


@pytest.fixture
async def thread(pool: asyncpg.Pool, owner: Owner) -> Row:
    return await add_thread(pool, owner)


def row(seen: Seen, header: str) -> list[str]:
    """The cells of the table row that this header stands in, as words."""
    (found,) = (part for part in seen.text.split("<tr") if header in part.split("</th>")[0] and "<td" in part)
    cells = found.split("</tr>")[0].split("<td")[1:]
    return [" ".join(Seen(200, "", f"<td{cell}", {}, {}).words.split()) for cell in cells]


async def audited(pool: asyncpg.Pool) -> list[tuple[str, str, int, str]]:
    rows = await pool.fetch(
        "select action, target, touched, result from audit where action <> 'console.login' order by id"
    )
    return [tuple(one) for one in rows]


async def test_a_list_of_batches_says_which_is_too_big_for_it(
    pool: asyncpg.Pool, owner: Owner, thread: Row, operator: Browsing
) -> None:
    for blocked in (False, True):
        await add_batch(pool, owner, thread, a_message("x" * 40_000), blocked=blocked)
    for query in ("", "?show=blocked"):
        seen = await operator.open(f"/console/queue/batches{query}")
        assert ("big: see it alone" in seen.words, len(seen.text) < 30_000) == (True, True)


async def test_the_queue_says_what_waits_in_each_partition_and_for_whom(
    pool: asyncpg.Pool, owner: Owner, thread: Row, operator: Browsing, settings: Settings, redis: Redis
) -> None:
    worker, keys = ids.mint(), Keys(settings.redis_prefix)
    batches = [await add_batch(pool, owner, thread, age=120 * n) for n in (2, 1)]
    await add_batch(pool, owner, thread, blocked=True)
    await pool.execute("insert into workers (id, host, pid, roles, version) values ($1, 'h', 77, 'all', '0')", worker)
    await pool.execute("insert into drains values ($1, $2, $3)", worker, [thread.partition], batches)
    await redis.zadd(keys.waiting(thread.partition), {str(batches[0]): 1})
    await redis.set(keys.rung(thread.partition), 1)
    await redis.zadd(keys.queue("apply"), {"apply:1:A": 1, "apply:1:B": 1 << 45})
    drain = await connect(
        settings.database_url, application_name=f"threadmill drain {UUID(bytes=ids.to_bytes(worker))}"
    )
    async with drain.transaction():
        await drain.execute("select pg_advisory_xact_lock(1, $1::int)", thread.partition)
        seen = await operator.open("/console/queue")
    await drain.close()
    cells = row(seen, f">{thread.partition}</a>")
    assert (cells[:3], cells[4:6]) == (["2", "0", "1"], ["1", "rung"])
    assert cells[3].startswith("4 min")
    assert cells[6].startswith("77 on h , 2 batches for ")
    assert row(seen, ">apply") == ["1", "0", "1"]
    assert row(seen, "acme")[0] == "2"
    assert row(seen, "acme")[1].startswith("4 min")
    assert "<b>acme" not in seen.text
    listed = await operator.open(f"/console/queue/batches?partition={thread.partition}")
    assert row(listed, f">{batches[0]}</a>")[0] == "waiting"
    assert row(listed, f">{batches[0]}</a>")[1].startswith("4 min")
    assert row(listed, f">{batches[1]}</a>")[5].startswith("user_message: hello")
    held = await operator.open("/console/queue/batches?show=blocked")
    assert "thread" in row(held, "</a>")[-1]


async def test_all_that_were_refused_are_a_link_away_where_they_are_many(
    owner: Owner, operator: Browsing, settings: Settings, redis: Redis
) -> None:
    limited, way = Keys(settings.redis_prefix).limited, 'href="/console/queue?refused=all#refused"'
    callers = {f"token_rate {owner.account} {ids.mint()}": n for n in range(11)}
    await redis.zadd(limited, dict(list(callers.items())[1:]))
    seen = await operator.open("/console/queue")
    assert (seen.text.count("<td>token rate</td>"), way in seen.text) == (10, False)
    await redis.zadd(limited, callers)
    more = await operator.open("/console/queue")
    assert (more.text.count("<td>token rate</td>"), way in more.text) == (10, True)
    everybody = await operator.open("/console/queue?refused=all")
    assert (everybody.text.count("<td>token rate</td>"), way in everybody.text) == (11, False)


async def test_limits_of_the_settings_are_shown_with_how_much_of_them_is_used(
    owner: Owner, operator: Browsing, settings: Settings, redis: Redis
) -> None:
    await redis.zadd(Keys(settings.redis_prefix).waiting(7), {"1": 1, "2": 2})
    wait = "2 batches wait in Redis, of 5,000,000 that may: above that requests get 503."
    assert wait in (await operator.open("/console/queue")).words
    account = await operator.open(f"/console/queue/accounts/{owner.account}")
    assert row(account, "batches that wait, of all accounts") == ["", "5,000,000", "", "2", "the settings"]
    assert row(account, "requests a second, of a token")[:2] == ["each", "no limit"]
    assert "were looked at" not in account.words


async def test_a_list_of_batches_goes_on_behind_its_last_row(
    pool: asyncpg.Pool, owner: Owner, thread: Row, operator: Browsing
) -> None:
    batches = [await add_batch(pool, owner, thread) for _ in range(51)]
    first = await operator.open("/console/queue/batches")
    assert f">{batches[49]}</a>" in first.text
    assert f">{batches[50]}</a>" not in first.text
    href = next(part for part in first.text.split('href="') if "after=" in part).split('"')[0]
    second = await operator.open(href.replace("&amp;", "&"))
    assert f">{batches[50]}</a>" in second.text
    assert (await operator.open("/console/queue/batches?after=nonsense")).status == 400
    for partition in ("x", "64", "999"):
        refused = await operator.open(f"/console/queue/batches?partition={partition}")
        assert (refused.status, "`partition` is a whole number from 0 to 63" in refused.words) == (400, True), partition


async def test_one_batch_is_shown_whole_and_one_that_is_gone_is_said_to_be(
    pool: asyncpg.Pool, owner: Owner, thread: Row, operator: Browsing
) -> None:
    batch = await add_batch(pool, owner, thread, parked=True)
    await pool.execute(
        "insert into idempotency_keys (token, key, route, hash, partition, batch)"
        " values ($1, '<i>k</i>', '', '', $2, $3)",
        *(owner.token, thread.partition, batch),
    )
    seen = await operator.open(f"/console/queue/batches/{batch}")
    for part in (
        "parked",
        "ValueError: boom",
        "&lt;i&gt;k&lt;/i&gt;",
        "user_message",
        "There is none until it is applied",
        f"token {owner.token}",
    ):
        assert part in seen.words, part
    found = await operator.open(f"/console/queue/batches/find?batch={batch}")
    assert f"Batch {batch}" in found.words
    assert (await operator.open("/console/queue/batches/4711")).status == 404


async def test_an_account_without_work_is_reached_by_its_name_and_from_what_is_its_own(
    pool: asyncpg.Pool, owner: Owner, operator: Browsing
) -> None:
    agent = await agents.create_agent(pool, owner.account, "weather", "python", config={"function": "a:b"})
    thread = await add_thread(pool, owner, agent=agent.id)
    letter = await add_batch(pool, owner, thread, parked=True)
    run = ids.mint()
    await pool.execute(
        "insert into runs (partition, thread, id, seq, status, trigger, created_at, updated_at)"
        " values ($1, $2, $3, 1, 'queued', 'user_prompt', now(), now())",
        *(thread.partition, thread.id, run),
    )
    link = f'href="/console/queue/accounts/{owner.account}">&lt;b&gt;acme'
    for path in (
        f"/console/threads/{thread.id}",
        f"/console/runs/{thread.id}/{run}",
        f"/console/dead/{letter}",
        f"/console/agents/{agent.id}",
    ):
        assert link in (await operator.open(path)).text, path
    listed = await operator.open("/console/queue/accounts")
    assert ("No account has anything waiting" in listed.words, "Account (name or id)" in listed.words) == (True, True)
    for wanted in (NAME, str(owner.account)):
        found = await operator.open(f"/console/queue/accounts/find?{urlencode({'account': wanted})}")
        assert (found.status, f'href="/console/queue/accounts/{owner.account}/pause"' in found.text) == (200, True)
    for wanted in ("globex", "", str(ids.mint())):
        missed = await operator.open(f"/console/queue/accounts/find?account={wanted}")
        assert (missed.status, "There is no account" in missed.words) == (404, True), wanted


async def test_a_paused_batch_says_what_paused_it_and_leads_there(
    pool: asyncpg.Pool, owner: Owner, thread: Row, operator: Browsing
) -> None:
    batch = await add_batch(pool, owner, thread)
    account, partition = f"/console/queue/accounts/{owner.account}", f"/console/queue#partition-{thread.partition}"
    pages = f"/console/queue/batches/{batch}", "/console/queue/batches"
    await operator.confirm(f"{account}/pause")
    for path in pages:
        seen = await operator.open(path)
        assert "the account &lt;b&gt;acme&lt;/b&gt; &amp; sons is paused. To the account" in seen.words
        assert (f'href="{account}">To the account' in seen.text, partition in seen.text) == (True, False)
    await operator.confirm(f"/console/queue/partitions/{thread.partition}/pause")
    for path in pages:
        seen = await operator.open(path)
        assert f"the partition {thread.partition} is paused and the account" in seen.words
        assert f'href="{partition}">To the partition' in seen.text
    assert f'<tr id="partition-{thread.partition}">' in (await operator.open("/console/queue")).text
    await operator.confirm(f"{account}/resume")
    await operator.confirm(f"/console/queue/partitions/{thread.partition}/resume")
    assert "is paused" not in (await operator.open(pages[0])).words


async def test_a_pause_says_how_much_waits_and_is_in_the_audit_log(
    pool: asyncpg.Pool, owner: Owner, thread: Row, operator: Browsing, viewer: Browsing
) -> None:
    await add_batch(pool, owner, thread)
    one = f"/console/queue/partitions/{thread.partition}"
    asked = await operator.open(f"{one}/pause")
    assert f"This touches partition {thread.partition} with 1 waiting batch ." in asked.words
    assert "is paused" in (await operator.confirm(f"{one}/pause")).words
    assert "Resume" in row(await operator.open("/console/queue"), f">{thread.partition}</a>")[-1]
    assert "is resumed" in (await operator.confirm(f"{one}/resume")).words
    assert "64 partitions that were not so before" in (await operator.confirm("/console/queue/pause")).words
    assert "whole queue is paused" in (await operator.open("/console/queue")).words
    await operator.confirm("/console/queue/resume")
    account = f"/console/queue/accounts/{owner.account}"
    assert "with 1 waiting batch ." in (await operator.open(f"{account}/pause")).words
    await operator.confirm(f"{account}/pause")
    assert "This account is paused" in (await operator.open(account)).words
    assert "acme" in (await operator.open("/console/queue/accounts?show=paused")).words
    await operator.confirm(f"{account}/resume")
    partition = f"partition {thread.partition}"
    assert await audited(pool) == [
        ("queue.pause", partition, 1, "done"),
        ("queue.resume", partition, 1, "done"),
        ("queue.pause", "all partitions", 64, "done"),
        ("queue.resume", "all partitions", 64, "done"),
        ("account.pause", f"account {owner.account}", 1, "done"),
        ("account.resume", f"account {owner.account}", 1, "done"),
    ]
    for path in (f"{one}/pause", "/console/queue/pause", f"{account}/pause"):
        assert (await viewer.open(path)).status == 403
    assert (await operator.open("/console/queue/partitions/64/pause")).status == 404
    assert (await operator.open(f"/console/queue/accounts/{ids.mint()}/pause")).status == 404


async def test_workers_are_shown_with_what_they_do_and_asked_to_be_quiet_to_leave_and_to_work(
    pool: asyncpg.Pool, operator: Browsing, viewer: Browsing
) -> None:
    fresh, silent = ids.mint(), ids.mint()
    await pool.executemany(
        "insert into workers (id, host, pid, roles, version, memory, skew, executing, seen_at)"
        " values ($1, $2, 7, 'all', $3, 104857600, 2.5, 3, clock_timestamp() - make_interval(secs => $4))",
        [(fresh, "here", "0.1.0", 0.0), (silent, "there", "0.0.9", 90.0)],
    )
    seen = await operator.open("/console/workers")
    cells = row(seen, "7 on here")
    assert (cells[0], cells[5], cells[8], cells[9]) == ("works", "3", "100.0 MiB", "+2.500 s")
    assert row(seen, "7 on there")[0].startswith("silent since ")
    assert "serves" in seen.words
    one = f"/console/workers/{fresh}"
    asked = (await operator.open(f"{one}/quiet")).words
    assert "1 worker with 3 runs and 0 batches in hand" in asked
    assert "It is the last worker that takes work: nothing will be applied" in asked, "the other one is silent"
    another = "insert into workers (id, host, pid, roles, version) values ($1, 'third', 8, $2, '0')"
    await pool.execute(another, ids.mint(), "apply")
    assert "the last worker that takes runs" in (await operator.open(f"{one}/drain")).words
    await pool.execute(another, ids.mint(), "execute")
    assert "the last worker" not in (await operator.open(f"{one}/drain")).words
    assert "takes nothing new" in (await operator.confirm(f"{one}/quiet")).words
    assert "asked to quiet" in row(await operator.open("/console/workers"), "7 on here")[0]
    await operator.confirm(f"{one}/work")
    assert "ends" in (await operator.confirm(f"{one}/drain")).words
    assert [one[0] for one in await audited(pool)] == ["worker.quiet", "worker.work", "worker.drain"]
    gone = await operator.open(f"/console/workers/{silent}/quiet")
    assert (await operator.submit(gone, gone.form())).status == 409
    assert (await operator.open(f"/console/workers/{ids.mint()}/quiet")).status == 404
    assert (await viewer.open(f"{one}/drain")).status == 403
