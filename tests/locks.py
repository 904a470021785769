"""Who has or waits for a lock in a test's own database: other tests' are on the same server, with the same oids."""

import asyncpg

from shared.db.connect import Database

_LOCKS = """
select pid, virtualtransaction, granted from pg_locks
where (locktype = $1 or relation = to_regclass($1))
  and database = (select oid from pg_database where datname = current_database())
"""


async def locks(database: Database, what: str = "advisory") -> list[asyncpg.Record]:
    """Those of partitions, or of the table of that name."""
    found: list[asyncpg.Record] = await database.fetch(_LOCKS, what)
    return found


async def waiters(database: Database, what: str = "advisory") -> list[asyncpg.Record]:
    """Those that are waited for."""
    return [lock for lock in await locks(database, what) if not lock["granted"]]
