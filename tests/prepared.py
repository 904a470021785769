"""Statements as a session prepares them, and how Postgres executed one: which nodes, how many rows and buffers."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from shared import ids
from shared.db.connect import connect
from shared.db.statements import statements


@dataclass(frozen=True, slots=True)
class Scan:
    """One node that reads a table, in all its loops."""

    table: str
    kind: str
    index: str | None
    read: float  # rows
    removed: float  # rows that it looked at besides


@dataclass(frozen=True, slots=True)
class Executed:
    rows: int  # that the statement gave
    scans: tuple[Scan, ...]
    buffers: int

    @property
    def looked_at(self) -> float:
        return sum(scan.read + scan.removed for scan in self.scans)


async def session(url: str, mode: str, *nouns: str) -> asyncpg.Connection:
    """As the api's reads connect, but for how long a plan is kept (`plan_cache_mode`). All are planned at once."""
    connection = await connect(url, command_timeout=None, plan_cache_mode=mode)
    for noun in nouns:
        await prepare(connection, noun)
    return connection


async def prepare(connection: asyncpg.Connection, noun: str) -> None:
    """Plans all statements of a noun, as a session does that was there from the first day."""
    for name, text in statements(noun).items():
        if "{partition" in text:  # of several commands, without tables
            continue
        prepared = await connection.prepare(text)
        nulls = ", ".join("null" for _ in prepared.get_parameters())
        await connection.execute(f"prepare {noun}_{name} as {text}")
        await connection.execute(f"explain execute {noun}_{name}" + (f" ({nulls})" if nulls else ""))


async def execute(connection: asyncpg.Connection, noun: str, name: str, *arguments: object) -> Executed:
    """How Postgres ran what was prepared, in a transaction that is rolled back."""
    call = f"{noun}_{name}" + (f" ({', '.join(map(literal, arguments))})" if arguments else "")
    transaction = connection.transaction()
    await transaction.start()
    text = await connection.fetchval(f"explain (analyze, buffers, format json) execute {call}")
    await transaction.rollback()
    plan = json.loads(text)[0]["Plan"]
    scans = tuple(_scan(node) for node in nodes(plan) if "Scan" in node["Node Type"] and "Relation Name" in node)
    return Executed(plan["Actual Rows"], scans, plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def _scan(node: dict[str, Any]) -> Scan:
    thrown = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    loops = node["Actual Loops"]
    return Scan(
        node["Relation Name"], node["Node Type"], node.get("Index Name"), node["Actual Rows"] * loops, thrown * loops
    )


def literal(value: object) -> str:
    """An argument as SQL text; Postgres knows its type."""
    if isinstance(value, list):
        quoted = ("null" if one is None else '"' + _plain(one).replace("\\", "\\\\") + '"' for one in value)
        return "'{" + ",".join(quoted) + "}'"
    return "null" if value is None else f"'{_plain(value)}'"


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    if isinstance(value, datetime):
        return value.isoformat()
    return ids.to_bytes(value).hex() if isinstance(value, str) and ids.parse(value) else str(value).replace("'", "''")
