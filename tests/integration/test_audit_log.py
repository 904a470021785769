"""The audit log by the page: what is asked for, in its order, by the indexes and within a bound."""

import asyncpg
import pytest

from shared.inspect import auditlog
from shared.inspect.auditlog import LOOKED, Wanted
from tests.plans import explained, rows_read

FILL = """
insert into audit (actor, via, action, target, touched, result)
select 'actor ' || n % 3, 'cli', 'action ' || n % 5, 'batch ' || n % 4000, 1, 'done' from generate_series(1, 20000) n
"""
PAGE = 50


async def read_all(pool: asyncpg.Pool, wanted: Wanted, limit: int = 700) -> list[int]:
    """The ids of all pages, one behind the other."""
    found: list[int] = []
    after = None
    while True:
        page = await auditlog.page(pool, limit, wanted, after)
        assert len(page.items) <= limit
        found += [entry.id for entry in page.items]
        if (after := page.after) is None:
            return found


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(),
        Wanted(actor="actor 1"),
        Wanted(action="action 2", actor="actor 1"),
        Wanted(target="batch 7"),
        Wanted(target="batch 8", action="action 3"),
        Wanted(target="batch 7", actor="nobody"),
    ],
)
async def test_pages_hold_each_entry_that_fits_once_the_newest_first(pool: asyncpg.Pool, wanted: Wanted) -> None:
    await pool.execute(FILL)
    every = await pool.fetch(
        "select id from audit where ($1::text is null or target = $1) and ($2::text is null or actor = $2)"
        " and ($3::text is null or action = $3) order by id desc",
        *(wanted.target, wanted.actor, wanted.action),
    )
    assert await read_all(pool, wanted) == [row["id"] for row in every]


@pytest.mark.parametrize(
    ("wanted", "most"),
    [
        (Wanted(), PAGE + 1),
        (Wanted(actor="actor 1", action="action 2"), LOOKED),
        (Wanted(action="action 2"), PAGE + 1),
        (Wanted(target="batch 7", actor="actor 1"), 10),
    ],
)
async def test_a_page_looks_at_a_bounded_number_of_entries(pool: asyncpg.Pool, wanted: Wanted, most: int) -> None:
    await pool.execute(FILL)
    await pool.execute("analyze audit")
    bound = LOOKED if wanted.several else PAGE + 1
    arguments = (1 << 62, wanted.target, wanted.actor, wanted.action, PAGE, bound)
    plan = await explained(pool, "auditlog", wanted.statement, *arguments)
    read = rows_read(plan, "audit")
    assert read
    assert max(read) <= most


async def test_a_page_of_nothing_and_a_cursor_of_somebody(pool: asyncpg.Pool) -> None:
    page = await auditlog.page(pool, PAGE, Wanted(target="batch 1"))
    assert (page.items, page.after) == ([], None)
