"""Apis and workers on several hosts, over servers that stand on another one.

A `Place` is where a process runs: a host of a `Network`, or an address of the loopback network where there is none.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from deploy import children, embedded
from deploy.children import Command
from deploy.embedded import Server
from tests.faults.processes import ROOT, Member, Stack
from tests.faults.servers import Servers
from tests.hosts.network import SERVERS


class Place(Protocol):
    @property
    def front(self) -> str:
        """The address that its processes listen at."""

    @property
    def enter(self) -> tuple[str, ...]:
        """Begins the command line of what runs there."""


@dataclass(frozen=True, slots=True)
class Loopback:
    """A host that is only an address of its own: 127.0.0.2, 127.0.0.3 and so on."""

    front: str
    enter: tuple[str, ...] = ()


@dataclass(slots=True)
class ServersApart(Servers):
    """Servers that hosts of a network reach, at its end."""

    async def start_postgres(self) -> None:
        doors = self.directory / "doors"  # as `pg_hba.conf`, which would let in this host alone
        doors.write_text("host all all 0.0.0.0/0 scram-sha-256\n", encoding="ascii")
        settings = {**embedded.THROWAWAY, "listen_addresses": f"127.0.0.1,{SERVERS}", "hba_file": str(doors)}
        self._postgres = await embedded.start_postgres(
            self.directory / "postgres", self.postgres_port, self.password, settings=settings
        )

    async def start_redis(self) -> None:
        """Started a second time: the first knows one address only."""
        await Servers.start_redis(self)
        await self.kill_redis()
        text = self.redis.command.stdin.replace(b"bind 127.0.0.1", f"bind 127.0.0.1 {SERVERS}".encode())
        command = replace(self.redis.command, stdin=text)
        self._redis = Server(self.redis.url, command, children.spawn(command))


@dataclass(slots=True)
class Cluster(Stack):
    """A stack whose members each have a place; `servers_at` is the address that they reach the servers at."""

    servers_at: str = "127.0.0.1"
    first_port: int = 18_000  # each member has the next one, wherever it runs
    places: dict[str, Place] = field(default_factory=dict)  # by the names of members

    def api_at(self, place: Place, **settings: str) -> Member:
        port = self.first_port + len(self.members)
        own = {"host": place.front, "port": str(port), **settings}
        member = self._start(f"api-{len(self.apis)}", ("api",), place, port, own)
        self.apis.append(member)
        return member

    def worker_at(self, place: Place, role: str = "apply", **settings: str) -> Member:
        port = self.first_port + len(self.members)
        own = {"worker_host": place.front, "worker_port": str(port), **settings}
        member = self._start(f"worker-{len(self.workers)}", ("worker", "--role", role), place, port, own)
        self.workers.append(member)
        return member

    def at(self, place: Place) -> list[Member]:
        """All that run there."""
        return [member for member in self.members if self.places[member.name] is place]

    def _start(
        self, name: str, module: tuple[str, ...], place: Place, port: int, settings: Mapping[str, str]
    ) -> Member:
        env = {
            **{key: value for key, value in os.environ.items() if not key.startswith("THREADMILL_")},
            "DATABASE_URL": self.database_url.replace("127.0.0.1", self.servers_at),
            "REDIS_URL": self.redis_url.replace("127.0.0.1", self.servers_at),
            "PYTHONPATH": str(ROOT),
            "THREADMILL_ENV": "test",
            "THREADMILL_FILES": str(self.servers.directory / "files"),
            **{f"THREADMILL_{key.upper()}": value for key, value in settings.items()},
        }
        log = self.servers.directory / f"{name}-{Path(self.database_url).name}.log"
        command = Command(name, (*place.enter, sys.executable, "-m", *module), env=env, log=log)
        self.places[name] = place
        return Member(name, f"http://{place.front}:{port}", command, children.spawn(command))


def on_hosts(servers: Servers, database_url: str, first_port: int = 18_000) -> Cluster:
    """A cluster whose places are hosts of a network."""
    return Cluster(servers, database_url, servers.redis.url, servers_at=SERVERS, first_port=first_port)
