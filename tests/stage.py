"""A service whose threads move only when they are told to, and clients that follow their streams."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from shared import ids
from shared.db.connect import Line
from shared.ids import RunId, ThreadId
from shared.keys import Keys
from shared.queue import Queue, open_redis
from shared.reports import RunLeased, RunnerEvent, RunStarted
from shared.settings import Settings
from tests.driver import ALL, drain_all, report
from tests.pipeline import PARTITIONS
from tests.service import Client, Service, running_service
from worker.apply import Drainer

SOON = 5.0  # seconds in which what was written must have come
DELTA = "agent.message.delta"


@dataclass(frozen=True, slots=True)
class Heard:
    name: str
    id: str | None
    data: Any


@dataclass(slots=True)
class Follower:
    """One client of a stream: takes it apart, by the rules of server-sent events."""

    response: aiohttp.ClientResponse
    comments: list[str] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)

    async def next(self, timeout: float = SOON) -> Heard | None:
        """The next event; None where the stream ends."""
        async with asyncio.timeout(timeout):
            fields: dict[str, str] = {}
            while line := (await self.response.content.readline()).decode().removesuffix("\n"):
                name, _, value = line.partition(":")
                if name:
                    assert name not in fields, "data is one line"
                    fields[name] = value.removeprefix(" ")
                else:
                    self.comments.append(value.removeprefix(" "))
            if not fields:
                return None if self.response.content.at_eof() else await self.next(timeout)
        event = Heard(fields["event"], fields.get("id"), json.loads(fields["data"]))
        self.heard.append(event)
        return event

    async def event(self) -> dict[str, Any]:
        """The next event of the thread."""
        heard = await self.next()
        assert heard is not None
        assert heard.name == "thread.event", heard
        assert heard.id == heard.data["id"]
        event: dict[str, Any] = heard.data
        return event

    async def events(self, number: int) -> list[dict[str, Any]]:
        return [await self.event() for _ in range(number)]

    async def error(self) -> tuple[str, str]:
        """Code and message of the error that comes next, which is the last thing to come."""
        heard = await self.next()
        assert heard is not None
        assert (heard.name, heard.id, set(heard.data)) == ("thread.error", None, {"error"})
        assert await self.next() is None
        return heard.data["error"]["code"], heard.data["error"]["message"]

    async def rest(self) -> list[dict[str, Any]]:
        """All that comes until the stream ends."""
        while await self.next() is not None:
            pass
        return [heard.data for heard in self.heard if heard.name == "thread.event"]

    async def connected(self) -> None:
        assert await self.response.content.readline() == b": connected\n"
        assert await self.response.content.readline() == b"\n"


@asynccontextmanager
async def following(client: Client, thread: str, query: str = "", **headers: str) -> AsyncIterator[Follower]:
    """An open stream, behind its `: connected`."""
    fields = {"Authorization": f"Bearer {client.token}"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    url = f"{client.url}/api/v1/threads/{thread}/events/stream{query}"
    timeout = aiohttp.ClientTimeout(total=None)
    async with client.session.get(url, headers=fields, timeout=timeout) as response:
        assert response.status == 200, await response.text()
        follower = Follower(response)
        await follower.connected()
        yield follower


@dataclass(slots=True)
class Stage:
    service: Service
    drainer: Drainer
    line: Line
    queue: Queue

    async def thread(self, client: Client, text: str | None = None) -> ThreadId:
        reply = await client.create(text, Prefer="respond-async")
        assert reply.status == 201, reply
        await self.drain()
        return ThreadId(reply.json["thread"]["id"])

    async def executing(self, client: Client) -> tuple[ThreadId, RunId]:
        """A thread whose first run executes."""
        thread = await self.thread(client, "hello")
        run = RunId(await self.service.pool.fetchval("select last_run_id from threads where id = $1", thread))
        await self.report(thread, RunLeased(run), RunStarted(run))
        return thread, run

    async def send(self, client: Client, thread: str, *events: dict[str, Any]) -> None:
        assert (await client.send(thread, *events, Prefer="respond-async")).status == 200
        await self.drain()

    async def drain(self) -> None:
        """Applies what waits and tells who follows, as a worker does."""
        drains = await drain_all(self.drainer, ALL)
        await self.queue.tell({}, [], {}, {thread for drained in drains for thread in drained.changed})

    async def report(self, thread: ThreadId, *events: RunnerEvent, tell: bool = True) -> None:
        """What a runner reports, and a notice of it."""
        await report(await self.line.get(), thread, *events)
        if tell:
            await self.queue.tell({}, [], {}, [thread])

    async def say(self, thread: ThreadId, run: RunId, texts: Sequence[str], *, tell: bool = True) -> None:
        """Deltas of a run's one message, written by hand: nothing that appends them is part of these tests."""
        place = (ids.partition_of(thread, PARTITIONS), thread)
        db = await self.line.get()
        async with db.transaction():
            row = await db.fetchrow(
                "select last_event_id, clock_timestamp() as now from threads where partition = $1 and id = $2"
                " for no key update",
                *place,
            )
            made = [max(ids.at(row["now"]), ids.successor(row["last_event_id"] or "0" * 26))]
            while len(made) < len(texts):
                made.append(ids.successor(made[-1]))
            await db.execute(
                "insert into thread_events (partition, thread, id, run, message, type, content, occurred_at)"
                " select $1, $2, id, $3, $3, $7, text, $6 from unnest($4::uuid[], $5::text[]) as d (id, text)",
                *(*place, run, made, texts, row["now"], DELTA),
            )
            await db.execute("update threads set last_event_id = $3 where partition = $1 and id = $2", *place, made[-1])
        if tell:
            await self.queue.tell({}, [], {}, [thread])

    async def text(self, thread: str) -> str:
        """All that the deltas of a thread say."""
        text: str = await self.service.pool.fetchval(
            "select string_agg(content, '' order by id) from thread_events where thread = $1 and type = $2",
            *(thread, DELTA),
        )
        return text or ""


def said(events: Sequence[dict[str, Any]]) -> str:
    """What the deltas among these events say."""
    return "".join(event["content"] for event in events if event["type"] == DELTA)


@asynccontextmanager
async def running_stage(settings: Settings) -> AsyncIterator[Stage]:
    """An api, and a worker by hand."""
    quiet = settings.model_copy(update={"ring": False})
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(running_service(quiet, worker=False))
        drainer, line = Drainer(quiet), Line(settings.database_url)
        stack.push_async_callback(drainer.close)
        stack.push_async_callback(line.close)
        queue = Queue(open_redis(settings.redis_url, 1.0), Keys(settings.redis_prefix))
        stack.push_async_callback(queue.close)
        yield Stage(service, drainer, line, queue)


async def until_said(follower: Follower, text: str) -> None:
    """Reads until the deltas that came say all of a text."""
    while len(heard := said([heard.data for heard in follower.heard])) < len(text):
        await follower.event()
    assert heard == text
