"""The Postgres and the Redis of a test session: one of each for all xdist workers, thrown away at its end.

THREADMILL_TEST_DATABASE_URL (of a role that may create databases) and THREADMILL_TEST_REDIS_URL name others; with
THREADMILL_TEST_POOLER_URL what a test does with its database goes by that one's address.
The first connection makes a template database and migrates it; each test gets a copy. THREADMILL_TEST_PARTITIONED parts
its tables into so many (docs/partitioning.md).
"""

import asyncio
import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from deploy import children, embedded, ports
from shared.db.connect import connect
from shared.db.migrate import migrate
from shared.db.partitioned import part


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the servers are; `template` names the migrated database of this session."""

    database_url: str
    redis_url: str
    template: str


class Session:
    """Starts in the process that owns the session (the controller of xdist), stops there."""

    def __init__(self) -> None:
        self._directory: Path | None = None
        self._servers: list[embedded.Server] = []
        self.addresses: Addresses | None = None

    def start(self) -> Addresses:
        if self.addresses is None:
            self.addresses = asyncio.run(self._start())
        return self.addresses

    def stop(self) -> None:
        asyncio.run(self._stop())

    async def _start(self) -> Addresses:
        database_url = os.environ.get("THREADMILL_TEST_DATABASE_URL") or await self._postgres()
        redis_url = os.environ.get("THREADMILL_TEST_REDIS_URL") or await self._redis()
        template = f"threadmill_template_{secrets.token_hex(4)}"
        await execute(database_url, f"create database {template} encoding 'UTF8' template template0")
        connection = await connect(on_database(database_url, template))
        await migrate(connection)
        if children := os.environ.get("THREADMILL_TEST_PARTITIONED"):
            await part(connection, int(children))
        await connection.close()
        return Addresses(database_url, redis_url, template)

    async def _stop(self) -> None:
        if self.addresses is not None and not self._servers:
            await execute(self.addresses.database_url, f"drop database {self.addresses.template}")
        for server in self._servers:
            await children.end(server.process, server.command)
        if self._directory is not None:
            shutil.rmtree(self._directory)

    async def _postgres(self) -> str:
        directory = self._own_directory() / "postgres"
        server = await embedded.start_postgres(
            directory, ports.pick(), secrets.token_hex(16), settings=embedded.THROWAWAY
        )
        self._servers.append(server)
        await _ease(server.url)
        return server.url

    async def _redis(self) -> str:
        server = await embedded.start_redis(self._own_directory(), ports.pick(), secrets.token_hex(16))
        self._servers.append(server)
        return server.url

    def _own_directory(self) -> Path:
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="threadmill-tests-"))
        return self._directory


async def _ease(url: str) -> None:
    """Lets a password cost one round of hashing instead of thousands, on either side of each connection."""
    parts = urlsplit(url)
    await execute(url, f"set scram_iterations = 1; alter role {parts.username} password '{parts.password}'")


def on_database(url: str, name: str) -> str:
    """The same server, another database."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def for_a_test(url: str, name: str) -> str:
    """Its database, by the way that its statements are to go."""
    return on_database(os.environ.get("THREADMILL_TEST_POOLER_URL") or url, name)


async def execute(url: str, statement: str) -> None:
    connection = await connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
