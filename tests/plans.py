"""How Postgres executed a read of the operator: which nodes, and how many rows they read."""

import json
from typing import Any

import asyncpg

from shared import inspect
from shared.db.statements import statements


async def plan_of(pool: asyncpg.Pool, name: str, *arguments: object) -> dict[str, Any]:
    """How Postgres executed a statement of `sql/inspect.sql`."""
    return await explained(pool, "inspect", name, *arguments)


async def explained(pool: asyncpg.Pool, noun: str, name: str, *arguments: object) -> dict[str, Any]:
    """How Postgres executed a statement of an operator."""
    text = statements(noun)[name].rstrip(";")
    async with pool.acquire() as connection:
        await inspect.bound(connection)
        found = json.loads(await connection.fetchval(f"explain (analyze, format json) {text}", *arguments))
    plan: dict[str, Any] = found[0]["Plan"]
    return plan


def rows_read(plan: dict[str, Any], table: str = "batches") -> list[float]:
    """The rows that each node read from a table, kept or thrown away, in all loops."""
    found = [
        (part["Actual Rows"] + part.get("Rows Removed by Filter", 0)) * part["Actual Loops"]
        for part in [plan]
        if part.get("Relation Name") == table
    ]
    for child in plan.get("Plans", []):
        found += rows_read(child, table)
    return found
