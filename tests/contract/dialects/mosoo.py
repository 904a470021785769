"""The native dialect: events go in, a log comes out."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.contract.dialects import ASKS, Answer, Line
from tests.service import Client, message
from tests.stage import Follower, following

_OVER = ("run.completed", "run.failed")
_ASKED = "tool.confirmation.required"
_STATES = {"waiting_input": ASKS}
_ROLES = {"user.message": "user", "agent.message.delta": "assistant"}


@dataclass(slots=True)
class _Working:
    mosoo: "Mosoo"
    thread: str
    run: str
    follower: Follower

    async def rest(self) -> Answer:
        while not self._rests(await self.follower.event()):
            pass
        return await self.mosoo.answer(self.thread, self.run)

    def _rests(self, event: dict[str, Any]) -> bool:
        return event["runId"] == self.run and event["type"] in (*_OVER, _ASKED)


@dataclass(slots=True)
class Mosoo:
    client: Client
    interrupts: bool = True

    @property
    def name(self) -> str:
        return "mosoo"

    async def create(self) -> str:
        return await self.client.new_thread()

    async def own(self, thread: str) -> str:
        return thread

    async def native(self, thread: str) -> str:
        return thread

    async def ask(self, thread: str, text: str) -> Answer:
        async with self._said(thread, text) as working:
            return await working.rest()

    @asynccontextmanager
    async def working(self, thread: str, text: str) -> AsyncIterator[_Working]:
        async with self._said(thread, text) as working:
            while (event := await working.follower.event())["type"] != "agent.message.delta":
                assert event["type"] not in _OVER, event
            yield working

    async def decide(self, thread: str, run: str, request: str, *, allow: bool) -> Answer:
        word = "allow_once" if allow else "reject_once"
        async with self._following(thread) as follower:
            reply = await self.client.send(
                thread, {"type": "permission_decision", "requestId": request, "decision": word}
            )
            assert (reply.status, reply.json["warnings"]) == (200, []), reply
            assert reply.json["events"][0]["run"]["id"] == run
            return await _Working(self, thread, run, follower).rest()

    async def interrupt(self, thread: str, run: str) -> str:
        reply = await self.client.send(thread, {"type": "user_interrupt", "runId": run})
        assert (reply.status, reply.json["warnings"]) == (200, []), reply
        return str(reply.json["events"][0]["run"]["status"])

    async def lines(self, thread: str, size: int) -> list[Line]:
        entries = await self._log(thread, size)
        return [Line(_ROLES[one["type"]], one["content"], one["id"]) for one in entries if one["type"] in _ROLES]

    async def delete(self, thread: str) -> None:
        reply = await self.client.call("DELETE", f"/threads/{thread}")
        assert (reply.status, reply.json) == (200, {"ok": True}), reply

    async def statuses(self, thread: str, run: str, request: str) -> dict[str, int]:
        path = f"/threads/{thread}"
        decision = {"type": "permission_decision", "requestId": request, "decision": "allow_once"}
        calls = {
            "read": ("GET", path, None),
            "say": ("POST", f"{path}/events", {"events": [message()]}),
            "page": ("GET", f"{path}/events", None),
            "listen": ("GET", f"{path}/events/stream", None),
            "see the run": ("GET", f"{path}/runs/{run}", None),
            "decide": ("POST", f"{path}/events", {"events": [decision]}),
            "interrupt": ("POST", f"{path}/events", {"events": [{"type": "user_interrupt", "runId": run}]}),
            "delete": ("DELETE", path, None),
        }
        return {name: (await self.client.call(*call)).status for name, call in calls.items()}

    async def answer(self, thread: str, run: str) -> Answer:
        """The run as it is now, with what it said last."""
        reply = await self.client.call("GET", f"/threads/{thread}/runs/{run}")
        assert reply.status == 200, reply
        log = [one for one in await self._log(thread, 1_000) if one["runId"] == run]
        said = [one["content"] for one in log if one["type"] == "agent.message.delta"]
        state = _STATES.get(reply.json["status"], reply.json["status"])
        asks = tuple(one["requestId"] for one in log if one["type"] == _ASKED and state == ASKS)
        error = reply.json["error"]
        return Answer(run, state, said[-1] if said else "", asks, error and error["code"])

    async def _log(self, thread: str, size: int) -> list[dict[str, Any]]:
        """The whole log, oldest first."""
        entries: list[dict[str, Any]] = []
        after = "0" * 26
        while True:
            page = await self.client.call("GET", f"/threads/{thread}/events?limit={size}&after={after}")
            assert page.status == 200, page
            entries += page.json["events"]
            if not page.json["truncated"]:
                return entries
            assert entries[-1]["id"] > after, page  # or this would not end
            after = entries[-1]["id"]

    @asynccontextmanager
    async def _said(self, thread: str, text: str) -> AsyncIterator[_Working]:
        """Listens first, so that it hears all of the run."""
        async with self._following(thread) as follower:
            reply = await self.client.send(thread, message(text))
            assert (reply.status, reply.json["warnings"]) == (200, []), reply
            yield _Working(self, thread, reply.json["events"][0]["run"]["id"], follower)

    @asynccontextmanager
    async def _following(self, thread: str) -> AsyncIterator[Follower]:
        """From where the log ends."""
        log = await self._log(thread, 1_000)
        headers = {"Last_Event_Id": log[-1]["id"]} if log else {}
        async with following(self.client, thread, **headers) as follower:
            yield follower
