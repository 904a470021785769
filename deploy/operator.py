"""An operator at a terminal: an inbox of the command's own, as an api has one, for as long as it takes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.inbox import Inbox
from api.operator import Operator
from api.postgres import Postgres
from shared import logs
from shared.db.connect import open_pool
from shared.settings import Settings


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Operator]:
    """Whoever acts on runs, ready to."""
    logs.configure(settings.model_copy(update={"log_level": "error"}))  # a Redis that is away only costs time here
    pool = await open_pool(settings.database_url, size=2)
    inbox = Inbox(settings, pool)
    await inbox.start()
    try:
        yield Operator(inbox, Postgres(pool))
    finally:
        await inbox.close()
        await pool.close()
