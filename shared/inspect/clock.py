"""Postgres' clock: whatever goes by when a row was written goes by this one. Refused here: this process' own."""

from datetime import datetime

from shared.db.connect import Database
from shared.db.statements import statements


async def moment(db: Database) -> datetime:
    """What time it is, also within a transaction."""
    now: datetime = await db.fetchval(statements("actions")["clock"])
    return now
