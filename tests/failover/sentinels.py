"""A master, replicas and three sentinels of Debian's, with passwords, as docs/failover.md has them."""

import secrets
import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from redis.asyncio import Redis

from deploy import children, ports
from deploy.children import Command, Process
from shared.queue import AWAY
from shared.redis_urls import Address
from shared.sentinel import NoMasterError, Sentinels, sentinels_of
from tests.documented import documented
from tests.faults.waiting import until

HOST = "127.0.0.1"
NAME = "mymaster"
REDIS, SENTINEL = shutil.which("redis-server"), shutil.which("redis-sentinel")
DOWN_AFTER_MS = 1_000  # of silence until a sentinel believes that the master is gone


@dataclass(slots=True)
class One:
    """A process that may be killed and started again."""

    port: int
    command: Command
    process: Process

    async def kill(self) -> None:
        self.process.kill()
        await children.exited(self.process)

    def start(self) -> None:
        self.process = children.spawn(self.command)


@dataclass(slots=True)
class Group:
    """Leaving the context ends all of it."""

    directory: Path
    replicas: int = 2
    password: str = field(default_factory=lambda: secrets.token_hex(8))
    guard: str = field(default_factory=lambda: secrets.token_hex(8))  # of the sentinels
    servers: list[One] = field(default_factory=list)
    sentinels: list[One] = field(default_factory=list)

    async def __aenter__(self) -> "Group":
        try:
            await self._begin()
        except BaseException:  # nobody else would end what was started
            await self.__aexit__()
            raise
        return self

    async def _begin(self) -> None:
        first = ports.pick()
        self.servers.append(self._server(first))
        for _ in range(self.replicas):
            more = documented(
                "redis.conf, one line more on the second and on the third machine", {"10.0.0.1": HOST, "6379": first}
            )
            self.servers.append(self._server(ports.pick(), more))
        await until("replicas are in step", self._in_step)
        self.sentinels += [self._sentinel(ports.pick(), first) for _ in range(3)]
        await until("sentinels know each other", self._met, 30)

    async def __aexit__(self, *_: object) -> None:
        for one in (*self.sentinels, *self.servers):
            one.process.send_signal(signal.SIGKILL)
            await children.exited(one.process)

    @property
    def url(self) -> str:
        hosts = ",".join(f"{HOST}:{one.port}" for one in self.sentinels)
        return f"redis+sentinel://:{self.password}@{hosts}/{NAME}/0?sentinel_password={self.guard}"

    @property
    def known(self) -> Sentinels:
        return sentinels_of(self.url)

    async def master(self) -> Address | None:
        with suppress(NoMasterError):
            return await self.known.ask()
        return None

    def at(self, address: Address) -> One:
        return next(one for one in self.servers if one.port == address[1])

    def client(self, one: One, *, guarded: bool = False) -> Redis:
        """Straight to it, past the sentinels."""
        password = self.guard if guarded else self.password
        return Redis(host=HOST, port=one.port, password=password, socket_timeout=2, decode_responses=True)

    async def promoted(self, former: Address, within: float) -> One:
        """Waits until the sentinels name another master that is one; returns it."""

        async def other() -> bool:
            address = await self.master()
            return address not in {None, former} and await self._role(self.at(address)) == "master"

        await until("another master is promoted", other, within)
        address = await self.master()
        assert address is not None
        return self.at(address)

    async def _role(self, one: One) -> str:
        with suppress(*AWAY):
            async with self.client(one) as client:
                return str((await client.info("replication"))["role"])
        return "away"

    async def _in_step(self) -> bool:
        with suppress(*AWAY):
            async with self.client(self.servers[0]) as client:
                told = await client.info("replication")
                return all(told.get(f"slave{n}", {}).get("state") == "online" for n in range(self.replicas))
        return False

    async def _met(self) -> bool:
        """Whether each knows two others and all replicas, so that a fail-over may begin."""
        words = await self.known.words(1, 1)
        if any(word.error or word.replicas < self.replicas for word in words):
            return False
        for one in self.sentinels:
            async with self.client(one, guarded=True) as client:
                with suppress(*AWAY):
                    if len(await client.sentinel_sentinels(NAME)) < 2:
                        return False
        return True

    @property
    def _values(self) -> dict[str, object]:
        return {"10.0.0.1": HOST, "PASSWORD": self.password, "GUARD": self.guard}

    def _server(self, port: int, more: str = "") -> One:
        assert REDIS is not None
        lines = documented("redis.conf", {**self._values, "6379": port}).splitlines()
        kept = [line for line in lines if self.replicas > 1 or not line.startswith("min-replicas")]  # as it says there
        return self._start(f"redis-{port}", REDIS, port, "\n".join([*kept, more]))

    def _sentinel(self, port: int, master: int) -> One:
        assert SENTINEL is not None
        text = documented("sentinel.conf", {**self._values, "6379": master, "26379": port})
        return self._start(f"sentinel-{port}", SENTINEL, port, text)

    def _start(self, name: str, program: str, port: int, configuration: str) -> One:
        path = self.directory / f"{name}.conf"  # both write into it what they learn
        path.write_text(f"{configuration}\ndir {self.directory}\n")
        command = Command(name, (program, str(path)), log=self.directory / f"{name}.log")
        return One(port, command, children.spawn(command))
