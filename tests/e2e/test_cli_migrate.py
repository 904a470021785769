"""`threadmill migrate`, as an operator types it: once, twice, and to part the tables."""

import asyncpg
import pytest

from tests.e2e.command_line import Threadmill

pytestmark = pytest.mark.timeout(60)


async def test_tables_are_parted_once_for_good_and_nothing_else_is_done(
    threadmill: Threadmill, pool: asyncpg.Pool
) -> None:
    if await pool.fetchval("select count(*) from pg_partitioned_table"):
        pytest.skip("the tables of this session's databases are parted already")
    assert (await threadmill("migrate", "--json")).document == {"applied": []}
    wrong = await threadmill("migrate", "--partitioned", "7")
    assert (wrong.code, "so many parts of 64 partitions are not of one size: 7" in wrong.err) == (2, True)
    done = (await threadmill("migrate", "--partitioned", "8", "--json")).document
    assert done["applied"] == []
    assert {"table": "batches", "rows": 0} in done["partitioned"]
    assert await pool.fetchval("select count(*) from pg_partitioned_table") == len(done["partitioned"])
    again = await threadmill("migrate", "--partitioned", "8")
    assert (again.code, "parted already" in again.err) == (2, True)
