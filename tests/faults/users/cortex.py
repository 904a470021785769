"""Cortex: threads by number, `agent:run` as a stream or whole; asked again with its key it tells of the same run."""

from dataclasses import dataclass

from tests.contract.cortex_client import RUN, THREADS, asking, deciding
from tests.faults.users.book import Book, Place, Rest
from tests.faults.users.calls import Act, Call, Line
from tests.faults.users.told import ASKS, told

NAME = "cortex"
_OWN = "/api/v2/databases/any/schemas/any/agents"
_LATE = ((409, "readiness_blocked"),)  # of a decision that is settled by now


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
        return rest_of(call, place)

    async def decide(self, place: Place, rest: Rest, request: str, *, allow: bool) -> None:
        rng = self.line.sender.rng
        streamed = rng.random() < 0.5
        body = deciding(int(place.own), (request, "allow" if allow else "deny"), stream=streamed)
        call = self.book.call(NAME, Act.DECISION, self._path(place), body, rng)
        call.thread, call.streamed, call.expected = place.thread, streamed, _LATE
        call.run, call.request, call.allow = rest.run, request, allow
        await self.line.settle(call)

    def _path(self, place: Place) -> str:
        """The agent by its name, or the default one."""
        if place.agent == "echo" and self.line.sender.rng.random() < 0.5:
            return RUN
        return f"{_OWN}/{place.agent}:run"


def rest_of(call: Call, place: Place) -> Rest:
    """What a whole answer says of its run; one that has no answer is not named."""
    one = told(call.last)
    if one.run is not None:
        call.run = place.run = one.run
    return Rest(one.run, "waiting_input" if one.state == ASKS else one.state or "failed", tuple(sorted(one.asks)))
