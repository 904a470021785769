"""The Postgres and the Redis of a `threadmill dev`: those that the environment names, else embedded ones."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import asyncpg
from redis.exceptions import RedisError

from deploy import context, demo, embedded, ports
from deploy.devfile import DevFile
from deploy.embedded import Server
from deploy.errors import SetupError
from deploy.supervisor import Child, Supervisor
from shared.db.migrate import migrate
from shared.queue import open_redis

_SECONDS = 3.5  # to end in: with the services' time below the ten that `dev` promises

Say = Callable[[str], None]


async def check_given() -> None:
    """Asks the servers that the environment names, before anything is started. Raises SetupError."""
    settings = context.settings_from()
    if os.environ.get("DATABASE_URL"):
        async with context.connected(settings):
            pass
    if os.environ.get("REDIS_URL"):
        await _check_redis(settings.redis_url)


async def start_postgres(data: Path, kept: DevFile, supervisor: Supervisor, say: Say) -> tuple[DevFile, Child | None]:
    """The values with the URL in them, and the child, if it is ours. Raises SetupError, CommandError."""
    given = os.environ.get("DATABASE_URL")
    if given:
        return kept.model_copy(update={"database_url": given}), None
    first = "" if (data / "postgres").exists() else ", whose files are made first"
    say(f"starting Postgres{first}")
    port = ports.pick(kept.ports.postgres)
    server = await embedded.start_postgres(data / "postgres", port, kept.password)
    child = supervisor.adopt(_hurried(server))
    chosen = kept.ports.model_copy(update={"postgres": port})
    return kept.model_copy(update={"database_url": server.url, "ports": chosen}), child


async def start_redis(data: Path, kept: DevFile, supervisor: Supervisor, say: Say) -> tuple[DevFile, Child | None]:
    """As `start_postgres`."""
    given = os.environ.get("REDIS_URL")
    if given:
        return kept.model_copy(update={"redis_url": given}), None
    say("starting Redis")
    port = ports.pick(kept.ports.redis)
    server = await embedded.start_redis(data, port, kept.password)
    child = supervisor.adopt(_hurried(server))
    chosen = kept.ports.model_copy(update={"redis": port})
    return kept.model_copy(update={"redis_url": server.url, "ports": chosen}), child


async def prepare(kept: DevFile, say: Say) -> DevFile:
    """Migrates the database and completes what dev needs in it. Raises SetupError, SchemaTooNew."""
    settings = context.settings_from(DATABASE_URL=kept.database_url, REDIS_URL=kept.redis_url)
    async with context.connected(settings) as connection:
        try:
            applied = await migrate(connection)
            if applied:
                say(f"applied {len(applied)} migrations")
            return await demo.complete(connection, kept)
        except asyncpg.PostgresError as error:
            raise SetupError(f"the database can't be prepared: {context.reason(error)}") from error


def _hurried(server: Server) -> Server:
    return replace(server, command=replace(server.command, seconds=min(server.command.seconds, _SECONDS)))


async def _check_redis(url: str) -> None:
    try:
        client = open_redis(url, 5)
        try:
            await client.ping()
        finally:
            await client.aclose()
    except (RedisError, OSError, ValueError) as error:
        raise SetupError(f"{context.unanswered('Redis', url)}: {context.reason(error)}") from error
