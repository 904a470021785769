"""What lists, finds and sweeps files reads what it gives and little more, however many files there are."""

import asyncpg
import pytest

from shared import ids
from shared.db.connect import BY_INDEX, connect
from shared.settings import Settings
from tests.prepared import execute, prepare, session
from tests.rows import add_owner, add_thread

MANY = 20_000  # of each of two accounts, all in one thread; a tenth is due, half are to be removed
LIMIT = 50
Asked = tuple[tuple[str, tuple[object, ...], int], ...]  # a statement, its arguments, the most it may read
FILL = (
    "insert into files (id, account, agent, token, kind, ready, name, mime_type, size, sha256, expires_at, partition,"
    "  thread)"
    " select lpad(to_hex($5::bigint + n), 32, '0')::uuid, $1, a.id, $2, 'attachment', true, 'a', 'a/b', 1,"
    "  sha256('a'), case when n % 2 = 0 then '2026-01-01'::timestamptz + make_interval(secs => n) end,"
    "  case when n % 2 = 1 then $3::smallint end, case when n % 2 = 1 then $4::uuid end"
    " from generate_series(1, {many}) n, agents a where a.account = $1",
    "insert into file_removals (id, account, next_try_at)"
    " select gen_random_uuid(), account, now() + make_interval(secs => (random() - 0.5) * 10000) from files"
    " on conflict do nothing",
)
ACCOUNTS = """
insert into accounts (id, name) select gen_random_uuid(), n from generate_series(1, 5000) n;
insert into file_usage (account) select id from accounts on conflict do nothing;
"""


async def fill(pool: asyncpg.Pool) -> tuple[str, int, str]:
    """An account, and the place of its thread."""
    made = []
    for n, name in enumerate(("acme", "globex")):
        owner = await add_owner(pool, name)
        await pool.execute(
            "insert into agents (id, account, name, runner) values ($1, $2, 'echo', 'echo')", ids.mint(), owner.account
        )
        thread = await add_thread(pool, owner)
        values = (owner.account, owner.token, thread.partition, thread.id, n * MANY * 2)
        await pool.execute(FILL[0].format(many=MANY), *values)
        made.append((owner.account, thread.partition, thread.id))
    await pool.execute(FILL[1])
    return made[0]


@pytest.mark.parametrize("mode", ["planned before", "force_generic_plan", "force_custom_plan"])
async def test_every_statement_reads_a_page_by_an_index(pool: asyncpg.Pool, settings: Settings, mode: str) -> None:
    if mode == "planned before":  # when the tables were empty
        connection = await session(settings.database_url, "force_generic_plan", "files")
        account, partition, thread = await fill(pool)
    else:
        account, partition, thread = await fill(pool)
        await pool.execute("analyze")
        connection = await session(settings.database_url, mode, "files")
    first, last = ids.Ulid("0" * 26), ids.Ulid("7" + "Z" * 25)
    some = await pool.fetchval("select id from files where account = $1 offset 5000 limit 1", account)
    asked: Asked = (
        ("of_thread", (partition, thread, LIMIT, first), 2 * LIMIT),
        ("of_thread", (partition, thread, LIMIT, some), 2 * LIMIT),
        ("listed", (first, first, last, LIMIT), LIMIT),
        ("listed", (account, some, account, LIMIT), LIMIT),
        ("listed_of_thread", (partition, thread, some, LIMIT), 2 * LIMIT),
        ("find", (some, account), 1),
        ("chosen", ([some, account],), 2),
        ("detail", (some,), 1),
        ("pending_removals", (LIMIT,), LIMIT),
    )
    await check(connection, asked)


async def test_what_a_run_asks_of_files_reads_a_page_by_an_index(pool: asyncpg.Pool, settings: Settings) -> None:
    connection = await session(settings.database_url, "force_generic_plan", "runfiles")
    _, partition, thread = await fill(pool)
    some = [row["id"] for row in await pool.fetch("select id from files where thread = $1 order by id limit 9", thread)]
    asked: Asked = (
        ("page", (partition, thread, some[3], LIMIT), 2 * LIMIT),
        ("found", (partition, thread, some), 2 * len(some)),
    )
    await check(connection, asked, "runfiles")


@pytest.mark.parametrize("mode", ["force_generic_plan", "force_custom_plan"])
async def test_what_accounts_have_is_read_by_the_page(pool: asyncpg.Pool, settings: Settings, mode: str) -> None:
    await pool.execute(ACCOUNTS)
    await pool.execute("analyze")
    connection = await session(settings.database_url, mode, "files")
    plan = await execute(connection, "files", "usages", ids.Ulid("3" + "0" * 25), LIMIT)
    assert all(scan.index for scan in plan.scans), plan
    assert (plan.rows, plan.looked_at) == (LIMIT, 2 * LIMIT)
    await connection.close()


async def test_a_sweep_reads_a_page_by_an_index(pool: asyncpg.Pool, settings: Settings) -> None:
    connection = await connect(settings.database_url, command_timeout=None, **BY_INDEX)
    await prepare(connection, "files")
    _, partition, thread = await fill(pool)
    await pool.execute(ACCOUNTS)
    asked: Asked = (  # each is found, and found again to be changed
        ("expire", (LIMIT,), 2 * LIMIT + 4),  # and the usage of two accounts
        ("purge", (partition, thread, LIMIT), 2 * LIMIT + 1),
        ("claim_removals", (LIMIT, 1.0, 2.0), 2 * LIMIT),
    )
    await check(connection, asked)


@pytest.mark.parametrize("mode", ["planned before", "analyzed"])
async def test_a_claim_reads_the_files_that_it_names_and_no_other(
    pool: asyncpg.Pool, settings: Settings, mode: str
) -> None:
    connection = await connect(settings.database_url, command_timeout=None, **BY_INDEX)
    if mode == "planned before":
        await prepare(connection, "inbox")
    account, partition, thread = await fill(pool)
    if mode == "analyzed":
        await pool.execute("analyze")
        await prepare(connection, "inbox")
    rows = await pool.fetch(
        "select id, token, agent from files where account = $1 and thread is null limit $2", account, LIMIT
    )
    files, token, agent = [row["id"] for row in rows], rows[0]["token"], rows[0]["agent"]
    key = ("key", "route", b"digest", None)
    batch = (ids.mint(), partition, thread, account, token, "[]", "api")
    made = (batch[0], partition, ids.mint(), *batch[3:])
    new = (agent, "human_pat", "cattle", None, None, None, None, None)
    asked: Asked = (
        ("accept_with_files", (*batch, 0, *key, None, files), 2 * LIMIT),
        ("create_with_files", (*made, *key, *new, None, files), 2 * LIMIT),
    )
    for name, arguments, most in asked:
        plan = await execute(connection, "inbox", name, *arguments)
        read = [(scan.index, scan.read + scan.removed) for scan in plan.scans if scan.table == "files"]
        assert read == [("files_pkey", LIMIT)] * 2, (name, plan)
        assert all(scan.index for scan in plan.scans), (name, plan)
        assert plan.looked_at <= most + 5, (name, plan)
    await connection.close()


async def check(connection: asyncpg.Connection, asked: Asked, of: str = "files") -> None:
    for name, arguments, most in asked:
        plan = await execute(connection, of, name, *arguments)
        scans = [scan for scan in plan.scans if scan.table in ("files", "file_removals", "file_usage")]
        assert scans, name
        assert all(scan.index or scan.kind == "Bitmap Heap Scan" for scan in scans), (name, plan)  # that has one below
        assert sum(scan.read + scan.removed for scan in scans) <= most, (name, plan)
    await connection.close()
