"""A database and a prefix in Redis for many tests: what `settings` is for one."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis

from shared.settings import Settings
from tests import servers
from tests.servers import Addresses


@asynccontextmanager
async def place(addresses: Addresses) -> AsyncIterator[Settings]:
    """Migrated and empty; nothing of it is left behind."""
    name = f"test_{secrets.token_hex(8)}"
    copied = f"template {addresses.template} strategy file_copy"
    await servers.execute(addresses.database_url, f"create database {name} {copied}")
    try:
        values: dict[str, Any] = {
            "DATABASE_URL": servers.for_a_test(addresses.database_url, name),
            "REDIS_URL": addresses.redis_url,
        }
        yield Settings(**values, redis_prefix=f"{name}:", env="test")
    finally:
        await servers.execute(addresses.database_url, f"drop database {name} with (force)")
        await _forget(addresses.redis_url, f"{name}:")


async def _forget(redis_url: str, prefix: str) -> None:
    async with Redis.from_url(redis_url) as client:
        keys = [key async for key in client.scan_iter(match=f"{prefix}*", count=1000)]
        if keys:
            await client.delete(*keys)
