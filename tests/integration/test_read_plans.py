"""A page costs the same however long its thread is, or its agent's list: the plans read little more than they give."""

import json
from typing import Any

import asyncpg
import pytest

from shared import ids
from shared.db.connect import BY_INDEX
from shared.db.statements import statements
from tests.prepared import nodes
from tests.rows import Owner, Row, add_owner, add_thread

LONG = 5_000  # rows of each table in one thread

FILL = {
    "events": "insert into thread_events (partition, thread, id, type, content, occurred_at)"
    " select $1, $2, gen_random_uuid(), 'user.message', 'hello', now() from generate_series(1, $3::int)",
    "runs": "insert into runs (partition, thread, id, seq, status, trigger, created_at, started_at, updated_at,"
    " completed_at)"
    " select $1, $2, gen_random_uuid(), n, 'completed', 'user_prompt', now(), now(), now(), now()"
    " from generate_series(1, $3::int) as n",
    "messages": "insert into messages (partition, thread, id, role, parts, run, created_at)"
    " select $1, $2, gen_random_uuid(), 'assistant', '[]', runs.id, now() from runs"
    " where partition = $1 and thread = $2 limit $3::int",
}
THREADS = (
    "insert into threads (partition, id, account, agent, created_by, created_by_kind, created_at, updated_at)"
    " select 0, gen_random_uuid(), $1, $2, $1, 'human_pat', '2026-01-01',"
    " '2026-01-01'::timestamptz + n * '1 s'::interval"
    " from generate_series(1, $3::int) as n"
)


@pytest.fixture
async def db(pool: asyncpg.Pool) -> Any:
    async with pool.acquire() as connection:
        yield connection


async def fill(db: asyncpg.Connection) -> tuple[Owner, Row]:
    owner = await add_owner(db)
    thread = await add_thread(db, owner)
    for statement in FILL.values():
        await db.execute(statement, thread.partition, thread.id, LONG)
    await db.execute(THREADS, owner.account, owner.account, LONG)
    await db.execute("analyze")
    return owner, thread


async def read(db: asyncpg.Connection, name: str, *arguments: Any, noun: str = "reads") -> int:
    """How many rows the scans of a statement's plan looked at, for any arguments and for these."""
    values = ", ".join(f"'{value}'" for value in arguments)
    await db.execute("set plan_cache_mode = force_generic_plan")
    await db.execute(f"prepare {name} as {statements(noun)[name]}")
    text = await db.fetchval(f"explain (analyze, format json) execute {name} ({values})")
    await db.execute(f"deallocate {name}")
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for node in nodes(json.loads(text)[0]["Plan"])
        if "Scan" in node["Node Type"] and "Subquery" not in node["Node Type"] and "CTE" not in node["Node Type"]
    )


async def test_pages_read_little_more_than_they_give(db: asyncpg.Connection) -> None:
    owner, thread = await fill(db)
    place = (thread.partition, uuid(thread.id))
    run = await db.fetchval("select id from runs order by id limit 1 offset $1", LONG // 2)
    account = uuid(owner.account)
    middle = "2026-01-01 00:40:00+00"
    assert await read(db, "events_before", *place, "ffffffff-ffff-ffff-ffff-ffffffffffff", 10) <= 10
    assert await read(db, "events_after", *place, uuid(run), 10) <= 10
    assert await read(db, "run", *place, uuid(run)) <= 3
    assert await read(db, "runs", *place, 10, uuid(run)) <= 30
    assert await read(db, "threads", account, account, "false", 10) <= 10
    assert await read(db, "threads_behind", account, account, "false", 10, middle, account) <= 11


async def test_streams_read_little_more_than_they_give(db: asyncpg.Connection) -> None:
    owner, thread = await fill(db)
    await db.execute("update threads set last_event_id = 'ffffffff-ffff-ffff-ffff-ffffffffffff'")
    place = (f"{{{thread.partition}}}", f"{{{uuid(thread.id)}}}")
    start, end = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"
    for setting, value in BY_INDEX.items():
        await db.execute(f"set {setting} = {value}")
    assert await stream(db, "behind", *place, f"{{{start}}}", 10, 1 << 20) <= 12
    assert await stream(db, "behind", *place, f"{{{end}}}", 10, 1 << 20) <= 2
    assert await stream(db, "outlines", thread.partition, uuid(thread.id), end, 10) <= 10
    assert await stream(db, "current_run", thread.partition, uuid(thread.id)) <= 1
    assert await stream(db, "revoked", f"{{{uuid(owner.token)}}}") <= 2


async def stream(db: asyncpg.Connection, name: str, *arguments: Any) -> int:
    return await read(db, name, *arguments, noun="stream")


def uuid(id_: str) -> str:
    """An id as Postgres writes it."""
    return ids.to_bytes(id_).hex()
