"""Every hot statement carries the partition: on parted tables it looks into the parts of the partitions that it names,
and into those by an index, whether it was planned before there was a row or with all figures about them.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from shared.db.connect import BY_INDEX, connect
from shared.db.partitioned import part
from shared.db.statements import statements
from shared.settings import Settings
from tests.integration.hot_statements import NOUNS, cases, fill
from tests.integration.statements_given import ACCOUNT, THREAD
from tests.prepared import literal, nodes, prepare

PARTS, PARTITIONS, MANY = 8, 64, 2_000
ONE = {1 * PARTS // PARTITIONS}  # where partition 1 is, which has `THREAD`
MOMENT = "2026-01-01 00:00:00+00"
MORE: list[tuple[str, str, tuple[object, ...]]] = [
    ("inbox", "accept_with_files", (ACCOUNT, 1, THREAD, ACCOUNT, ACCOUNT, "[]", None, 0, *([None] * 5), [])),
    ("inbox", "thread", (1, THREAD)),
    ("drain", "block", ([1], [1])),
    ("write", "settle_requests", ([1], [THREAD], [THREAD], ["allowed"], [None], [MOMENT])),
    ("sweep", "purge_events", (1, THREAD, 100)),
    ("sweep", "purge_messages", (1, THREAD, 100)),
    ("sweep", "purge_runs", (1, THREAD, 100)),
    ("sweep", "purge_rest", (1, THREAD)),
    ("briefing", "speech", (1, THREAD, THREAD, THREAD)),
    ("briefing", "told", (1, THREAD, THREAD)),
    ("reads", "cursor", (1, THREAD, ACCOUNT)),
    ("reads", "run", (1, THREAD, THREAD)),
    ("reads", "runs", (1, THREAD, 10, None)),
    ("stream", "behind", ([1], [THREAD], [THREAD], 10, 1_000)),
    ("stream", "outlines", (1, THREAD, THREAD, 10)),
    ("stream", "current_run", (1, THREAD)),
]
# These insert, and look at nothing but the row's own key.
INSERTING = {
    *("inbox.create", "inbox.create_with_files", "write.log_in_full", "write.insert_requests"),
    *("write.keep_steers", "write.keep_client_requests"),
}
# These look into every part, each by an index, and why that is as it must be.
EVERYWHERE = {
    "sweep.late": "it asks each partition by itself whether a batch waits",
    "inbox.oldest": "it asks each partition by itself for its oldest batch",
    "sweep.expired_requests": "it looks for requests past their time, by an index of those that are open",
    "sweep.tombstones": "it looks for deleted threads by an index of those",
    "sweep.forget_threads": "it looks for threads that were purged by an index of those",
    "sweep.forget_notes": "it looks for notes of dead workers, and for the batches they name",
    "sweep.beat": "it counts runs that wait, up to a bound, by an index of those",
    "execute.ready": "it looks for threads whose run waits, account by account, by an index of those",
    "execute.own": "it looks for the leases of a worker by an index of leases",
    "execute.run_out": "it looks for leases that ran out among all, which are as many as runs at work",
    "numbers.listed": "the list of an account's threads, by an index of the account in each part",
    "numbers.listed_of": "the same of an application",
    "reads.threads": "the list of an agent's threads, by an index of the agent in each part",
    "reads.threads_behind": "the same, behind a thread",
}
# These name one partition, and may read all of an index that has few rows: of requests that are open. The second one
# does in parts that had next to none when they were last analyzed.
FEW = {"sweep.still_expired", "load.permission_requests"}
# Two partitions, in the first and the second part; and all of them.
DRAINED = {(1, 8): {0, 1}, tuple(range(PARTITIONS)): set(range(PARTS))}


@pytest.fixture(params=["planned before", "one part analyzed", "analyzed"])
async def parted(request: pytest.FixtureRequest, settings: Settings) -> Any:
    """As the loops of the service connect, to parted tables with rows in every part."""
    connection = await connect(settings.database_url, command_timeout=None, **BY_INDEX)
    if not await connection.fetchval("select count(*) from pg_partitioned_table"):
        await part(connection, PARTS)
    for noun in NOUNS:
        await prepare(connection, noun)
    await connection.execute(fill(MANY))
    if request.param == "one part analyzed":  # as autovacuum comes by while rows are written
        for table in set((await _parts(connection)).values()):
            await connection.execute(f"analyze {table}_0")
    if request.param == "analyzed":
        await connection.execute("analyze")
    yield connection
    await connection.close()


async def test_hot_statements_look_into_the_parts_of_the_partitions_they_name(parted: asyncpg.Connection) -> None:
    parts = await _parts(parted)
    asked = [*((noun, name, arguments) for noun, name, arguments, _ in cases(MANY)), *MORE]
    wrong: dict[str, object] = {}
    for noun, name, arguments in asked:
        if (full := f"{noun}.{name}") in EVERYWHERE:
            continue
        touched, whole = await _touched(parted, parts, noun, name, arguments)
        named = DRAINED[tuple(arguments[0])] if full == "drain.read" else ONE  # type: ignore[arg-type]  # a list there
        if not touched <= named or (whole and full not in FEW):
            wrong[full] = (touched, whole)
    assert not wrong
    known = {f"{noun}.{name}" for noun, name, _ in asked} | INSERTING | EVERYWHERE.keys()
    assert {full for full in _of_threads(set(parts.values())) if full not in known} == set()


def _of_threads(tables: set[str]) -> Iterator[str]:
    """The hot statements that have to do with parted tables."""
    for noun in NOUNS:
        for name, text in statements(noun).items():
            code = re.sub(r"--.*", "", text)
            if any(re.search(rf"\b{table}\b", code) for table in tables):
                yield f"{noun}.{name}"


async def _parts(connection: asyncpg.Connection) -> dict[str, str]:
    """Each part -> its table."""
    rows = await connection.fetch(
        "select c.relname as part, p.relname as whole from pg_inherits i join pg_class c on c.oid = i.inhrelid"
        " join pg_class p on p.oid = i.inhparent where c.relkind = 'r'"
    )
    return {row["part"]: row["whole"] for row in rows}


async def _touched(
    connection: asyncpg.Connection, parts: dict[str, str], noun: str, name: str, arguments: tuple[object, ...]
) -> tuple[set[int], set[str]]:
    """The numbers of the parts that a statement looked into, and tables that it was ready to read whole."""
    call = f"{noun}_{name} ({', '.join(map(literal, arguments))})"
    transaction = connection.transaction()
    await transaction.start()
    text = await connection.fetchval(f"explain (analyze, format json) execute {call}")
    await transaction.rollback()
    scans = [node for node in nodes(json.loads(text)[0]["Plan"]) if node.get("Relation Name") in parts]
    reads = [node for node in scans if "Scan" in node["Node Type"]]
    touched = {int(node["Relation Name"].rpartition("_")[2]) for node in reads if node["Actual Loops"]}
    return touched, {parts[node["Relation Name"]] for node in reads if "Index Cond" not in node}
