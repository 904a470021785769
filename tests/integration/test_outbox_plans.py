"""What is asked of the outbox costs the same however much one agent's dead receiver has let it grow."""

import json
from collections.abc import AsyncIterator

import asyncpg
import pytest

from shared import ids
from shared.db.connect import BY_INDEX, connect
from shared.db.statements import statements
from shared.settings import Settings
from tests.prepared import execute, nodes, prepare

MANY = 20_000
DEAD, ALIVE = (ids.from_bytes(number.to_bytes(16, "big")) for number in (1, 2))
NOBODY = ids.from_bytes(bytes(16))

FILL = """
insert into outbox (partition, id, thread, run, agent, type, body, next_try_at, delivered_at, parked_at)
select n % 64, gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), $1, 'run.completed', '{{}}',
       now() - make_interval(secs => n),
       case when n % 3 = 1 then now() end, case when n % 3 = 2 then now() end
from generate_series(1, {many}) n
"""


@pytest.fixture
async def connection(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """A loop's connection, on an outbox full of one agent's rows with one of another's behind them."""
    connection = await connect(settings.database_url, command_timeout=None, **BY_INDEX)
    await connection.execute(FILL.format(many=MANY), DEAD)
    await connection.execute(FILL.format(many=3), ALIVE)
    await connection.execute("analyze outbox")
    yield connection
    await connection.close()


async def rows_read(connection: asyncpg.Connection, noun: str, name: str, *arguments: object) -> int:
    """Rows of the outbox that the statement looked at, kept or thrown away."""
    text = statements(noun)[name].rstrip(";")
    transaction = connection.transaction()
    await transaction.start()
    explained = json.loads(await connection.fetchval(f"explain (analyze, format json) {text}", *arguments))
    await transaction.rollback()
    scans = [node for node in nodes(explained[0]["Plan"]) if node.get("Relation Name") == "outbox"]
    assert "Seq Scan" not in {node["Node Type"] for node in scans}
    return sum(
        round((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
        for node in scans
        if "Scan" in node["Node Type"]
    )


async def test_the_agents_with_work_are_found_without_their_rows(connection: asyncpg.Connection) -> None:
    found = await connection.fetch(statements("outbox")["agents"], NOBODY, 100)
    assert [(row["agent"], row["due"]) for row in found] == [(DEAD, True), (ALIVE, True)]
    assert await rows_read(connection, "outbox", "agents", NOBODY, 100) <= 4


async def test_a_claim_reads_what_it_takes(connection: asyncpg.Connection) -> None:
    assert await rows_read(connection, "outbox", "claim", 64, 30.0, [DEAD, ALIVE], [4, 4]) <= 2 * (4 + 1)
    taken = await connection.fetch(statements("outbox")["claim"], 64, 30.0, [DEAD, ALIVE], [4, 4])
    assert [row["agent"] for row in taken] == [DEAD] * 4 + [ALIVE]


async def test_forgetting_reads_what_is_over(connection: asyncpg.Connection) -> None:
    assert await rows_read(connection, "outbox", "forget", 24.0, 30, 1_000) == 0


async def test_a_summary_counts_up_to_its_bound(connection: asyncpg.Connection) -> None:
    assert await rows_read(connection, "webhooks", "summary", 101) <= 101 * 2 + 5


async def test_one_message_is_found_in_each_partition_by_its_key(connection: asyncpg.Connection) -> None:
    message = await connection.fetchval("select id from outbox limit 1")
    assert await rows_read(connection, "webhooks", "find", message) <= 1


async def test_what_became_of_tries_is_written_row_by_row_also_where_it_was_planned_early(settings: Settings) -> None:
    connection = await connect(settings.database_url, command_timeout=None, **BY_INDEX)
    await prepare(connection, "outbox")  # on an empty table
    await connection.execute(FILL.format(many=MANY), DEAD)
    rows = await connection.fetch("select partition, id from outbox where delivered_at is null limit 20")
    many = len(rows)
    keys = [row["partition"] for row in rows], [row["id"] for row in rows]
    became = [0] * many, [500] * many, ["away"] * many, [1.0] * many, [False] * many
    plan = await execute(connection, "outbox", "settle", *keys, *became, 3600.0)
    assert plan.looked_at <= many, plan
    await connection.close()
