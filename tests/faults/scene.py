"""A stack with a client of its own: what a test of one fault sends, and the checker's word on all of it."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg
import psutil

from tests.faults.checker import check
from tests.faults.clients import Sender, chance
from tests.faults.history import Document, Request, created
from tests.faults.processes import Access, Member, Stack
from tests.faults.quiet import quiet_of
from tests.faults.waiting import until

ASYNC = "respond-async"
RUNG_FOR = 'threadmill_applied_batches_total{via="arq"}'


@dataclass(slots=True)
class Scene:
    stack: Stack
    db: asyncpg.Connection  # the test's own, past every fault
    thread: str
    agent: str
    token: str
    rng: random.Random = field(default_factory=lambda: chance(1))
    history: list[Request] = field(default_factory=list)
    threads: list[str] = field(default_factory=list)  # that it made

    def sender(self, *apis: Member) -> Sender:
        return Sender(self.stack.session, [api.url for api in apis or self.stack.apis], self.token, self.rng)

    def request(self, *events: Document, thread: str | None = None, keyed: bool = True) -> Request:
        """A new batch, one message where no events are given; it joins the history."""
        marker = f"m0-{len(self.history)}"
        chosen = events or ({"type": "user_message", "text": f"say {marker}"},)
        request = Request(thread or self.thread, marker, chosen, f"key {marker}" if keyed else None)
        self.history.append(request)
        return request

    async def reconnect(self) -> None:
        """After a fault that cost the test its own connection too."""
        self.db.terminate()
        self.db = await self.stack.database()

    async def new_thread(self, api: Member) -> str:
        self.threads.append(await self.sender(api).create_thread(self.agent))
        return self.threads[-1]

    async def applied(self, request: Request) -> bool:
        return (await self.age(request)) is not None

    async def age(self, request: Request) -> float | None:
        """Seconds from accepted to applied, by Postgres' clock; None while it waits."""
        age: float | None = await self.db.fetchval(
            "select extract(epoch from b.applied_at - b.accepted_at)::float8 from batches b"
            " join idempotency_keys k on k.partition = b.partition and k.batch = b.id where k.key = $1",
            request.key,
        )
        return age

    async def settled(self, *requests: Request, within: float = 20.0) -> list[float]:
        """Waits until they are applied; their ages then."""
        for request in requests:
            await until(f"{request.marker} is applied", lambda r=request: self.applied(r), within)  # type: ignore[misc]  # the default binds
        return [age for request in requests if (age := await self.age(request)) is not None]

    async def metric(self, name: str) -> float:
        """A figure of the first worker, by its name with its labels; 0 where it counted nothing yet."""
        return await self.stack.figure(self.stack.workers[0], name)

    async def bell_works(self) -> bool:
        """Whether one more batch reaches a worker by its bell, and its outcome the api."""
        before, request = await self.metric(RUNG_FOR), self.request()
        await self.sender().settle(request)
        return await self.metric(RUNG_FOR) > before

    async def count(self, table: str = "batches") -> int:
        return int(await self.db.fetchval(f"select count(*) from {table}"))  # noqa: S608 - a name of ours

    async def violations(self) -> list[str]:
        """What the checker finds once all is quiet."""
        async with quiet_of(self.stack) as quiet:
            await quiet.settle()
            found = await quiet.tables()
        checked = check(self.history, found, creations=created(*self.threads))
        return [str(violation) for violation in (*quiet.violations, *checked)]


async def is_stopped(member: Member) -> bool:
    """Whether it stands still (SIGSTOP)."""
    return bool(psutil.Process(member.process.pid).status() == psutil.STATUS_STOPPED)


@asynccontextmanager
async def scene(stack: Stack, access: Access | None = None) -> AsyncIterator[Scene]:
    """Once every process of the stack is ready: an empty thread, made by its first api."""
    known = access or await stack.access()
    await stack.ready()
    made = Scene(stack, await stack.database(), "", known.agent, known.token)
    try:
        made.thread = await made.new_thread(stack.apis[0])
        yield made
    finally:
        await made.db.close()
