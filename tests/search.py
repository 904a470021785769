"""All that is kept, as text to search: for tests that something is nowhere."""

import io

import asyncpg
from redis.asyncio import Redis


async def all_rows(pool: asyncpg.Pool) -> str:
    """Every row of every table; bytes in hex."""
    written = io.BytesIO()
    async with pool.acquire() as connection:
        for row in await connection.fetch("select tablename from pg_tables where schemaname = 'public'"):
            await connection.copy_from_table(row["tablename"], output=written)
    return written.getvalue().decode()


async def all_keys(redis: Redis) -> str:
    """Every key of the server with its value as Redis would dump it."""
    return "\n".join([f"{key} {await redis.dump(key)}" async for key in redis.scan_iter()])
