"""Clients that follow a thread's log by their cursor, in pieces: by pages of the history, or by a stream they leave.

What they put together only grows, so where it is the exact text at the end it was an exact prefix at each moment. That
ids only rise, and that nothing comes twice, is looked at with each entry.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType

import aiohttp
from aiohttp import ClientResponse
from pydantic_core import from_json

from tests.faults.executions.rows import DELTA, ENDS, Event
from tests.faults.executions.stage import Document, Stage

BEGINNING = "0" * 26
AGAIN = 0.25  # seconds before a client comes back to what is away
PAUSE = 0.05  # seconds between looks at the history
STREAM = "/events/stream"
SILENCE = 20.0  # seconds of a stream without even a comment, after which a client comes again


@dataclass(slots=True)
class Copy:
    """What one client put together of a thread's log, and where it is."""

    thread: str
    cursor: str = BEGINNING
    texts: dict[str, str] = field(default_factory=lambda: defaultdict(str))  # run -> what it said so far
    ended: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    entries: list[Document] = field(default_factory=list)

    def take(self, entry: Document) -> None:
        """The next entry that it was sent."""
        if entry["id"] <= self.cursor:
            self.faults.append(f"reader of {self.thread}: {entry['id']} came behind {self.cursor}")
        self.cursor = entry["id"]
        self.entries.append(entry)
        run = entry["runId"]
        if run in self.ended:
            self.faults.append(f"reader of {self.thread}: run {run} goes on behind its end: {entry['type']}")
        if entry["type"] == DELTA:
            self.texts[run] += entry["content"]
        elif entry["type"] in ENDS:
            self.ended.add(run)


def check_copy(copy: Copy, log: Sequence[Event]) -> Iterator[str]:
    """At each entry a client had all of its thread's log up to that id, and nothing else; at last, all of it."""
    had, texts, place = defaultdict[str | None, str](str), defaultdict[str | None, str](str), 0
    for entry in copy.entries:
        others = []
        while place < len(log) and log[place].id <= entry["id"]:
            event = log[place]
            if event.type == DELTA:
                texts[event.run] += event.content or ""
            else:
                others.append((event.id, event.type, event.run))
            place += 1
        own = (entry["id"], entry["type"], entry["runId"])
        if entry["type"] == DELTA:
            had[entry["runId"]] += entry["content"]
        if others != ([] if entry["type"] == DELTA else [own]) or had != texts:
            yield f"reader of {copy.thread}: had {own} and not just what the log holds so far: {others}"
            return
    if place < len(log):
        yield f"reader of {copy.thread}: never had {len(log) - place} events behind {copy.cursor}"


class AwayError(Exception):
    """The api says that it can't answer now."""


@dataclass(slots=True)
class Reader:
    """One client at work."""

    stage: Stage
    rng: random.Random
    streams: bool  # by the live stream; else by pages
    copy: Copy
    spared: bool = True  # no fault hits an api: then each has all that it is asked for
    connections: int = 0  # pages read, or streams opened
    losses: int = 0  # of them that ended otherwise than this client would have it

    async def follow(self) -> None:
        """Reads on until it is cancelled."""
        while True:
            self.connections += 1
            try:
                await self._read()
            except (aiohttp.ClientError, TimeoutError, AwayError):
                if self.spared:
                    raise
                self.losses += 1
                await asyncio.sleep(AGAIN)
            await asyncio.sleep(PAUSE)

    async def _read(self) -> None:
        """One page, or a stream until this client leaves it."""
        async with aclosing(self._stream() if self.streams else self._page()) as entries:
            left = self.rng.randint(1, 40)  # entries after which this client goes away
            async for entry in entries:
                self.copy.take(entry)
                left -= 1
                if not left:
                    return

    async def _page(self) -> AsyncGenerator[Document, None]:
        query = f"?after={self.copy.cursor}&limit={self.rng.choice((1, 2, 5, 100))}"
        async with self._get(f"/events{query}") as response:
            page = await response.json()
        for entry in page["events"]:
            yield entry

    async def _stream(self) -> AsyncGenerator[Document, None]:
        try:
            async with self._get(STREAM, {"Last-Event-ID": self.copy.cursor}) as response:
                async for line in response.content:
                    if line.startswith(b"data:"):
                        yield self._entry(from_json(line.removeprefix(b"data:").strip()))
        except TimeoutError:
            if not self.spared:
                raise
            self.copy.faults.append(f"reader of {self.copy.thread}: the stream was silent for {SILENCE} s")

    def _entry(self, document: Document) -> Document:
        if "error" in document and not self.spared:
            raise AwayError
        assert "error" not in document, document
        return document

    @asynccontextmanager
    async def _get(self, path: str, headers: Mapping[str, str] = MappingProxyType({})) -> AsyncIterator[ClientResponse]:
        """Of any api. Raises AwayError where it can't answer now."""
        api = self.rng.choice(self.stage.stack.apis)
        url = f"{api.url}/api/v1/threads/{self.copy.thread}{path}"
        timeout = aiohttp.ClientTimeout(total=None, sock_read=SILENCE)
        own = {**self.stage.headers, **headers}
        async with self.stage.stack.session.get(url, headers=own, timeout=timeout) as response:
            if response.status == 503 and not self.spared:
                raise AwayError
            assert response.status == 200, await response.text()
            yield response
