"""The service as processes of the operating system: apis and workers that can be killed, stopped, started again."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import aiohttp
import asyncpg

from deploy import children, ports
from deploy.children import Command, Process
from shared import accounts, agents
from shared.db.connect import connect
from shared.models import TokenKind
from tests.faults.servers import Servers
from tests.faults.waiting import until

ROOT = Path(__file__).parents[2]
FAKETIME = next(Path("/usr/lib").glob("*-linux-gnu/faketime/libfaketime.so.1"), Path("/nowhere"))  # Debian's


@dataclass(slots=True)
class Member:
    """One api or worker; `url` is where it answers `/readyz`, before and after a restart."""

    name: str
    url: str
    command: Command
    process: Process
    deaths: int = 0
    clock: int = 0  # seconds that it is ahead

    @property
    def log(self) -> str:
        """What it wrote so far."""
        assert self.command.log is not None
        return self.command.log.read_text(encoding="utf-8", errors="replace")

    @property
    def lives(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def kill(self) -> None:
        self.signal(signal.SIGKILL)
        await children.exited(self.process)

    def restart(self, clock: int | None = None) -> None:
        """The same process once more, or with a clock that is `clock` seconds ahead."""
        self.deaths += 1
        self.clock = self.clock if clock is None else clock
        self.process = children.spawn(with_clock(self.command, self.clock))

    async def died(self, within: float = 20.0) -> int:
        """The exit code of a process that ends by itself."""
        assert await children.exited(self.process, within), f"{self.name} lives"
        return int(self.process.returncode)


@dataclass(frozen=True, slots=True)
class Access:
    """A token and an agent to send batches with."""

    token: str
    agent: str


@dataclass(slots=True)
class Stack:
    """Processes over one database. Leaving the context ends them all."""

    servers: Servers
    database_url: str
    redis_url: str
    ways: dict[str, tuple[str, str]] = field(default_factory=dict)  # name -> its own urls of both, where it has some
    root: Path = ROOT  # the sources of what is started
    session: aiohttp.ClientSession = field(init=False)
    apis: list[Member] = field(default_factory=list)
    workers: list[Member] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))  # streams stay open
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()
        for member in self.members:
            if member.process.poll() is None:
                member.process.kill()
            await children.exited(member.process)

    @property
    def members(self) -> list[Member]:
        return [*self.apis, *self.workers]

    def api(self, clock: int = 0, **settings: str) -> Member:
        """Starts one, with settings by their names, such as `testing`; its clock is `clock` seconds ahead."""
        port = ports.pick()
        member = self._spawn(f"api-{len(self.apis)}", ("api",), clock, port, {"port": str(port), **settings})
        self.apis.append(member)
        return member

    def worker(self, clock: int = 0, role: str = "apply", **settings: str) -> Member:
        port, argv = ports.pick(), ("worker", "--role", role)
        own = {"worker_port": str(port), **settings}
        member = self._spawn(f"worker-{len(self.workers)}", argv, clock, port, own)
        self.workers.append(member)
        return member

    async def ready(self, *members: Member, within: float = 30.0) -> None:
        """Waits until each says that it can do its work."""
        await asyncio.gather(
            *(until(f"{m.name} is ready", lambda m=m: self.is_ready(m), within) for m in members or self.members)  # type: ignore[misc]  # the default binds
        )

    async def is_ready(self, member: Member) -> bool:
        return await self.readiness(member) is not None

    async def readiness(self, member: Member) -> str | None:
        """What `/readyz` calls its status; None where it is not 200."""
        try:
            timeout = aiohttp.ClientTimeout(total=3)
            async with self.session.get(f"{member.url}/readyz", timeout=timeout) as response:
                document = await response.json()
                return str(document["status"]) if response.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError):  # what can't be read is not ready
            return None

    async def figure(self, member: Member, name: str) -> float:
        """A figure of a process, over all of its labels where `name` has none; 0 where it counted nothing yet. Raises
        TimeoutError or aiohttp.ClientError."""
        async with self.session.get(f"{member.url}/metrics", timeout=aiohttp.ClientTimeout(total=3)) as response:
            lines = (line.rpartition(" ") for line in (await response.text()).splitlines())
        return sum(float(value) for line, _, value in lines if name in (line, line.partition("{")[0]))

    async def is_alive(self, member: Member) -> bool:
        """Whether it answers at all, whatever is away."""
        try:
            timeout = aiohttp.ClientTimeout(total=3)
            async with self.session.get(f"{member.url}/healthz", timeout=timeout) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def database(self) -> asyncpg.Connection:
        """A connection of the test's own, not named as the service's are."""
        return await connect(self.database_url, application_name="faults")

    async def access(self, name: str = "acme", function: str | None = None, at_once: int | None = None) -> Access:
        """An account with a token and a published agent: of a Python `function`, of whose runs a worker executes so
        many at once; without one, of a runner that nobody has.
        """
        runner, config = ("python", {"function": function}) if function else ("echo", {})
        db = await self.database()
        try:
            account = await accounts.create_account(db, name)
            token = await accounts.create_token(db, account.id, TokenKind.HUMAN_PAT)
            await db.execute("update accounts set concurrency = $2 where id = $1", account.id, at_once)
            agent = await agents.create_agent(db, account.id, "echo", runner, config=config, published=True)
        finally:
            await db.close()
        return Access(token.secret.text, agent.id)

    def last_words(self) -> str:
        """What each process wrote last, and its exit code."""
        return "\n".join(f"{m.name} ({m.process.poll()}):\n{m.log[-2000:]}" for m in self.members)

    def _spawn(self, name: str, module: tuple[str, ...], clock: int, port: int, settings: Mapping[str, str]) -> Member:
        database_url, redis_url = self.ways.get(name, (self.database_url, self.redis_url))
        env = {
            **{key: value for key, value in os.environ.items() if not key.startswith("THREADMILL_")},
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "PYTHONPATH": str(self.root),
            "PYTHONSAFEPATH": "1",  # and not those where the tests are run
            "THREADMILL_ENV": "test",
            **{f"THREADMILL_{key.upper()}": value for key, value in settings.items()},
        }
        log = self.servers.directory / f"{name}-{port}.log"
        command = Command(name, (sys.executable, "-m", *module), env=env, log=log)
        return Member(
            name, f"http://127.0.0.1:{port}", command, children.spawn(with_clock(command, clock)), clock=clock
        )


def clock_by() -> str:
    """What turns clocks on this machine: libfaketime's is the whole process', that of `skewed.py` Python's alone."""
    return "libfaketime" if FAKETIME.exists() else "skewed.py"


def with_clock(command: Command, clock: int) -> Command:
    """The same `python -m …`, its clock `clock` seconds ahead: by libfaketime, else by `skewed.py`."""
    if not clock:
        return command
    if FAKETIME.exists():
        faked = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": f"{clock:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        return replace(command, env={**(command.env or {}), **faked})
    program, _, *module = command.argv
    return replace(command, argv=(program, "-m", "tests.faults.skewed", str(clock), *module))
