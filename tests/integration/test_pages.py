"""The operator's lists by the page: everything is on one page exactly once, in the order that is promised."""

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from shared import accounts, agents, ids
from shared.errors import InvalidRequest
from shared.ids import BatchId
from shared.inspect import batches, fleet, named, webhooks
from shared.inspect.page import Page, cursor
from shared.inspect.webhooks import MessageState
from shared.models import TokenKind
from tests.rows import Owner, Row, a_message, add_batch, add_owner, add_thread

Read = Callable[[int, str | None], Awaitable[Page[Any]]]

OUTBOX = """
insert into outbox (partition, id, thread, run, agent, type, body, next_try_at, delivered_at, parked_at)
select n % 64, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), lpad((n % 2)::text, 32, '0')::uuid,
       'run.completed', '{}', t.at, case when n % 3 = 1 then t.at end, case when n % 3 = 2 then t.at end
from generate_series(1, 36) n
cross join lateral (select '2026-01-01'::timestamptz + make_interval(secs => n / 9) as at) t
"""
IN_ORDER = {
    "due": "select * from outbox where parked_at is null and delivered_at is null order by agent, next_try_at, id",
    "dead": "select * from outbox where parked_at is not null order by parked_at, id",
    "delivered": "select * from outbox where delivered_at is not null order by delivered_at desc, id desc",
}
ODD = ids.from_bytes((1).to_bytes(16, "big"))  # one of the two agents with rows


async def whole(read: Read, limit: int = 3) -> list[Any]:
    """All items, read page by page."""
    page = await read(limit, None)
    items = page.items
    while page.after is not None:
        page = await read(limit, page.after)
        assert len(page.items) <= limit
        items = items + page.items
        assert len(items) <= 1_000
    return items


async def fill(pool: asyncpg.Pool, *, blocked: bool = False) -> tuple[list[Owner], list[Row], list[BatchId]]:
    """Twelve batches of two threads of each of three accounts."""
    owners = [await add_owner(pool, name) for name in ("acme", "globex", "initech")]
    threads = [(owner, await add_thread(pool, owner)) for owner in owners for _ in range(2)]
    found = [await add_batch(pool, *threads[number * 5 % 6], blocked=blocked) for number in range(12)]
    return owners, [thread for _, thread in threads], found


@pytest.mark.parametrize("lanes", [200, 0], ids=["by age", "by account"])
async def test_no_list_of_batches_reads_what_a_big_one_holds(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch, lanes: int
) -> None:
    monkeypatch.setattr(batches, "PARTITION_ACCOUNTS", lanes)
    owner = await add_owner(pool)
    thread = await add_thread(pool, owner)
    for blocked in (False, True):
        for text in ("x" * 40_000, "hello"):
            await add_batch(pool, owner, thread, a_message(text), blocked=blocked)
    shown = [
        await batches.waiting_batches(pool, 10),
        await batches.blocked_batches(pool, 10),
        await batches.batches_of_thread(pool, thread.partition, thread.id, 10),
    ]
    for page in shown:
        assert [one.left_out for one in page.items] == [True, False] * (len(page.items) // 2)
        assert [one.events is None for one in page.items] == [one.left_out for one in page.items]
    assert [len(page.items) for page in shown] == [2, 2, 4]
    alone = await batches.find_batch(pool, str(shown[0].items[0].id))
    assert (alone.left_out, len(alone.events[0]["text"])) == (False, 40_000)


async def test_all_waiting_batches_are_paged_the_oldest_first(pool: asyncpg.Pool) -> None:
    owners, threads, expected = await fill(pool)
    shown = await whole(lambda limit, after: batches.waiting_batches(pool, limit, after=after))
    assert [batch.id for batch in shown] == expected
    mine = await whole(lambda limit, after: batches.waiting_batches(pool, limit, None, owners[0].account, after))
    assert [batch.id for batch in mine] == [batch.id for batch in shown if batch.account == owners[0].account]
    place = threads[0].partition
    one = await whole(lambda limit, after: batches.waiting_batches(pool, limit, place, after=after))
    assert [batch.id for batch in one] == [batch.id for batch in shown if batch.partition == place]


async def test_with_too_many_accounts_waiting_batches_are_paged_account_by_account(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, threads, expected = await fill(pool)
    by_age = await batches.waiting_batches(pool, 3)
    monkeypatch.setattr(batches, "PARTITION_ACCOUNTS", 0)
    shown = await whole(lambda limit, after: batches.waiting_batches(pool, limit, after=after))
    keys = [(batch.partition, batch.account, batch.id) for batch in shown]
    assert keys == sorted(keys)
    assert sorted(batch.id for batch in shown) == expected
    anew = await batches.waiting_batches(pool, 3, after=by_age.after)
    assert anew.items[0].id == shown[0].id
    place = threads[0].partition
    one = await whole(lambda limit, after: batches.waiting_batches(pool, limit, place, after=after))
    assert [batch.id for batch in one] == [batch.id for batch in shown if batch.partition == place]


async def test_blocked_batches_are_paged_thread_by_thread(pool: asyncpg.Pool) -> None:
    _, threads, expected = await fill(pool, blocked=True)
    shown = await whole(lambda limit, after: batches.blocked_batches(pool, limit, after=after))
    keys = [(batch.partition, batch.thread, batch.id) for batch in shown]
    assert keys == sorted(keys)
    assert sorted(batch.id for batch in shown) == expected
    place = threads[0].partition
    one = await whole(lambda limit, after: batches.blocked_batches(pool, limit, place, after))
    assert [batch.id for batch in one] == [batch.id for batch in shown if batch.partition == place]


@pytest.mark.parametrize("looked", [2, 10_000])
async def test_a_threads_batches_are_paged_however_many_its_account_has(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch, looked: int
) -> None:
    monkeypatch.setattr(batches, "LOOKED", looked)
    owner = await add_owner(pool)
    thread = await add_thread(pool, owner)
    other = Row(thread.partition, ids.ThreadId(ids.mint()))
    expected = []
    for number in range(12):
        await add_batch(pool, owner, other)
        expected.append(await add_batch(pool, owner, thread, blocked=number % 4 == 0))
    place = (thread.partition, thread.id)
    shown = await whole(lambda limit, after: batches.batches_of_thread(pool, *place, limit, after))
    assert [batch.id for batch in shown] == expected
    assert await batches.batches_of_thread(pool, thread.partition, other.id, 3) == Page([], None)


async def test_accounts_and_agents_are_paged_the_oldest_first(pool: asyncpg.Pool) -> None:
    made = [await accounts.create_account(pool, f"account {n}") for n in range(7)]
    assert await whole(lambda limit, after: accounts.list_accounts(pool, limit, after)) == made
    wanted = [await agents.create_agent(pool, made[n % 2].id, f"agent {n}", "echo") for n in range(7)]
    assert await whole(lambda limit, after: agents.list_agents(pool, limit, None, after)) == wanted
    mine = await whole(lambda limit, after: agents.list_agents(pool, limit, made[0].id, after))
    assert mine == wanted[::2]
    assert [agent.is_default for agent in mine] == [True, False, False, False]


async def test_tokens_are_paged_by_account_kind_and_whether_they_were_revoked(pool: asyncpg.Pool) -> None:
    owners = [(await accounts.create_account(pool, name)).id for name in ("acme", "globex")]
    made = []
    for number in range(12):
        kind = list(TokenKind)[number % 4]
        owner = None if kind in {TokenKind.ADMIN, TokenKind.VIEWER} else owners[number % 2]
        token = (await accounts.create_token(pool, owner, kind)).token
        made.append(await accounts.revoke_token(pool, token.id) if number % 3 == 0 else token)
    for account in (None, owners[0]):
        for kind in (None, *TokenKind):
            for revoked in (None, False, True):
                shown = await whole(
                    lambda limit, after, account=account, kind=kind, revoked=revoked: accounts.list_tokens(  # type: ignore[misc]  # bound here, read by `whole` only
                        pool, limit, account, kind=kind, revoked=revoked, after=after
                    )
                )
                assert shown == [
                    token
                    for token in made
                    if account in (None, token.account)
                    and kind in (None, token.kind)
                    and revoked in (None, token.revoked_at is not None)
                ]


async def test_accounts_and_agents_are_found_by_how_their_names_begin(pool: asyncpg.Pool) -> None:
    names = ["Acme", "acme 2", "ACMÉ", "acne", "b_", "b%", "é"]
    made = [await accounts.create_account(pool, name) for name in names]
    shown = await whole(lambda limit, after: named.accounts_named(pool, "", limit, after))
    assert sorted(account.name for account in shown) == sorted(names)
    shown = await whole(lambda limit, after: named.accounts_named(pool, "aCm", limit, after), 1)
    assert [account.name for account in shown] == ["Acme", "acme 2", "ACMÉ"]
    assert [account.name for account in (await named.accounts_named(pool, "b_", 9)).items] == ["b_"]
    for name in names:
        await agents.create_agent(pool, made[0].id, name, "echo")
        await agents.create_agent(pool, made[1].id, name, "echo")
    answering = await whole(lambda limit, after: named.agents_named(pool, made[0].id, "ac", limit, after))
    assert [agent.name for agent in answering] == ["Acme", "acme 2", "ACMÉ", "acne"]
    with pytest.raises(InvalidRequest):
        await named.accounts_named(pool, "a\0", 1)


@pytest.mark.parametrize("agent", [None, ODD])
async def test_messages_to_webhooks_are_paged_in_each_state(pool: asyncpg.Pool, agent: Any) -> None:
    await pool.execute(OUTBOX)
    for state in MessageState:
        expected = [row["id"] for row in await pool.fetch(IN_ORDER[state]) if agent in (None, row["agent"])]
        shown = await whole(
            lambda limit, after, state=state: webhooks.list_messages(pool, limit, state, agent, after)  # type: ignore[misc]  # bound here
        )
        assert [message.id for message in shown] == ["msg_" + id_ for id_ in expected]
        assert len(shown) == (12 if agent is None else 6)


async def test_workers_are_paged_the_latest_started_first(pool: asyncpg.Pool) -> None:
    for number in range(7):
        await pool.execute(
            "insert into workers (id, host, pid, roles, version) values ($1, 'a', $2, 'all', '1')", ids.mint(), number
        )
    shown = await whole(lambda limit, after: fleet.workers(pool, limit, after))
    assert [worker.pid for worker in shown] == [6, 5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    "key",
    [(1 << 63,), (-1,), ("x",), (None, None, -1), (1 << 15, ids.mint(), 1), (1, "x", 1), (None, None, None), (1,)],
)
async def test_a_cursor_that_no_page_gave_is_refused(pool: asyncpg.Pool, key: tuple[Any, ...]) -> None:
    with pytest.raises(InvalidRequest, match="after"):
        await batches.waiting_batches(pool, 1, after=cursor(*key))
    with pytest.raises(InvalidRequest, match="after"):
        await agents.list_agents(pool, 1, after=cursor("0001-01-01T00:00:00+14:00", ids.mint()))
