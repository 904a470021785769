"""The mixed load of the soak: every sort of client there is, each at its own pace, at apis and servers that fail.

What a fault disturbs is counted and begun anew: here nobody looks whether an answer is right, other tests do. But a
sort of client that hardly ever gets through would soak nothing, so what came of each is told.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

import aiohttp
import asyncpg

from tests.contract.cortex_client import Cortex
from tests.contract.dialects import ASKS, Dialect
from tests.contract.dialects.cortex import CortexThreads
from tests.contract.dialects.mosoo import Mosoo
from tests.contract.dialects.openai import OpenAI
from tests.faults.clients import Load, Sender, chance
from tests.hostile import REQUESTS, exchange, to_events
from tests.service import Client, message, upload
from tests.stage import following

DISTURBED = (AssertionError, aiohttp.ClientError, OSError, TimeoutError, ValueError, LookupError, StopAsyncIteration)
TALK = 20.0  # seconds for one conversation: what takes longer was lost to a fault
THREADS = 100  # of the native load
BATCHES = 8.0  # a second of the native load
FILE = 200_000  # bytes
STAY = (0.0, 6.0)  # seconds for which a client of a stream stays


@dataclass(slots=True)
class Mix:
    """`pace` 1.0 keeps some 40 % of a core of two cores busy, all processes together."""

    clients: list[Client]  # one for each api, of an account whose agent is `echo`
    approve: Client  # its agent asks for permissions
    apart: Client  # its agent runs in processes of their own
    db: asyncpg.Pool
    pace: float = 1.0
    seed: int = 1
    threads: list[str] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    disturbed: Counter[str] = field(default_factory=Counter)

    @property
    def sorts(self) -> list[str]:
        return ["batches", *self._talks()]

    async def run(self, seconds: float) -> None:
        """All of them, for so long; then what is under way ends, and every connection."""
        async with aiohttp.ClientSession() as session:
            self.clients = [replace(client, session=session) for client in self.clients]
            self.approve, self.apart = (replace(client, session=session) for client in (self.approve, self.apart))
            await self._run(session, seconds)

    async def _run(self, session: aiohttp.ClientSession, seconds: float) -> None:
        rng, until = chance(self.seed), time.monotonic() + seconds
        if not self.threads:
            self.threads = [await self.clients[0].new_thread() for _ in range(THREADS)]
        load = Load(
            sender=Sender(session, [client.url for client in self.clients], self.clients[0].token, chance(self.seed)),
            threads=self.threads,
            seed=rng.randrange(1_000_000),
            batches=100_000_000,
            clients=16,
            pace=BATCHES * self.pace,
            seconds=seconds,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(load.run())
            for name, (every, talk) in self._talks().items():
                group.create_task(self._repeat(name, every / self.pace, talk, until))
        self.done["batches"] += sum(sent.acknowledged for sent in load.history)
        self.disturbed["batches"] += load.sender.retries
        self.seed += 1

    def _talks(self) -> dict[str, tuple[float, Callable[[], Awaitable[object]]]]:
        """Seconds between two of a sort, and what it does."""
        return {
            "native": (2.0, lambda: self._converse(Mosoo(self._client()))),
            "cortex": (2.0, lambda: self._converse(CortexThreads(Cortex(self._client()), self.db, "documented"))),
            "openai": (2.0, lambda: self._converse(OpenAI(self._client(), "v1"))),
            "approve": (3.0, self._decide),
            "apart": (4.0, lambda: self._converse(Mosoo(self._beside(self.apart)))),
            "stream": (0.25, self._look_in),
            "file": (2.0, self._bring_file),
            "read": (0.3, self._read),
            "hostile": (0.4, self._be_hostile),
        }

    async def _repeat(self, name: str, every: float, talk: Callable[[], Awaitable[object]], until: float) -> None:
        """One begins when it is due, whether the one before it is over or not."""
        async with asyncio.TaskGroup() as group:
            while time.monotonic() < until:
                group.create_task(self._once(name, talk))
                await asyncio.sleep(every * random.uniform(0.5, 1.5))  # noqa: S311 - no secret

    async def _once(self, name: str, talk: Callable[[], Awaitable[object]]) -> None:
        try:
            async with asyncio.timeout(TALK):
                await talk()
        except DISTURBED:
            self.disturbed[name] += 1
        else:
            self.done[name] += 1

    def _client(self) -> Client:
        return random.choice(self.clients)  # noqa: S311 - no secret

    def _beside(self, client: Client) -> Client:
        return replace(client, url=self._client().url)

    async def _converse(self, dialect: Dialect) -> None:
        """A thread from its beginning to its end."""
        thread = await dialect.create()
        for text in ("What is new?", "And what then?"):
            assert (await dialect.ask(thread, text)).state == "completed"
        await dialect.lines(thread, 3)
        await dialect.delete(thread)

    async def _decide(self) -> None:
        """A run that asks, and is allowed or interrupted."""
        dialect = Mosoo(self._beside(self.approve))
        thread = await dialect.create()
        asked = await dialect.ask(thread, "May you?")
        assert asked.state == ASKS
        assert asked.run is not None
        if random.random() < 0.5:  # noqa: S311 - no secret
            await dialect.decide(thread, asked.run, asked.asks[0], allow=True)
        else:
            await dialect.interrupt(thread, asked.run)
        await dialect.delete(thread)

    async def _look_in(self) -> None:
        """A stream of a busy thread, left after a while; one in four never reads it."""
        thread = random.choice(self.threads)  # noqa: S311 - no secret
        async with following(self._client(), thread) as follower:
            stay = asyncio.timeout(random.uniform(*STAY))  # noqa: S311 - no secret
            try:
                async with stay:
                    while random.random() < 0.75:  # noqa: S311 - no secret
                        await follower.event()
                    await asyncio.sleep(STAY[1])
            except TimeoutError:
                assert stay.expired()

    async def _bring_file(self) -> None:
        client = self._client()
        reply = await upload(client, random.randbytes(FILE))  # noqa: S311 - no secret
        assert reply.status == 201, reply
        file, thread = reply.json["file"]["id"], await client.new_thread()
        sent = await client.send(thread, message("Read this.", attachmentIds=[file]))
        assert sent.status == 200, sent
        assert (await client.call("GET", f"/files/{file}/content")).status == 200
        for path in (f"/files/{file}", f"/threads/{thread}"):
            await client.call("DELETE", path)

    async def _read(self) -> None:
        client, thread = self._client(), random.choice(self.threads)  # noqa: S311 - no secret
        for path in (f"/threads/{thread}", f"/threads/{thread}/events?limit=50", f"/agents/{client.agent}/threads"):
            assert (await client.call("GET", path)).status == 200

    async def _be_hostile(self) -> None:
        """Any of what may come, at a wrong or a right thread."""
        client, hostile = self._client(), random.choice(list(REQUESTS.values()))  # noqa: S311 - no secret
        data = to_events(hostile, client.token, random.choice(self.threads))  # noqa: S311 - no secret
        status, _ = await asyncio.to_thread(exchange, client.url, data)
        assert status == hostile.status
