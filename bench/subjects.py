"""The two things under test, seen the same way: the service, and the plain-arq baseline.

Both work on 10,000 threads, in databases of their own in one cluster. Only one of them runs at a time: an idle
arq worker that polls every 10 ms would cost the other one CPU.
"""

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import aiohttp
import asyncpg
from redis.asyncio import Redis

from bench.baseline.queue import QUEUE
from bench.load import LoadError
from bench.stack import Program, Stack
from deploy import ports
from shared import accounts, agents, ids
from shared.db.connect import connect
from shared.db.migrate import migrate
from shared.db.partitioned import part
from shared.db.statements import statements
from shared.ids import AccountId, TokenId
from shared.models import TokenKind

THREADS = 10_000
ECHO = "worker.runners.demo:echo"  # what the bench's agents run
HERE = Path(__file__).resolve().parent
SCHEMA = (HERE / "baseline" / "schema.sql").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Via:
    """Batches applied since the worker started, by what woke it."""

    arq: int = 0
    sweep: int = 0

    def since(self, before: "Via") -> "Via":
        return Via(self.arq - before.arq, self.sweep - before.sweep)

    @property
    def share(self) -> float | None:
        """Of those applied through arq, 0..1; None where nothing was counted."""
        return self.arq / (self.arq + self.sweep) if self.arq + self.sweep else None


@dataclass(frozen=True, slots=True)
class Owner:
    """An account, with a token to send by."""

    account: AccountId
    token_id: TokenId
    token: str


class Subject(ABC):
    """An api and a worker on a database of their own."""

    name: str
    tables: Mapping[str, str]  # the statements `empty_tables` and `reset_threads`

    def __init__(self, stack: Stack, database_url: str, db: asyncpg.Connection) -> None:
        self.stack = stack
        self.database_url = database_url
        self.db = db
        self.token = ""
        self.threads: Sequence[str] = []
        self.port = 0
        self.programs: dict[str, Program] = {}

    @property
    def roots(self) -> dict[str, int]:
        """The processes whose CPU counts, by name."""
        return {name: program.pid for name, program in self.programs.items()} | self.stack.roots

    @abstractmethod
    async def start(self) -> None:
        """Starts api and worker, and returns when both answer. Raises NotReady."""

    @abstractmethod
    async def busy(self) -> bool:
        """Whether something accepted is not applied yet."""

    async def via(self) -> Via:
        """What woke the worker, where it counts that."""
        return Via()

    async def reset(self) -> None:
        """Empties what batches left behind, so that every run starts from the same state."""
        await self.db.execute(self.tables["empty_tables"])
        await self.db.execute(self.tables["reset_threads"])
        await self.db.execute("vacuum analyze threads")

    async def forget_batches(self) -> None:
        """Empties the inbox alone: threads keep their past."""
        await self.db.execute("truncate batches")

    async def until_applied(self, patience: float) -> None:
        """Waits until nothing is left to apply. Raises TimeoutError."""
        await _until_over(self.busy, patience)

    async def stop(self) -> None:
        """Ends both programs; a second call does nothing."""
        programs, self.programs = self.programs, {}
        for program in programs.values():
            await program.stop()

    async def close(self) -> None:
        await self.stop()
        await self.db.close()

    def _launch(self, name: str, module: str, env: Mapping[str, str], *args: str) -> Program:
        log = self.stack.directory / f"{self.name}-{name}.log"
        path = os.pathsep.join(filter(None, (str(HERE.parent), os.environ.get("PYTHONPATH"))))
        shared = {"DATABASE_URL": self.database_url, "REDIS_URL": self.stack.redis.url, "PYTHONPATH": path}
        program = Program.start(name, module, log, {**os.environ, **shared, **env}, *args)
        self.programs[name] = program
        return program


class Baseline(Subject):
    name = "baseline"
    tables = statements("baseline", "bench")

    @classmethod
    async def prepare(cls, stack: Stack) -> "Baseline":
        """Its database with its threads."""
        url = await stack.create_database("baseline")
        db = await connect(url)
        await db.execute(SCHEMA)
        subject = cls(stack, url, db)
        subject.token = "mst_" + "b" * 43
        subject.threads = [ids.mint() for _ in range(THREADS)]
        await db.execute(cls.tables["add_threads"], subject.threads, ids.mint())
        return subject

    async def start(self) -> None:
        self.port = ports.pick()
        await self.stack.empty_redis()
        env = {"BENCH_PORT": str(self.port), "BENCH_TOKEN": self.token}
        api = self._launch("api", "bench.baseline.ingress", env)
        self._launch("worker", "bench.baseline.worker", {})
        await api.until_ready(f"http://127.0.0.1:{self.port}/readyz")

    async def busy(self) -> bool:
        async with Redis.from_url(self.stack.redis.url) as redis:
            return bool(await redis.zcard(QUEUE))


class Service(Subject):
    name = "service"
    tables = statements("service", "bench")
    owner: Owner
    partitions: int
    worker_port: int
    toggled = False  # whether the programs measure and log half of the time

    @classmethod
    async def prepare(cls, stack: Stack, url: str | None = None, parts: int | None = None) -> "Service":
        """Its database, migrated, with an account, a token, an agent and its threads; its tables parted, if at all."""
        url = url or stack.postgres.url
        db = await connect(url)
        await migrate(db)
        if parts is not None:
            await part(db, parts)
        await db.execute("set enable_seqscan = off")  # to ask whether something waits must not cost the subject CPU
        subject = cls(stack, url, db)
        subject.owner = await subject.add_owner("bench")
        subject.token = subject.owner.token
        subject.partitions = await db.fetchval(cls.tables["partitions"])
        subject.threads = await subject.add_threads(THREADS)
        return subject

    async def add_owner(self, name: str) -> Owner:
        """An account of its own, with a token."""
        account = await accounts.create_account(self.db, f"{name} {ids.mint()}")
        created = await accounts.create_token(self.db, account.id, TokenKind.HUMAN_PAT, "bench")
        return Owner(account.id, created.token.id, created.secret.text)

    async def add_threads(
        self,
        count: int,
        owner: Owner | None = None,
        places: Sequence[int] = (),
        function: str = ECHO,
        **config: float,
    ) -> list[str]:
        """More idle threads, of the bench's own account where none is given, with an agent of their own.

        `places` are the partitions of the first ones; the rest lie anywhere. `config` is for the agent's function.
        """
        owner = owner or self.owner
        how = {"function": function, **config}
        name = f"bench {ids.mint()}"
        agent = await agents.create_agent(self.db, owner.account, name, "python", config=how, published=True)
        threads: list[str] = [self._thread_in(place) for place in places]
        threads += [ids.mint() for _ in range(count - len(places))]
        everywhere = [self.partition_of(thread) for thread in threads]
        add = self.tables["add_threads"]
        await self.db.execute(add, everywhere, threads, owner.account, agent.id, owner.token_id)
        return threads

    async def add_batches(self, owner: Owner, thread: str, events: str, count: int) -> None:
        """So many batches of the same events wait, told to nobody: the sweep finds them."""
        add = self.tables["add_batches"]
        await self.db.execute(add, self.partition_of(thread), thread, owner.account, owner.token_id, events, count)

    def partition_of(self, thread: str) -> int:
        return ids.partition_of(thread, self.partitions)

    def _thread_in(self, place: int) -> str:
        """A new id that lies in this partition: one of 64 does."""
        return next(thread for thread in iter(ids.mint, None) if self.partition_of(thread) == place)

    async def start(self, role: str = "apply", **settings: str) -> None:
        """`role`: of the worker. Where applying is measured nothing is executed: the baseline does not, either.

        `settings`: more of the environment.
        """
        await self.start_worker(role, **settings)
        await self.start_api(**settings)

    async def start_api(self, **settings: str) -> None:
        self.port = ports.pick()
        api = self._run("api", {"THREADMILL_PORT": str(self.port), **settings})
        await api.until_ready(f"http://127.0.0.1:{self.port}/readyz")

    async def start_worker(self, role: str = "apply", **settings: str) -> None:
        self.worker_port = ports.pick()
        env = {"THREADMILL_WORKER_PORT": str(self.worker_port), **settings}
        worker = self._run("worker", env, "--role", role)
        await worker.until_ready(f"http://127.0.0.1:{self.worker_port}/readyz")

    def _run(self, program: str, env: Mapping[str, str], *args: str) -> Program:
        if not self.toggled:
            return self._launch(program, program, env, *args)
        env = {**env, "THREADMILL_BENCH": str(self.slices_of(program))}
        return self._launch(program, "bench.toggled", env, program, *args)

    def slices_of(self, program: str) -> Path:
        """Where a toggled program writes what its slices cost."""
        return self.stack.directory / f"{program}.slices"

    async def busy(self) -> bool:
        return bool(await self.db.fetchval(self.tables["waiting"]))

    async def until_settled(self, patience: float) -> None:
        """Waits until nothing is left that may be applied; what is held or parked stays. Raises TimeoutError."""
        await _until_over(partial(self.db.fetchval, self.tables["waiting_free"]), patience)

    async def until_executed(self, patience: float) -> None:
        """Waits until no run is left to execute. Raises TimeoutError."""
        await self.until_applied(patience)
        await _until_over(partial(self.db.fetchval, self.tables["executing"]), patience)

    async def ends(self) -> dict[str, int]:
        """How many runs there are, by status."""
        return {row["status"]: row["runs"] for row in await self.db.fetch(self.tables["ends"])}

    async def say_to(self, threads: Sequence[str]) -> None:
        """One message to each. Raises LoadError."""
        await self._send(threads, {"type": "user_message", "text": "Begin."})

    async def interrupt(self, threads: Sequence[str]) -> None:
        """Raises LoadError."""
        await self._send(threads, {"type": "user_interrupt"})

    async def _send(self, threads: Sequence[str], event: dict[str, str]) -> None:
        headers = {"Authorization": f"Bearer {self.token}", "Prefer": "respond-async"}
        async with aiohttp.ClientSession(f"http://127.0.0.1:{self.port}", headers=headers) as session:
            for thread in threads:
                async with session.post(f"/api/v1/threads/{thread}/events", json={"events": [event]}) as answer:
                    if answer.status != 200:
                        raise LoadError(f"{event['type']}: {answer.status} {await answer.text()}")

    async def via(self) -> Via:
        """From the worker's metrics: `threadmill_applied_batches_total{via="arq"|"sweep"}`."""
        url = f"http://127.0.0.1:{self.worker_port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            text = await answer.text()
        counts = {"arq": 0, "sweep": 0}
        for line in text.splitlines():
            if line.startswith("threadmill_applied_batches_total{"):
                labels, _, value = line.rpartition(" ")
                counts["arq" if 'via="arq"' in labels else "sweep"] += int(float(value))
        return Via(**counts)


async def _until_over(going_on: Callable[[], Awaitable[object]], patience: float) -> None:
    """Asks ten times a second: the subject is another process. Raises TimeoutError."""
    async with asyncio.timeout(patience):
        while await going_on():  # noqa: ASYNC110 - nothing in here would tell
            await asyncio.sleep(0.1)
