"""Whether this Postgres keeps what it was told to keep: asked once, where a process meets the database.

`synchronous_commit` is set by our own sessions; a pooler in between may have swallowed it, and without it "accepted"
would be a lie, so that is refused. A server without `fsync` or `full_page_writes` survives a crash of its processes,
not of its machine: that is told, loudly, and is the operator's to decide.
"""

import asyncpg
import structlog

from shared.db import transactions
from shared.db.statements import statements

log = structlog.get_logger()
SQL = statements("durability")

COMMITS = ("on", "remote_apply")  # what synchronous_commit must be for an acknowledged commit to be on the disk


class NotDurable(Exception):
    """Sessions here commit without waiting for the disk: set synchronous_commit to `on` for this role and pooler."""


async def check(connection: asyncpg.Connection) -> None:
    """Raises NotDurable, and Misconfigured where there are no transactions; logs what else would lose an acknowledged
    batch when the machine fails.
    """
    await transactions.check(connection)
    row = await connection.fetchrow(SQL["settings"])
    if row["synchronous_commit"] not in COMMITS:
        raise NotDurable((NotDurable.__doc__ or "").strip())
    for name in ("fsync", "full_page_writes"):
        if row[name] != "on":
            log.error("a crash of the database's machine may lose accepted batches", setting=name, value=row[name])
