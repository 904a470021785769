"""Cortex: threads by number, and `agent:run`. It has no word for an interrupt."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import asyncpg

from tests.contract.cortex_client import RUN, THREADS, Cortex, asking, deciding, texts
from tests.contract.dialects import ASKS, Answer, Line
from tests.contract.dialects.wire import events

_CANCELLED = "run.cancelled"


@dataclass(slots=True)
class _Working:
    heard: AsyncIterator[tuple[str, Any]]

    async def first_words(self) -> None:
        async for name, data in self.heard:
            assert name != "error", data
            if name == "response.text.delta":
                return

    async def rest(self) -> Answer:
        last = [told async for told in self.heard][-1]
        return told_whole(last[1]) if last[0] == "response" else _failed(last)


def told_whole(response: dict[str, Any]) -> Answer:
    """What a `response` says, as the last frame of a stream or as the answer without one."""
    said = texts(response)
    asks = tuple(part["tool_use"]["tool_use_id"] for part in response["content"] if part["type"] == "tool_use")
    return Answer(response["metadata"]["run_id"], ASKS if asks else "completed", said[-1] if said else "", asks)


def _failed(last: tuple[str, Any]) -> Answer:
    name, error = last
    assert name == "error", last
    cancelled = error["error_code"] == _CANCELLED
    return Answer(None, "cancelled" if cancelled else "failed", "", error=None if cancelled else error["error_code"])


@dataclass(slots=True)
class CortexThreads:
    """In one of the two shapes, which are two settings of the service."""

    cortex: Cortex
    db: asyncpg.Pool  # says which number a thread has: nothing on the wire does
    shape: str  # documented or live
    interrupts: bool = False

    @property
    def name(self) -> str:
        return f"cortex-{self.shape}"

    async def create(self) -> str:
        reply = await self.cortex.call("POST", THREADS, {"origin_application": "suite"})
        assert reply.status == 200, reply
        return str(reply.json if self.shape == "documented" else reply.json["thread_id"])

    async def own(self, thread: str) -> str:
        """A thread of another dialect has a number as soon as it is listed."""
        listed = await self.cortex.call("GET", THREADS)
        num = str(await self.db.fetchval("select num from thread_numbers where thread = $1", thread))
        assert num in [str(one["thread_id"]) for one in listed.json]
        return num

    async def native(self, thread: str) -> str:
        return str(await self.db.fetchval("select thread from thread_numbers where num = $1", int(thread)))

    async def ask(self, thread: str, text: str) -> Answer:
        async with self._run(asking(text, thread_id=int(thread))) as working:
            return await working.rest()

    @asynccontextmanager
    async def working(self, thread: str, text: str) -> AsyncIterator[_Working]:
        async with self._run(asking(text, thread_id=int(thread))) as working:
            await working.first_words()
            yield working

    async def decide(self, thread: str, run: str, request: str, *, allow: bool) -> Answer:
        body = deciding(int(thread), (request, "allow" if allow else "deny"), stream=False)
        reply = await self.cortex.call("POST", RUN, body)
        assert (reply.status, reply.json["metadata"]["run_id"]) == (200, run), reply
        return told_whole(reply.json)

    async def interrupt(self, thread: str, run: str) -> NoReturn:
        raise AssertionError("Cortex has no word for an interrupt.")

    async def lines(self, thread: str, size: int) -> list[Line]:
        """The pages come newest first, and each goes on behind the oldest message of the one before."""
        found: list[Line] = []
        while True:
            query = f"?page_size={size}" + (f"&last_message_id={found[-1].id}" if found else "")
            page = (await self.cortex.describe(int(thread), query))["messages"]
            assert len(page) <= size
            if not page:
                return found[::-1]
            found += [Line(one["role"], self._text(one), str(one["message_id"])) for one in page]
            numbers = [int(line.id) for line in found]
            assert numbers == sorted(set(numbers), reverse=True), numbers  # or this would not end

    async def delete(self, thread: str) -> None:
        reply = await self.cortex.call("DELETE", f"{THREADS}/{thread}")
        assert (reply.status, reply.json) == (200, {"success": True}), reply

    async def statuses(self, thread: str, run: str, request: str) -> dict[str, int]:
        path = f"{THREADS}/{thread}"
        calls = {
            "page": ("GET", path, None),
            "say": ("POST", RUN, asking("hello", thread_id=int(thread))),
            "decide": ("POST", RUN, deciding(int(thread), (request, "allow"))),
            "change": ("POST", path, {"thread_name": "gone"}),
            "delete": ("DELETE", path, None),
        }
        return {name: (await self.cortex.call(*call)).status for name, call in calls.items()}

    def _text(self, message: dict[str, Any]) -> str:
        payload: str = message["message_payload"]
        if self.shape == "documented":
            return payload
        kept = json.loads(payload)
        assert kept["role"] == message["role"]
        return "\n".join(part["text"] for part in kept["content"])

    @asynccontextmanager
    async def _run(self, body: dict[str, Any]) -> AsyncIterator[_Working]:
        async with self.cortex.streaming(body) as response:
            yield _Working(events(response))
