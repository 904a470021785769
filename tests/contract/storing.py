"""What requests may store, counted: a refusal leaves all of it as it was."""

from tests.service import Service

_TABLES = ("threads", "batches", "idempotency_keys", "messages", "runs", "files", "thread_events")


async def stored(service: Service) -> dict[str, int]:
    """Rows by table."""
    async with service.pool.acquire() as db:
        return {table: await db.fetchval(f"select count(*) from {table}") for table in _TABLES}  # noqa: S608 - the names stand above
