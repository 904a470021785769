"""The servers of a bench run, and the programs under test: started here, ended by their pid whatever happens.

Postgres and Redis are the embedded ones; Postgres has the settings of a deployment that matter for speed, Redis keeps
no file. Everything listens on 127.0.0.1, logs and data lie in one directory that goes away at the end.
"""

import asyncio
import secrets
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import asyncpg
from redis.asyncio import Redis

from deploy import children, embedded, ports
from deploy.children import Command, Process
from deploy.embedded import Server
from shared.db.connect import connect

# As deploy/compose.yaml has them (tests/deploy/test_compose.py).
AS_DEPLOYED = {"fsync": "on", "full_page_writes": "on", "shared_buffers": "512MB", "max_wal_size": "4GB"}
READY = 20.0  # seconds for a program to answer `/readyz`


class NotReady(Exception):
    """A program under test did not start."""


@dataclass(slots=True)
class Program:
    """One process under test, in a process group of its own."""

    command: Command
    process: Process

    @classmethod
    def start(cls, name: str, module: str, log: Path, env: Mapping[str, str], *args: str) -> "Program":
        argv = (sys.executable, "-m", module, *args)
        command = Command(name=name, argv=argv, env=env, log=log, seconds=30.0)
        return cls(command, children.spawn(command))

    @property
    def pid(self) -> int:
        return self.process.pid

    async def until_ready(self, url: str) -> None:
        """Waits for a 200. Raises NotReady with the program's last words."""
        async with aiohttp.ClientSession() as session, asyncio.timeout(READY):
            while self.process.poll() is None:
                try:
                    async with session.get(url) as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass  # does not listen yet
                await asyncio.sleep(0.05)
        raise NotReady(f"{self.command.name}: {children.last_words(self.command)}")

    async def stop(self) -> None:
        await children.end(self.process, self.command)


class Stack:
    """Postgres and Redis of one bench run."""

    def __init__(self, directory: Path, postgres: Server, redis: Server) -> None:
        self.directory = directory
        self.postgres = postgres
        self.redis = redis

    @classmethod
    async def start(cls, settings: Mapping[str, str] | None = None, binaries: Path | None = None) -> "Stack":
        """Starts both. Raises SetupError, CommandError."""
        directory = Path(tempfile.mkdtemp(prefix="threadmill-bench-"))
        postgres = None
        try:
            chosen = {**embedded.DURABLE, **AS_DEPLOYED, **(settings or {})}
            postgres = await embedded.start_postgres(
                directory / "postgres",
                ports.pick(),
                secrets.token_hex(16),
                settings=chosen,
                binaries=binaries,
            )
            redis = await embedded.start_redis(directory, ports.pick(), secrets.token_hex(16))
        except BaseException:
            if postgres is not None:
                await children.end(postgres.process, postgres.command)
            shutil.rmtree(directory, ignore_errors=True)
            raise
        return cls(directory, postgres, redis)

    @property
    def roots(self) -> dict[str, int]:
        """The processes whose CPU counts, by name."""
        return {"postgres": self.postgres.process.pid, "redis": self.redis.process.pid}

    def database(self, name: str) -> str:
        """The URL of a database of this cluster."""
        return f"{self.postgres.url.rpartition('/')[0]}/{name}"

    async def create_database(self, name: str) -> str:
        """A new, empty database; returns its URL."""
        connection = await asyncpg.connect(self.postgres.url)
        try:
            await connection.execute(f'create database "{name}"')
        finally:
            await connection.close()
        return self.database(name)

    async def empty_redis(self) -> None:
        async with Redis.from_url(self.redis.url) as redis:
            await redis.flushall()

    async def kill_redis(self) -> None:
        self.redis.process.kill()
        await children.exited(self.redis.process, 5.0)

    async def restart_redis(self) -> None:
        """The same Redis, on the same port, empty."""
        process = children.spawn(self.redis.command)
        self.redis = Server(self.redis.url, self.redis.command, process)

    async def stop(self) -> None:
        """Ends both and removes their data."""
        await children.end(self.redis.process, self.redis.command)
        await children.end(self.postgres.process, self.postgres.command)
        shutil.rmtree(self.directory, ignore_errors=True)


async def commit_ms(database_url: str, times: int = 200) -> float:
    """The median of one durable commit, ms: beside every figure, because machines differ in it by tenfold."""
    loop = asyncio.get_running_loop()
    connection = await connect(database_url)
    try:
        await connection.execute("create table bench_commits (at timestamptz not null default now())")
        taken = []
        for _ in range(times):
            started = loop.time()
            await connection.execute("insert into bench_commits default values")
            taken.append(loop.time() - started)
        await connection.execute("drop table bench_commits")
    finally:
        await connection.close()
    return sorted(taken)[times // 2] * 1e3
