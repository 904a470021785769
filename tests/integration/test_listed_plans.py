"""The threads of a huge account are listed by what is shown of them, whatever else there is."""

from typing import Any

import asyncpg
import pytest

from shared import numbers
from shared.ids import AccountId
from shared.settings import Settings
from tests.prepared import execute, session
from tests.rows import add_owner

MANY = 20_000  # threads of the account, and as many of another one
AGENTS = 4  # of the account; every fifth thread has none
LIMIT = 50

FILL = (
    "insert into agents (id, account, name, runner, config, published)"
    " select gen_random_uuid(), $1, 'agent ' || n, 'echo', '{}', true from generate_series(1, $2::int) n",
    "insert into threads (partition, id, account, agent, origin_application, created_by, created_by_kind, created_at,"
    "  updated_at)"
    " select n % 64, gen_random_uuid(), $1, a.id, case when n = 7 then 'once' when n % 3 = 0 then 'often' end,"
    "  gen_random_uuid(), 'human_pat', '2026-01-01', '2026-01-01'::timestamptz + make_interval(secs => n / 2)"
    " from generate_series(1, $2::int) n"
    " left join (select id, row_number() over (order by id) as place from agents where account = $1) a"
    "  on a.place = n % 5",
)
SHOWN = (
    "select id from threads where account = $1 and ($2::text is null or origin_application = $2)"
    " order by updated_at desc, id limit $3"
)


async def fill(db: Any) -> AccountId:
    """The account of interest; another one has as many threads."""
    accounts = [(await add_owner(db, name)).account for name in ("acme", "globex")]
    for account in accounts:
        await db.execute(FILL[0], account, AGENTS)
        await db.execute(FILL[1], account, MANY)
    return accounts[0]


async def looked_at(connection: asyncpg.Connection, name: str, *arguments: object) -> float:
    """How many threads a statement looked at; by indexes alone."""
    plan = await execute(connection, "numbers", name, *arguments)
    scans = [scan for scan in plan.scans if scan.table == "threads"]
    assert all(scan.index for scan in scans), plan
    return sum(scan.read + scan.removed for scan in scans)


@pytest.mark.parametrize("application", [None, "often", "once", "never"])
async def test_the_newest_threads_are_listed_whoever_their_agent_is(
    pool: asyncpg.Pool, application: str | None
) -> None:
    account = await fill(pool)
    wanted = [row["id"] for row in await pool.fetch(SHOWN, account, application, LIMIT)]
    assert len(wanted) == {"once": 1, "never": 0}.get(str(application), LIMIT)
    assert [thread.id for thread in await numbers.listed(pool, account, application, LIMIT)] == wanted


@pytest.mark.parametrize("mode", ["planned before", "force_generic_plan", "force_custom_plan"])
async def test_a_list_reads_the_newest_threads_of_each_agent_and_of_an_application_what_it_shows(
    pool: asyncpg.Pool, settings: Settings, mode: str
) -> None:
    if mode == "planned before":  # when the tables were empty
        connection = await session(settings.database_url, "force_generic_plan", "numbers")
        account = await fill(pool)
    else:
        account = await fill(pool)
        await pool.execute("analyze")
        connection = await session(settings.database_url, mode, "numbers")
    assert await looked_at(connection, "listed", account, LIMIT) == (AGENTS + 1) * LIMIT
    for application, shown in (("often", LIMIT), ("once", 1), ("never", 0)):
        assert await looked_at(connection, "listed_of", account, LIMIT, application) == shown
    await connection.close()
