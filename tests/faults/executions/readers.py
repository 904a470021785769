"""Clients that follow a thread's log by their cursor, in pieces: by pages of the history, or by a stream they leave.

What they put together only grows, so where it is the exact text at the end it was an exact prefix at each moment. That
ids only rise, and that nothing comes twice, is looked at with each entry.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

import aiohttp
from pydantic_core import from_json

from tests.faults.executions.rows import DELTA, ENDS
from tests.faults.executions.stage import Document, Stage

BEGINNING = "0" * 26
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

    def take(self, entry: Document) -> None:
        """The next entry that it was sent."""
        if entry["id"] <= self.cursor:
            self.faults.append(f"reader of {self.thread}: {entry['id']} came behind {self.cursor}")
        self.cursor = entry["id"]
        run = entry["runId"]
        if run in self.ended:
            self.faults.append(f"reader of {self.thread}: run {run} goes on behind its end: {entry['type']}")
        if entry["type"] == DELTA:
            self.texts[run] += entry["content"]
        elif entry["type"] in ENDS:
            self.ended.add(run)


@dataclass(slots=True)
class Reader:
    """One client at work."""

    stage: Stage
    rng: random.Random
    streams: bool  # by the live stream; else by pages
    copy: Copy
    connections: int = 0  # pages read, or streams opened

    async def follow(self) -> None:
        """Reads on until it is cancelled."""
        while True:
            self.connections += 1
            async with aclosing(self._stream() if self.streams else self._page()) as entries:
                left = self.rng.randint(1, 40)  # entries after which this client goes away
                async for entry in entries:
                    self.copy.take(entry)
                    left -= 1
                    if not left:
                        break
            await asyncio.sleep(PAUSE)

    async def _page(self) -> AsyncGenerator[Document, None]:
        page = await self.stage.page(self.copy.thread, self.copy.cursor, self.rng.choice((1, 2, 5, 100)))
        for entry in page["events"]:
            yield entry

    async def _stream(self) -> AsyncGenerator[Document, None]:
        url = f"{self.stage.api}/threads/{self.copy.thread}{STREAM}"
        headers = self.stage.headers | {"Last-Event-ID": self.copy.cursor}
        timeout = aiohttp.ClientTimeout(total=None, sock_read=SILENCE)
        try:
            async with self.stage.stack.session.get(url, headers=headers, timeout=timeout) as response:
                assert response.status == 200, await response.text()
                async for line in response.content:
                    if line.startswith(b"data:"):
                        yield from_json(line.removeprefix(b"data:").strip())
        except TimeoutError:
            self.copy.faults.append(f"reader of {self.copy.thread}: the stream was silent for {SILENCE} s")
