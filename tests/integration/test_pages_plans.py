"""A page of an operator's list costs the same wherever in the list it lies, and however long the list is.

Each statement is run by three plans: the one that a session keeps which was there when the tables were empty, the
general one, and the one for its arguments.
"""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from shared import ids, inspect
from shared.db.connect import connect
from shared.ids import Ulid
from shared.inspect.batches import LAST_PARTITION, LOOKED, PARTITION_ACCOUNTS
from shared.inspect.page import END, EPOCH, FIRST, LAST
from shared.models import TokenKind
from shared.settings import Settings
from tests.prepared import execute, prepare

LIMIT = 51  # what a page of 50 asks for
LANES = 64 * 20  # partitions, accounts with work in each
NOUNS = ("batches", "accounts", "tokens", "agents", "webhooks", "fleet")

BATCHES = """
insert into accounts (id, name) select lpad(to_hex(n), 32, '0')::uuid, 'account ' || n from generate_series(1, 20) n;
insert into threads (partition, id, account, created_by, created_by_kind)
values (1, lpad('1', 32, '0')::uuid, lpad('2', 32, '0')::uuid, gen_random_uuid(), 'human_pat');
insert into batches (partition, id, ref, thread, account, token, events, blocked, applied_at, outcome)
select n % 64, n, gen_random_uuid(), lpad(to_hex(n / 64 % 1000), 32, '0')::uuid,
       lpad(to_hex(1 + n / 64 % 20), 32, '0')::uuid, gen_random_uuid(), '[]', s.state = 2,
       case when s.state = 3 then now() end, case when s.state = 3 then '{}' end
from generate_series(1, 120000) n
cross join lateral (select n / 1280 % 4 as state) s;
"""
OWNERS = """
insert into accounts (id, name) select lpad(to_hex(n), 32, '0')::uuid, 'account ' || n from generate_series(1, 20000) n;
insert into tokens (id, account, kind, digest, prefix, revoked_at)
select lpad(to_hex(n), 32, '0')::uuid, case when n % 1000 > 0 then lpad(to_hex(1 + n % 2), 32, '0')::uuid end,
       case when n % 1000 = 0 then 'viewer' else 'human_pat' end,
       decode(lpad(to_hex(n), 64, '0'), 'hex'), 'mst_', case when n % 100 > 0 then now() end
from generate_series(1, 60000) n;
insert into tokens (id, account, kind, digest, prefix, lent_by, lent_to)
select lpad(to_hex(n), 32, '0')::uuid, lpad('2', 32, '0')::uuid, 'human_pat', decode(lpad(to_hex(n), 64, '0'), 'hex'),
       'mst_', lpad(to_hex(1000 * (1 + n % 60)), 32, '0')::uuid, ''
from generate_series(60001, 63000) n;
insert into agents (id, account, name, runner, created_at)
select lpad(to_hex(n), 32, '0')::uuid, lpad(to_hex(1 + n % 2), 32, '0')::uuid, 'agent ' || n, 'echo',
       '2026-01-01'::timestamptz + make_interval(secs => n / 100)
from generate_series(1, 20000) n;
insert into outbox (partition, id, thread, run, agent, type, body, next_try_at, delivered_at, parked_at)
select n % 64, lpad(to_hex(n), 32, '0')::uuid, gen_random_uuid(), gen_random_uuid(),
       lpad(to_hex(1 + n % 100), 32, '0')::uuid, 'run.completed', '{}', t.at, case when n % 3 = 1 then t.at end,
       case when n % 3 = 2 then t.at end
from generate_series(1, 30000) n
cross join lateral (select '2026-01-01'::timestamptz + make_interval(secs => n / 100) as at) t;
insert into workers (id, host, pid, roles, version)
select lpad(to_hex(n), 32, '0')::uuid, 'a', n, 'all', '1' from generate_series(1, 2000) n;
"""


@pytest.fixture
async def early(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """A session that has planned everything on empty tables."""
    connection = await session(settings, "force_generic_plan")
    yield connection
    await connection.close()


async def session(settings: Settings, mode: str) -> asyncpg.Connection:
    connection = await connect(settings.database_url, command_timeout=None, plan_cache_mode=mode)
    await inspect.bound(connection)
    for noun in NOUNS:
        await prepare(connection, noun)
    return connection


async def assert_read(connection: asyncpg.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Each of the statements looks at no more rows of its table than it may, gives as many as it must, by indexes."""
    for noun, name, table, most, given, *arguments in rows:
        done = await execute(connection, noun, name, *arguments)
        scans = [scan for scan in done.scans if scan.table == table]
        assert all(scan.index or scan.kind == "Bitmap Heap Scan" for scan in scans), (name, done)
        assert (done.rows, sum(scan.read + scan.removed for scan in scans) <= most) == (given, True), (name, done)
        assert done.buffers <= 5 * most + 600, (name, done)  # what an index passes over is counted nowhere else


async def in_three_modes(
    pool: asyncpg.Pool, settings: Settings, early: asyncpg.Connection, rows: Sequence[tuple[Any, ...]]
) -> None:
    await assert_read(early, rows)
    await pool.execute("analyze")
    for mode in ("force_generic_plan", "force_custom_plan"):
        connection = await session(settings, mode)
        await assert_read(connection, rows)
        await connection.close()


def lanes(accounts: Sequence[int]) -> tuple[list[int], list[Ulid]]:
    pairs = [(partition, number_id(account)) for partition in range(64) for account in accounts]
    return [partition for partition, _ in pairs], [account for _, account in pairs]


def number_id(number: int) -> Ulid:
    return ids.from_bytes(number.to_bytes(16, "big"))


@pytest.mark.slow
async def test_a_page_of_batches_costs_the_same_wherever_it_lies(
    pool: asyncpg.Pool, settings: Settings, early: asyncpg.Connection
) -> None:
    await pool.execute(BATCHES)
    mine, all_of_them = lanes([2]), lanes(range(1, 21))
    assert len(all_of_them[0]) == LANES
    rows: list[tuple[Any, ...]] = [
        ("batches", "lanes", "batches", 2 * LANES, LANES, None, PARTITION_ACCOUNTS + 1),
    ]
    for beyond in (0, 50_000, 100_000):
        rows += [
            ("batches", "oldest", "batches", LANES + LIMIT * LIMIT, LIMIT, *all_of_them, beyond, LIMIT, 0),
            ("batches", "oldest", "batches", 64 + LIMIT * LIMIT, LIMIT, *mine, beyond, LIMIT, 0),
            ("batches", "of_thread", "batches", LOOKED + 4 * LIMIT, 1, 1, FIRST, beyond, LIMIT, LOOKED, 0),
        ]
    for partition in (0, 20, 60):
        rows += [
            ("batches", "by_account", "batches", LIMIT, LIMIT, partition, FIRST, 0, LAST_PARTITION, LIMIT, 0),
            ("batches", "blocked", "batches", LIMIT, LIMIT, partition, FIRST, 0, LAST_PARTITION, LIMIT, 0),
        ]
    await in_three_modes(pool, settings, early, rows)


@pytest.mark.slow
@pytest.mark.long
async def test_a_page_of_owners_messages_and_workers_costs_the_same_wherever_it_lies(
    pool: asyncpg.Pool, settings: Settings, early: asyncpg.Connection
) -> None:
    await pool.execute(OWNERS)
    kinds, both, mine, his = [str(kind) for kind in TokenKind], [False, True], number_id(1), number_id(2)
    rows: list[tuple[Any, ...]] = []
    for number in (0, 5_000, 10_000):
        beyond, at = number_id(number), datetime(2026, 1, 1, tzinfo=UTC) if number else EPOCH
        rows += [
            ("accounts", "list", "accounts", LIMIT, LIMIT, beyond, LIMIT),
            (
                "accounts",
                "named",
                "accounts",
                LIMIT,
                LIMIT,
                "Account 1",
                "Account 1~",
                f"Account 1{number}",
                beyond,
                LIMIT,
            ),
            ("tokens", "list", "tokens", 8 * LIMIT, LIMIT, kinds, both, beyond, LIMIT),
            ("tokens", "list", "tokens", LIMIT, LIMIT, ["human_pat"], [False], beyond, LIMIT),
            ("tokens", "list", "tokens", LIMIT, 50, ["viewer"], [False], number_id(10_000), LIMIT),
            ("tokens", "list", "tokens", 0, 0, ["viewer"], [True], beyond, LIMIT),
            ("tokens", "list_of", "tokens", 8 * LIMIT, LIMIT, kinds, both, beyond, LIMIT, mine),
            ("tokens", "list_of", "tokens", 0, 0, ["service_token"], both, beyond, LIMIT, mine),
            ("tokens", "lent", "tokens", LIMIT, 1, number_id(number or 1_000)),
            ("agents", "list", "agents", 2 * LIMIT, LIMIT, at, beyond, LIMIT),
            ("agents", "list_of", "agents", 2 * LIMIT, LIMIT, at, beyond, LIMIT, his),
            ("agents", "named", "agents", 2 * LIMIT, LIMIT, "AGENT", "AGENT~", f"agent {number}", beyond, LIMIT, his),
            ("webhooks", "due", "outbox", LIMIT, LIMIT, beyond if number < 100 else mine, at, beyond, LAST, LIMIT),
            ("webhooks", "due", "outbox", LIMIT, LIMIT, his, at, beyond, his, LIMIT),
            ("webhooks", "dead", "outbox", LIMIT, LIMIT, at, beyond, LIMIT),
            ("webhooks", "dead_of", "outbox", LIMIT, LIMIT, at, beyond, LIMIT, his),
            ("webhooks", "delivered", "outbox", LIMIT, LIMIT, END, LAST, LIMIT),
            ("webhooks", "delivered_of", "outbox", LIMIT, LIMIT, END, beyond, LIMIT, his),
            ("fleet", "workers", "workers", LIMIT, LIMIT, 3600, number_id(2_000 - number // 10), LIMIT, None),
        ]
    await in_three_modes(pool, settings, early, rows)
