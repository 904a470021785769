"""The native dialect: batches of events, runs that are looked at until they rest."""

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime

from tests.faults.executions.phases import Stop
from tests.faults.executions.stage import TERMINAL
from tests.faults.users.book import Book, Place, Rest
from tests.faults.users.calls import Act, Line

NAME = "mosoo"
LOOKS = (0.05, 0.25)  # seconds between two looks at a run
PATIENCE = (
    90.0  # seconds in which a run must rest, also where three workers are lost with it; the checker tells which did not
)


@dataclass(slots=True)
class Native:
    book: Book
    line: Line
    agents: dict[str, str]
    name: str = NAME

    async def open(self, agent: str) -> Place | None:
        call = self.book.call(NAME, Act.CREATE, f"/api/v1/agents/{self.agents[agent]}/threads", {}, None)
        if not await self.line.settle(call):
            return None
        thread = str(call.last.body["thread"]["id"])
        return Place(thread, agent, thread, NAME)

    async def ask(self, place: Place, text: str) -> Rest | None:
        marker = self.book.marker()
        event = {"type": "user_message", "text": f"{text} {marker}"}
        outcome = await self.line.sender.learn(self.book.request(place.thread, event, marker))
        if outcome is None:
            return None
        place.run = str(outcome["events"][0]["run"]["id"])
        return await self.rest(place, place.run)

    async def decide(self, place: Place, rest: Rest, request: str, *, allow: bool) -> None:
        word = "allow_once" if allow else "reject_once"
        await self.line.sender.learn(
            self.book.request(place.thread, {"type": "permission_decision", "requestId": request, "decision": word})
        )

    async def interrupt(self, place: Place, *, named: bool) -> None:
        """The run that is known, or whichever is under way."""
        run = place.run if named else None
        sent = self.book.request(place.thread, {"type": "user_interrupt", **({"runId": run} if run else {})})
        outcome = await self.line.sender.learn(sent)
        if outcome is None:
            return
        result, warnings = outcome["events"][0], tuple(warning["code"] for warning in outcome["warnings"])
        hit = run or (result["run"] and str(result["run"]["id"]))
        if hit is not None:
            accepted_at = next(reply.body["acceptedAt"] for reply in sent.replies if reply.acknowledged)
            self.book.stops.append(Stop(hit, datetime.fromisoformat(accepted_at), result, warnings))

    async def rest(self, place: Place, run: str) -> Rest | None:
        """The run once it rests."""
        path = f"/api/v1/threads/{place.thread}"
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            state = await self._state(f"{path}/runs/{run}")
            if state in TERMINAL:
                return Rest(run, state)
            if state == "waiting_input":
                return Rest(run, state, await self._asks(path, run))
            await asyncio.sleep(self.line.sender.rng.uniform(*LOOKS))
        return None

    async def _state(self, path: str) -> str:
        reply = await self.line.read(path)
        return str(reply.body["status"]) if reply.acknowledged else "not known"

    async def _asks(self, path: str, run: str) -> tuple[str, ...]:
        """The request that the run opened last."""
        reply = await self.line.read(f"{path}/events?limit=1000&after={'0' * 26}")
        log = reply.body["events"] if reply.acknowledged else ()
        asked = [e["requestId"] for e in log if e["runId"] == run and e["type"] == "tool.confirmation.required"]
        return tuple(asked[-1:])
