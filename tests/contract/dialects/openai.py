"""OpenAI: messages and runs, as plain HTTP, in the form of `/v1` and in AIML's, which has messages alone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.contract.cortex_client import SOON
from tests.contract.dialects import ASKS, Answer, Line
from tests.contract.dialects.wire import events
from tests.contract.openai_client import call
from tests.service import Client, Reply

_STATES = {"requires_action": ASKS}


@dataclass(slots=True)
class _Working:
    heard: AsyncIterator[tuple[str, Any]]
    run: str | None = None
    text: str = ""  # of the last message that is whole

    async def first_words(self) -> str:
        """The id of the run that says them."""
        async for name, data in self.heard:
            self._take(name, data)
            if name == "thread.message.delta":
                break
        assert self.run is not None
        return self.run

    async def rest(self) -> Answer:
        told = [pair async for pair in self.heard]
        assert told[-1] == ("done", "[DONE]")
        for name, data in told:
            self._take(name, data)
        last = told[-2][1]
        state = _STATES.get(last["status"], last["status"])
        return Answer(self.run, state, self.text, _calls(last), _code(last))

    def _take(self, name: str, data: Any) -> None:
        if name == "thread.run.created":
            self.run = data["id"]
        if name == "thread.message.completed":
            self.text = data["content"][0]["text"]["value"]


def _calls(run: dict[str, Any]) -> tuple[str, ...]:
    action = run["required_action"]
    return tuple(one["id"] for one in action["submit_tool_outputs"]["tool_calls"]) if action else ()


def _code(run: dict[str, Any]) -> str | None:
    """The service's own code, which stands before the message."""
    return str(run["last_error"]["message"]).partition(":")[0] if run["last_error"] else None


@dataclass(slots=True)
class OpenAI:
    client: Client
    form: str  # v1 or aiml
    interrupts: bool = True

    @property
    def name(self) -> str:
        return f"openai-{self.form}"

    async def create(self) -> str:
        """AIML's page makes no threads."""
        return str((await self._ok("POST", "/v1/threads", {}))["id"])

    async def own(self, thread: str) -> str:
        return thread

    async def native(self, thread: str) -> str:
        return thread

    async def ask(self, thread: str, text: str) -> Answer:
        async with self._asked(thread, text) as working:
            return await working.rest()

    @asynccontextmanager
    async def working(self, thread: str, text: str) -> AsyncIterator[_Working]:
        async with self._asked(thread, text) as working:
            await working.first_words()
            yield working

    async def decide(self, thread: str, run: str, request: str, *, allow: bool) -> Answer:
        given = [{"tool_call_id": request, "output": '{"decision":"%s"}' % ("allow" if allow else "deny")}]
        body = {"tool_outputs": given, "stream": True}
        async with self._streaming(f"/v1/threads/{thread}/runs/{run}/submit_tool_outputs", body) as response:
            return await _Working(events(response), run).rest()

    async def interrupt(self, thread: str, run: str) -> str:
        return str((await self._ok("POST", f"/v1/threads/{thread}/runs/{run}/cancel"))["status"])

    async def lines(self, thread: str, size: int) -> list[Line]:
        """In both orders, which must be each other's reverse."""
        up, down = [await self._walk(thread, size, order) for order in ("asc", "desc")]
        assert up == down[::-1]
        return [Line(one["role"], _text(one), one["id"]) for one in up]

    async def delete(self, thread: str) -> None:
        gone = await self._ok("DELETE", f"/v1/threads/{thread}")
        assert gone == {"id": thread, "object": "thread.deleted", "deleted": True}

    async def statuses(self, thread: str, run: str, request: str) -> dict[str, int]:
        path, runs = f"/v1/threads/{thread}", f"/v1/threads/{thread}/runs"
        given = {"tool_outputs": [{"tool_call_id": request, "output": "allow"}]}
        calls = {
            "read": ("GET", path, None),
            "change": ("POST", path, {"metadata": {"a": "1"}}),
            "say": ("POST", self._messages(thread), {"role": "user", "content": "hello"}),
            "page": ("GET", self._messages(thread), None),
            "run": ("POST", runs, {"assistant_id": self.client.agent}),
            "see the run": ("GET", f"{runs}/{run}", None),
            "decide": ("POST", f"{runs}/{run}/submit_tool_outputs", given),
            "interrupt": ("POST", f"{runs}/{run}/cancel", None),
            "delete": ("DELETE", path, None),
        }
        return {name: (await call(self.client, *one)).status for name, one in calls.items()}

    def _messages(self, thread: str) -> str:
        return f"{'/v1' if self.form == 'v1' else ''}/threads/{thread}/messages"

    async def _walk(self, thread: str, size: int, order: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            after = f"&after={found[-1]['id']}" if found else ""
            page, more = self._page(await self._get(f"{self._messages(thread)}?limit={size}&order={order}{after}"))
            assert len(page) <= size
            found += page
            ids = [one["id"] for one in found]
            assert len(ids) == len(set(ids)), ids  # or this would not end
            if not more:
                return found

    def _page(self, document: Any) -> tuple[list[dict[str, Any]], bool]:
        """A bare array does not say whether more follow: only an empty one is the end."""
        return (document["data"], document["has_more"]) if self.form == "v1" else (document, bool(document))

    async def _get(self, path: str) -> Any:
        return await self._ok("GET", path)

    async def _ok(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        reply: Reply = await call(self.client, method, path, body)
        assert reply.status == status, reply
        return reply.json

    @asynccontextmanager
    async def _asked(self, thread: str, text: str) -> AsyncIterator[_Working]:
        """The message first, then a run that answers it."""
        said = {"role": "user", "content": text}
        await self._ok("POST", self._messages(thread), said, 200 if self.form == "v1" else 201)
        body = {"assistant_id": self.client.agent, "stream": True}
        async with self._streaming(f"/v1/threads/{thread}/runs", body) as response:
            yield _Working(events(response))

    @asynccontextmanager
    async def _streaming(self, path: str, body: dict[str, Any]) -> AsyncIterator[aiohttp.ClientResponse]:
        headers, timeout = {"Authorization": f"Bearer {self.client.token}"}, aiohttp.ClientTimeout(total=SOON)
        url = f"{self.client.url}{path}"
        async with self.client.session.post(url, json=body, headers=headers, timeout=timeout) as response:
            assert response.status == 200, await response.text()
            yield response


def _text(message: dict[str, Any]) -> str:
    return "\n".join(part["text"]["value"] for part in message["content"])
