"""Cortex: threads by number, `agent:run` as a stream or whole; asked again with its key it tells of the same run."""

from dataclasses import dataclass

from tests.contract.cortex_client import RUN, THREADS, asking, deciding
from tests.contract.dialects import ASKS
from tests.contract.dialects.cortex import told_whole
from tests.faults.executions.stage import Document
from tests.faults.history import Reply
from tests.faults.users.book import Book, Place, Rest
from tests.faults.users.calls import Act, Call, Line, error_of, is_verdict

NAME = "cortex"
_OWN = "/api/v2/databases/any/schemas/any/agents"
_ENDS = {"run.cancelled": "cancelled"}


@dataclass(slots=True)
class Cortex:
    book: Book
    line: Line
    name: str = NAME

    async def open(self, agent: str) -> Place | None:
        call = self.book.call(NAME, Act.CREATE, THREADS, {"origin_application": "users"}, None)
        if not await self.line.settle(call) or call.last.thread is None:
            return None
        return Place(call.last.thread, agent, str(call.last.body), NAME)

    async def ask(self, place: Place, text: str) -> Rest | None:
        rng = self.line.sender.rng
        call = self.book.call(NAME, Act.RUN, self._path(place), {}, rng)
        call.text, call.thread, call.streamed = f"{text} {call.marker}", place.thread, rng.random() < 0.5
        call.body = asking(call.text, thread_id=int(place.own), stream=call.streamed)
        if not await self.line.settle(call):
            return None
        return told(call, place)

    async def decide(self, place: Place, rest: Rest, request: str, *, allow: bool) -> None:
        rng = self.line.sender.rng
        streamed = rng.random() < 0.5
        body = deciding(int(place.own), (request, "allow" if allow else "deny"), stream=streamed)
        call = self.book.call(NAME, Act.DECISION, self._path(place), body, rng)
        call.thread, call.streamed, call.expected = place.thread, streamed, (409,)  # it may be settled by now
        call.run, call.request, call.allow = rest.run, request, allow
        await self.line.settle(call)

    def _path(self, place: Place) -> str:
        """The agent by its name, or the default one."""
        if place.agent == "echo" and self.line.sender.rng.random() < 0.5:
            return RUN
        return f"{_OWN}/{place.agent}:run"


def told(call: Call, place: Place) -> Rest:
    """What a whole answer says of its run."""
    document = response_of(call.last)
    if document is None:
        return Rest(None, _ENDS.get(code_of(call.last), "failed"))
    answer = told_whole(document)
    call.run = place.run = answer.run
    return Rest(answer.run, "waiting_input" if answer.state == ASKS else answer.state, answer.asks)


def response_of(reply: Reply) -> Document | None:
    """The `response` of an answer, streamed or not; None of a run that has none."""
    if "frames" in reply.body:
        name, data = reply.body["frames"][-1]
        return dict(data) if name == "response" else None
    return None if is_verdict(reply) or not reply.acknowledged else reply.body


def code_of(reply: Reply) -> str:
    return str(reply.body["frames"][-1][1]["error_code"]) if "frames" in reply.body else error_of(reply)
