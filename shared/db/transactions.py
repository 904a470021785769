"""Whether transactions are to be had: a pooler in statement mode ends the session of whoever begins one.

Asked once, where a process meets the database: it would look like an outage, and be one for ever.
"""

import asyncpg

from shared.db.way import Misconfigured

_REFUSED = "statement pooling mode"  # what PgBouncer says then


async def check(connection: asyncpg.Connection) -> None:
    """Raises Misconfigured, and what asyncpg raises."""
    try:
        async with connection.transaction():
            pass
    except asyncpg.PostgresError as error:
        if _REFUSED in str(error):
            raise Misconfigured(
                "DATABASE_URL: the pooler is in statement mode, transaction mode is needed: pool_mode = transaction"
                f" ({error})"
            ) from error
        raise
