"""Parts the tables of thread data by their `partition`: an option for large databases, taken while nothing runs.

What is done stands in `partitioned.sql`, which psql reads as well. Refused: a way back, and a database in use.
"""

import re
from importlib.resources import files
from typing import NamedTuple

import asyncpg

from shared.vitals import LIVES

MOST = 63  # characters of a name in Postgres

_IN_USE = """
select count(*) from (select seen_at from apis union all select seen_at from workers) as p
where seen_at > clock_timestamp() - make_interval(secs => $1)
"""


_INDEX = re.compile(
    r"\bcreate\s+(unique\s+)?index\s+concurrently\s+(\w+)\s+on\s+(\w+)\b(.*)", re.IGNORECASE | re.DOTALL
)
_PARTS = """
select c.relname as part from pg_inherits i join pg_class c on c.oid = i.inhrelid
where i.inhparent = to_regclass($1) and c.relkind = 'r' order by c.oid
"""


class NotParted(Exception):
    """The tables can't be parted: the message says why. Nothing was changed."""


class Parted(NamedTuple):
    """A table that was parted, and how many rows were copied."""

    table: str
    rows: int


def script() -> str:
    """What psql reads."""
    return (files("shared.db") / "partitioned.sql").read_text(encoding="utf-8")


async def index_each(connection: asyncpg.Connection, statement: str) -> bool:
    """Does what a `create index concurrently` says to each part of its table, because Postgres does not.

    False where the table is whole, or it is another statement: nothing was done.
    """
    found = _INDEX.search(statement)
    parts = [] if found is None else await connection.fetch(_PARTS, found[3])
    if found is None or not parts:
        return False
    unique, name, table, rest = found[1] or "", found[2], found[3], found[4]
    await connection.execute(f"create {unique}index {name} on only {table}{rest}")
    for row in parts:
        own = f"{row['part']}_{name}"[:MOST]
        await connection.execute(f"create {unique}index concurrently {own} on {row['part']}{rest}")
        await connection.execute(f"alter index {name} attach partition {own}")
    return True


async def part(connection: asyncpg.Connection, children: int) -> list[Parted]:
    """Parts each table into so many, of equal ranges of partitions: 2, 4, 8 … as many as there are partitions.

    One transaction, with all tables locked. Raises NotParted.
    """
    if in_use := await connection.fetchval(_IN_USE, LIVES):
        raise NotParted(f"{in_use} processes of the service have told of themselves lately: stop them all first")
    try:
        async with connection.transaction():
            await connection.execute(script())
            rows = await connection.fetch("select part, copied from pg_temp.part_threads($1)", children)
            await connection.execute("drop function pg_temp.part_threads")
    except asyncpg.PostgresError as error:  # ours, or rows that a check refuses, or no right to it
        raise NotParted(str(error)) from error
    for row in rows:
        if row["copied"]:  # of a table that is known to be empty the planner thinks that all of it is read for nothing
            await connection.execute(f"analyze {row['part']}")
    return [Parted(row["part"], row["copied"]) for row in rows]
