"""What an operator may see: the one read API under the command line and the console.

Every read here is bounded: it looks at a stated number of rows whatever the backlog is, and ages are of
Postgres' clock. Refused here: changing anything (`shared.deadletters` does), and counting by scanning.
"""

import asyncpg

from shared.db.connect import Database, is_pooled
from shared.db.statements import statements

READ_LIMIT_MS = 10_000  # an operator's read may cost the service something, but not for long


async def bound(connection: Database, milliseconds: int = READ_LIMIT_MS) -> None:
    """For this session: statements go by the indexes, and end after so long. Behind a pooler a session is nobody's own,
    and the pooler's settings hold.
    """
    if isinstance(connection, asyncpg.Pool):
        async with connection.acquire() as one:
            await bound(one, milliseconds)
    elif not is_pooled(connection):
        await connection.execute(statements("inspect")["bound"], str(milliseconds))
