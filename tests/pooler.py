"""A PgBouncer of Debian's in transaction mode, configured as docs/failover.md has it."""

import asyncio
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from deploy import children, identity, ports
from deploy.children import Command, Process
from shared.db.connect import AWAY, connect
from tests.documented import documented
from tests.faults.waiting import until
from tests.servers import on_database

HOST = "127.0.0.1"
PROGRAM = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin:/usr/local/sbin")
MISSING = "pgbouncer is missing: apt-get install pgbouncer"


@dataclass(slots=True)
class Pooler:
    url: str  # of the database that it was started for; others go the same way
    command: Command
    process: Process

    def to(self, name: str) -> str:
        return on_database(self.url, name)

    async def kill(self) -> None:
        self.process.kill()
        await children.exited(self.process)

    async def start(self) -> None:
        self.process = children.spawn(self.command)
        await until("PgBouncer answers", self._answers)

    async def stop(self) -> None:
        await children.end(self.process, self.command)

    async def _answers(self) -> bool:
        with suppress(*AWAY, asyncpg.PostgresError):
            connection = await connect(self.url)
            await connection.close(timeout=1)
            return True
        return False


async def start_pooler(directory: Path, database_url: str, *, every_database: bool = False, mode: str = "") -> Pooler:
    """In front of the server of `database_url`. `directory` is its own. `mode`: another one than the page has."""
    if PROGRAM is None:
        raise FileNotFoundError(MISSING)
    server, port = urlsplit(database_url), ports.pick()
    assert server.username
    assert server.password
    await asyncio.to_thread(directory.mkdir, exist_ok=True)
    words = {"10.0.0.4": HOST, "6432": port, "10.0.0.1": server.hostname, "5432": server.port}
    text = documented("pgbouncer.ini", {**words, "/etc/pgbouncer/userlist.txt": directory / "userlist.txt"})
    name = server.path.removeprefix("/")
    named = ("* =", " ") if every_database else (f"{name} =", f" dbname={name} ")
    text = text.replace("threadmill =", named[0]).replace(" dbname=threadmill ", named[1])
    if mode:
        text = text.replace("pool_mode = transaction", f"pool_mode = {mode}")
    (directory / "pgbouncer.ini").write_text(text)
    users = documented("userlist.txt", {"threadmill": server.username, "PASSWORD": server.password})
    (directory / "userlist.txt").write_text(users)
    who = identity.choose(directory, Path(PROGRAM))  # it refuses to be root
    assert who is not None
    become = who.become
    argv = (PROGRAM, str(directory / "pgbouncer.ini"))
    command = Command("pgbouncer", argv, log=directory / "pgbouncer.log", become=become)
    url = server._replace(netloc=f"{server.username}:{server.password}@{HOST}:{port}", query="pgbouncer=true").geturl()
    pooler = Pooler(url, command, children.spawn(command))
    try:
        await until("PgBouncer answers", pooler._answers)
    except BaseException:  # nobody else would end it
        await pooler.stop()
        raise
    return pooler
