"""Hot statements go by the index that was made for them, however much the tables hold."""

from typing import Any

import asyncpg
import pytest

from shared.db.connect import BY_INDEX, connect
from shared.settings import Settings
from tests.integration.hot_statements import NOUNS, cases, fill
from tests.integration.statements_given import ACCOUNT, MANY
from tests.prepared import Executed, execute, prepare

BIG = {
    *("batches", "runs", "threads", "thread_events", "messages", "permission_requests", "idempotency_keys"),
    "thread_numbers",
}
FEW = 230  # rows: numbers of so many fit into one page of an index, numbers with an account do not
# Not `truncate`, behind which a session plans anew.
EMPTY = """
delete from batches; delete from idempotency_keys; delete from runs; delete from thread_events; delete from messages;
delete from permission_requests; delete from leases; delete from thread_numbers; delete from threads;
delete from accounts;
"""


def is_hot(plan: Executed, indexes: set[str]) -> bool:
    """Whether it went by these indexes of big tables, and read little."""
    scans = [scan for scan in plan.scans if scan.table in BIG]
    whole = any(scan.kind == "Seq Scan" for scan in scans)
    return {scan.index for scan in scans if scan.index} <= indexes and not whole and plan.looked_at < MANY / 20


@pytest.fixture(params=["analyzed", "planned before", "planned with few"])
async def connection(request: pytest.FixtureRequest, settings: Settings) -> Any:
    """As the loops of the service connect, to tables that are full; with plans of today, of when they were empty, or of
    when they were so small that an index with few columns had a page and one with many a root above its pages.
    """
    connection = await connect(settings.database_url, command_timeout=None, **BY_INDEX)
    few = request.param == "planned with few"
    if few:
        await connection.execute(fill(FEW, every=1))
    for noun in NOUNS:
        await prepare(connection, noun)
    if few:
        await connection.execute(EMPTY)
    await connection.execute(fill())
    if request.param == "analyzed":
        await connection.execute("analyze")
    yield connection
    await connection.close()


async def test_hot_statements_read_what_they_return_and_little_more(
    connection: asyncpg.Connection, settings: Settings
) -> None:
    wrong: dict[str, Executed] = {}
    for noun, name, arguments, indexes in cases():
        plan = await execute(connection, noun, name, *arguments)
        if not is_hot(plan, indexes):
            wrong[f"{noun}.{name}"] = plan
    assert not wrong, "\n".join(f"{n}: {p}" for n, p in wrong.items())
    await _look_for_locked_threads(connection, settings)


async def _look_for_locked_threads(connection: asyncpg.Connection, settings: Settings) -> None:
    """Where somebody has them, a drain looks for them one by one, and not at all there are."""
    other = await connect(settings.database_url)
    async with other.transaction():
        await other.execute("select from threads for no key update")
        where: tuple[object, ...] = (list(range(64)), 10, ACCOUNT, 64, ACCOUNT, [])
        plan = await execute(connection, "drain", "read", *where, False, False, 16, 4, 4 << 20)
    await other.close()
    assert plan.rows > 0
    assert is_hot(plan, {"batches_waiting", "batches_retrying", "threads_pkey"}), plan
