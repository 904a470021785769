"""AIML and OpenAI: messages in both forms, several at once; runs as streams or looked at; tool outputs; cancels."""

import asyncio
import json
from dataclasses import dataclass

from tests.faults.users.book import Book, Place, Rest
from tests.faults.users.calls import Act, Call, Line
from tests.faults.users.native import Native
from tests.faults.users.told import told

NAME = "openai"
AIML = "aiml"
_OVER = ((400, "readiness_blocked"),)  # of a run or a request that had come to its end when it was the batch's turn
_LATE = (*_OVER, (400, "invalid_request"))  # of a run that asks for nothing any more
BURSTS = (1, 1, 1, 2, 3)  # messages that are added at once, before a run answers them


@dataclass(slots=True)
class OpenAI:
    book: Book
    line: Line
    agents: dict[str, str]
    native: Native  # its eyes: a run is the same in each dialect
    name: str = NAME

    async def open(self, agent: str) -> Place | None:
        call = self.book.call(NAME, Act.CREATE, "/v1/threads", {}, None)
        if not await self.line.settle(call):
            return None
        thread = str(call.last.body["id"])
        return Place(thread, agent, thread, NAME)

    async def ask(self, place: Place, text: str) -> Rest | None:
        """Messages first, then a run that answers all of them."""
        burst = self.line.sender.rng.choice(BURSTS)
        if not all(await asyncio.gather(*(self._say(place, text) for _ in range(burst)))):
            return None
        call = await self._run(place, text)
        if call is None:
            return None
        place.run = call.run
        return None if call.run is None else await self.native.rest(place, call.run)

    async def _say(self, place: Place, text: str) -> bool:
        rng = self.line.sender.rng
        dialect, prefix = rng.choice(((NAME, "/v1"), (AIML, "")))
        call = self.book.call(dialect, Act.MESSAGE, f"{prefix}/threads/{place.thread}/messages", {}, rng)
        call.thread, call.text = place.thread, f"{text} {call.marker}"
        call.body = {"role": "user", "content": call.text}
        return await self.line.settle(call)

    async def _run(self, place: Place, text: str) -> Call | None:
        rng = self.line.sender.rng
        call = self.book.call(NAME, Act.RUN, f"/v1/threads/{place.thread}/runs", {}, rng)
        call.thread, call.streamed = place.thread, rng.random() < 0.5
        call.body = {"assistant_id": self.agents[place.agent], "stream": call.streamed}
        if rng.random() < 0.3:
            call.text = f"{text} {call.marker}"
            call.body["additional_messages"] = [{"role": "user", "content": call.text}]
        if not await self.line.settle(call):
            return None
        call.run = told(call.last).run
        return call

    async def decide(self, place: Place, rest: Rest, request: str, *, allow: bool) -> None:
        rng = self.line.sender.rng
        word, streamed = "allow" if allow else "deny", rng.random() < 0.5
        output = rng.choice((word, json.dumps({"decision": word})))
        body = {"tool_outputs": [{"tool_call_id": request, "output": output}], "stream": streamed}
        path = f"/v1/threads/{place.thread}/runs/{rest.run}/submit_tool_outputs"
        call = self.book.call(NAME, Act.DECISION, path, body, rng)
        call.thread, call.streamed, call.expected = place.thread, streamed, _LATE
        call.run, call.request, call.allow = rest.run, request, allow
        await self.line.settle(call)

    async def cancel(self, place: Place) -> None:
        path = f"/v1/threads/{place.thread}/runs/{place.run}/cancel"
        call = self.book.call(NAME, Act.INTERRUPT, path, {}, self.line.sender.rng)
        call.thread, call.run, call.expected = place.thread, place.run, _OVER
        await self.line.settle(call)
