"""A Postgres and a Redis that may be killed, stopped, emptied, and left without room: nobody else uses them."""

import asyncio
import os
import secrets
import shutil
import signal
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.exceptions import RedisError

from deploy import children, embedded, ports
from deploy.embedded import Server
from shared.db.connect import AWAY, connect
from shared.db.migrate import migrate
from tests.faults.disk import Disk, mount
from tests.servers import execute, on_database

TEMPLATE = "threadmill_template"
BACK = 60.0  # seconds that Postgres may take to come back
SEGMENTS = 64  # of its log that are switched at most until there is no room for another one
SMALL = {**embedded.THROWAWAY, "max_wal_size": "128MB"}  # on a disk that is memory, and whose log is to run out of room


@dataclass(slots=True)
class Servers:
    directory: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="threadmill-faults-")))
    password: str = field(default_factory=lambda: secrets.token_hex(16))
    postgres_port: int = field(default_factory=ports.pick)
    redis_port: int = field(default_factory=ports.pick)
    disk: Disk | None = None  # of Postgres, where it has one of its own
    _postgres: Server | None = None
    _redis: Server | None = None

    @property
    def postgres(self) -> Server:
        assert self._postgres is not None, "Postgres is not started"
        return self._postgres

    @property
    def redis(self) -> Server:
        assert self._redis is not None, "Redis is not started"
        return self._redis

    async def start(self) -> None:
        """Both, and a migrated database to copy."""
        await asyncio.gather(self.start_postgres(), self.start_redis())
        await execute(self.postgres.url, f"create database {TEMPLATE} encoding 'UTF8' template template0")
        connection = await connect(on_database(self.postgres.url, TEMPLATE))
        await migrate(connection)
        await connection.close()

    def mount_disk(self) -> None:
        """Gives Postgres a disk that can be full; before it starts. Raises CannotMountError."""
        self.disk = mount(self.directory / "disk")

    async def stop(self) -> None:
        """Ends both at once: nobody wants their data any more."""
        if self._postgres is not None:
            await self.stop_postgres(signal.SIGQUIT)
        if self._redis is not None:
            await self.kill_redis()
        if self.disk is not None:
            self.disk.unmount()
        shutil.rmtree(self.directory)

    async def revive(self) -> None:
        """Starts what a test left dead, and empties Redis."""
        (self.directory / "dump.rdb").unlink(missing_ok=True)
        if self.postgres.process.poll() is not None:
            await self.start_postgres()
        if self.redis.process.poll() is not None:
            await self.start_redis()
        await self.flush_redis()

    async def new_database(self) -> str:
        """An empty, migrated database; returns its url."""
        name = f"faults_{secrets.token_hex(6)}"
        await execute(self.postgres.url, f"create database {name} template {TEMPLATE}")
        return on_database(self.postgres.url, name)

    async def drop_database(self, url: str) -> None:
        """With everybody who still uses it."""
        await execute(self.postgres.url, f"drop database {urlsplit(url).path[1:]} with (force)")

    async def start_postgres(self) -> None:
        """Starts it, again on its data where it was killed."""
        place = self.directory if self.disk is None else self.disk.path
        self._postgres = await embedded.start_postgres(
            place / "postgres",
            self.postgres_port,
            self.password,
            settings=embedded.THROWAWAY if self.disk is None else SMALL,
        )

    async def revive_postgres(self) -> str:
        """Waits until it serves after its disk was full, started again where it ended; says what had become of it."""
        began, crashed = time.monotonic(), False
        while not await self.postgres_answers():
            crashed = True
            if self.postgres.process.poll() is not None:
                await self.start_postgres()
                return "it ended"
            if time.monotonic() - began > BACK:
                raise TimeoutError("Postgres does not come back on a disk with room")
            await asyncio.sleep(0.05)
        return "it crashed and came back by itself" if crashed else "it went on"

    async def postgres_answers(self) -> bool:
        """Whether it lets us write."""
        try:
            await execute(self.postgres.url, "select pg_logical_emit_message(true, 'threadmill', 'there is room')")
        except AWAY:
            return False
        return True

    async def use_up_log(self) -> None:
        """On a full disk: goes on to new segments of the log until there is none, which is Postgres' death."""
        with suppress(*AWAY):
            for _ in range(SEGMENTS):
                await execute(
                    self.postgres.url,
                    "select pg_logical_emit_message(true, 'threadmill', 'another segment'), pg_switch_wal()",
                )

    async def kill_backend(self, url: str, chance: float) -> bool:
        """Ends one session of the service in a database, the one at `chance` (0..1) of them; whether there was one."""
        db = await connect(url, application_name="faults")
        try:
            rows = await db.fetch(
                "select pid from pg_stat_activity where datname = current_database()"
                " and application_name like 'threadmill%' order by pid"
            )
            if rows:
                await db.execute("select pg_terminate_backend($1)", rows[int(chance * len(rows))]["pid"])
            return bool(rows)
        finally:
            await db.close()

    async def stop_postgres(self, number: signal.Signals) -> None:
        """SIGQUIT: without a checkpoint and without a word to its clients. SIGINT: in good order, at once."""
        self.postgres.process.send_signal(number)
        await children.exited(self.postgres.process)

    async def start_redis(self) -> None:
        self._redis = await embedded.start_redis(self.directory, self.redis_port, self.password)

    async def kill_redis(self) -> None:
        self.redis.process.kill()
        await children.exited(self.redis.process)

    async def load_redis_slowly(self) -> None:
        """Kills it and starts it on a file that it takes some seconds to load; returns while it does."""
        async with Redis.from_url(self.redis.url) as client:
            await client.mset({f"ballast:{n}": os.urandom(1 << 20) for n in range(24)})
            await client.save()
        await self.kill_redis()
        slowly = b"key-load-delay 150000\n"  # microseconds; it looks around every 2 MB that it loaded
        command = replace(self.redis.command, stdin=self.redis.command.stdin + slowly)
        self._redis = Server(self.redis.url, command, children.spawn(command))

    async def redis_answers(self) -> bool:
        async with Redis.from_url(self.redis.url, socket_timeout=2) as client:
            try:
                return bool(await client.ping())
            except RedisError:
                return False

    async def flush_redis(self) -> None:
        async with Redis.from_url(self.redis.url, socket_timeout=2) as client:
            await client.flushall()
