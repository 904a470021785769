"""A primary and a standby that follows it, set up as docs/failover.md has it: to be killed and promoted."""

import asyncio
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from deploy import children, embedded, identity, ports
from deploy.children import Command
from deploy.embedded import Server
from deploy.ports import HOST
from shared.db.connect import connect
from tests.documented import documented
from tests.faults.waiting import until
from tests.servers import execute

COPIED = 60.0  # seconds for the copy of an empty cluster, on a busy machine


def settings_of(name: str, **words: object) -> dict[str, str]:
    """Lines `name = value` of the page."""
    lines = (line.partition("#")[0].strip() for line in documented(name, words).splitlines())
    pairs = (line.partition("=") for line in lines if line)
    return {key.strip(): value.strip().strip("'") for key, _, value in pairs}


@dataclass(slots=True)
class Pair:
    """Leaving the context ends both. `synchronous` false: what the page warns of."""

    directory: Path
    synchronous: bool = True
    password: str = field(default_factory=lambda: secrets.token_hex(8))
    _primary: Server | None = None
    _standby: Server | None = None

    async def __aenter__(self) -> "Pair":
        try:
            await self._begin()
        except BaseException:  # nobody else would end what was started
            await self.__aexit__()
            raise
        return self

    async def _begin(self) -> None:
        own = settings_of("postgresql.conf of the primary")
        waited_for = own.pop("synchronous_standby_names")  # once it follows: until then each commit would wait for it
        self._primary = await self._start("a", own)
        role = documented("as a superuser, on the primary", {"REPLICATION": self.password})
        await execute(self.primary.url, role)
        self._standby = await self._copy("b", self.primary)
        if self.synchronous:
            await execute(self.primary.url, f"alter system set synchronous_standby_names = '{waited_for}'")
            await execute(self.primary.url, "select pg_reload_conf()")
        await until("the standby is in step", self._in_step)

    async def __aexit__(self, *_: object) -> None:
        for server in (self._primary, self._standby):
            if server is not None and server.process.poll() is None:
                await children.end(server.process, server.command)

    @property
    def primary(self) -> Server:
        assert self._primary is not None
        return self._primary

    @property
    def standby(self) -> Server:
        assert self._standby is not None
        return self._standby

    @property
    def url(self) -> str:
        """Of both, as the service is told."""
        first, second = urlsplit(self.primary.url), urlsplit(self.standby.url)
        login, _, host = first.netloc.rpartition("@")
        hosts = f"{host},{second.netloc.rpartition('@')[2]}"
        return first._replace(netloc=f"{login}@{hosts}").geturl()

    async def kill_primary(self) -> None:
        """All its processes at once, without a word to anybody."""
        server = psutil.Process(self.primary.process.pid)
        server.suspend()  # first: it starts no other one then
        for process in (*server.children(recursive=True), server):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        await children.exited(self.primary.process)

    async def promote(self) -> None:
        await execute(self.standby.url, "select pg_promote()")

    async def restart_primary(self) -> None:
        """As what it was: nobody told it that there is another one."""
        own = settings_of("postgresql.conf of the primary")
        self._primary = await self._start("a", own, port_of(self.primary))

    def stop_sending(self) -> None:
        """From here on the primary's log stays where it is."""
        processes = psutil.Process(self.primary.process.pid).children()
        next(one for one in processes if "walsender" in " ".join(one.cmdline())).suspend()

    async def _in_step(self) -> bool:
        connection = await connect(self.primary.url)
        try:
            state = await connection.fetchval("select sync_state from pg_stat_replication where application_name = 'b'")
        finally:
            await connection.close()
        return bool(state == ("sync" if self.synchronous else "async"))

    async def _start(self, name: str, own: dict[str, str], port: int | None = None) -> Server:
        settings = {**embedded.THROWAWAY, **own}
        return await embedded.start_postgres(
            self.directory / name, port or ports.pick(), self.password, settings=settings
        )

    async def _copy(self, name: str, source: Server) -> Server:
        """`pg_basebackup`, as the page has it; then started as a standby."""
        target, where = self.directory / name, urlsplit(source.url)
        await asyncio.to_thread(target.mkdir, mode=0o700)
        programs = embedded.postgres_binaries()
        who = identity.choose(target, programs / "postgres")
        assert who is not None
        words = {"10.0.0.1": HOST, "5432": where.port, "REPLICATION": self.password, "/var/lib/postgresql/b": target}
        line = documented("pg_basebackup, on the standby", words).replace(
            "pg_basebackup", str(programs / "pg_basebackup")
        )
        log = self.directory / "basebackup.log"
        command = Command("pg_basebackup", ("/bin/sh", "-c", line), log=log, become=who.become)
        process = children.spawn(command)
        try:
            assert await children.exited(process, COPIED)
        finally:
            await children.end(process, command)
        assert process.returncode == 0, log.read_text()
        return await self._start(name, settings_of("postgresql.conf of the standby"))


def port_of(server: Server) -> int:
    port = urlsplit(server.url).port
    assert port is not None
    return port
