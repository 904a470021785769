"""Parts the tables of thread data by their `partition`: an option for large databases, taken while nothing runs.

What is done stands in `partitioned.sql`, which psql reads as well. Refused: a way back, and a database in use.
"""

from importlib.resources import files
from typing import NamedTuple

import asyncpg

from shared.vitals import LIVES

_IN_USE = """
select count(*) from (select seen_at from apis union all select seen_at from workers) as p
where seen_at > clock_timestamp() - make_interval(secs => $1)
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
    except asyncpg.RaiseError as error:
        raise NotParted(error.message) from error
    for row in rows:
        if row["copied"]:  # of a table that is known to be empty the planner thinks that all of it is read for nothing
            await connection.execute(f"analyze {row['part']}")
    return [Parted(row["part"], row["copied"]) for row in rows]
