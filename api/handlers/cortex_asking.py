"""Puts what agent:run asks into the thread's order: which agent, which thread, which message it goes on from.

What can be refused is refused before anything is stored; what only the thread's order decides (whether it is busy,
which agent it has by then) is the outcome's. Refused here: following the run.
"""

from collections.abc import Sequence

from aiohttp import web

from api import edge
from api.dialects.cortex.decode import RunAsked
from api.dialects.cortex.outcomes import NO_THREAD, TWO_RUNS
from api.handlers.door import Door, taken
from api.sse import Outlet
from api.submission import Applied, Idempotency, NewThread, Pending
from shared import answers, ids, messages, numbers, reads
from shared.errors import AgentNotPublished, InvalidRequest, NotFound
from shared.events import Event
from shared.ids import RequestId, ThreadId
from shared.views import AgentView, Caller, Numbered

STEP = 14.5  # seconds of silence on an open stream; with the tick of who looks for outcomes it is 15
_BOUND = "The thread has another agent."


class Asking:
    def __init__(self, door: Door) -> None:
        self._door = door

    async def named(self, caller: Caller, name: str) -> AgentView:
        """The account's agent of this name. Raises NotFound."""
        found = await reads.agent_named(self._door.postgres, caller.account, name)
        if found is None:
            raise NotFound("There is no such agent.")
        return found

    async def ask(
        self, request: web.Request, caller: Caller, agent: AgentView | None, body: RunAsked, key: Idempotency | None
    ) -> Applied | Pending:
        """What became of it; of the first request of its key, where there was one. `Prefer` is not looked at: the
        answer is the run's, and who wants it waits.

        Raises NotFound, InvalidRequest, AgentNotPublished, ReadinessBlocked, IdempotencyConflict, ServiceInactive.
        """
        known = None if key is None else await self._door.inbox.recall(caller.token, key)
        if known is not None:
            return taken(known)
        await self._door.admit(request, caller)
        place = await self._place(caller, body)
        if place is not None:
            await self._check_parent(place, body)
            await self._check_decisions(place, body)
        agent = await self._agent(caller, agent, place)
        parent = body.parent if body.parent is not None else await self._last(place)
        batch = self._batch(request, agent, body, parent)
        thread, new = (place.id, None) if place else (ThreadId(ids.mint()), _new(caller, agent))
        limit = self._door.settings.wait_limit
        wait = min(limit, STEP) if body.stream else limit  # a stream is opened before anybody takes it for dead
        return await self._door.submit(request, caller, thread, batch, wait, new=new, idempotency=key, admitted=True)

    async def settle(self, answer: Applied | Pending, outlet: Outlet, comment: bytes = b"") -> Applied:
        """The outcome, as long as its client is there; `comment` is what that hears in between.

        Raises ConnectionError, ReadinessBlocked where it takes an operator, ServiceInactive.
        """
        while isinstance(answer, Pending):
            answer = await self._door.inbox.wait_on(answer, STEP)
            if outlet.closed:
                raise ConnectionResetError("The client is gone.")
            if comment and isinstance(answer, Pending):
                await outlet.send(comment)
        return answer

    async def _place(self, caller: Caller, body: RunAsked) -> Numbered | None:
        if body.thread is None:
            return None
        found = await numbers.thread(self._door.postgres, body.thread, caller.account)
        if found is None or found.deleted:
            raise NotFound(NO_THREAD)
        return found

    async def _check_decisions(self, place: Numbered, body: RunAsked) -> None:
        """An answer is of one run. What names no permission of the thread is the outcome's."""
        named = [RequestId(found) for one in body.decisions if (found := ids.parse(one.request)) is not None]
        if len(named) > 1 and len(await answers.runs_of(self._door.postgres, place.partition, place.id, named)) > 1:
            raise InvalidRequest(TWO_RUNS, param="messages")

    async def _last(self, place: Numbered | None) -> int:
        """What a run goes on from that names no message: the latest one, whatever forks there are."""
        if place is None:
            return 0
        found = (await messages.page(self._door.postgres, place.partition, place.id, 1)).messages
        return found[0].num if found else 0

    async def _check_parent(self, place: Numbered, body: RunAsked) -> None:
        """A run goes on from what an assistant said."""
        if not body.parent:
            return
        num = min(body.parent, messages.LAST)  # of 19 digits not all are one of Postgres' integers
        found = await messages.numbered(self._door.postgres, place.partition, place.id, num)
        if found is None:
            raise NotFound("parent_message_id: the thread has no such message.")
        if found.role != "assistant":
            raise InvalidRequest("parent_message_id: 0 or a message of the assistant.", param="parent_message_id")

    async def _agent(self, caller: Caller, agent: AgentView | None, place: Numbered | None) -> AgentView | None:
        """Who answers; None: whom the thread has. A thread that has one keeps it, also where it was closed since."""
        bound = place.agent if place else None
        if bound is not None:
            if agent is not None and agent.id != bound:
                raise InvalidRequest(_BOUND)
            return None
        found = agent or await reads.default_agent(self._door.postgres, caller.account)
        if found is None:
            raise NotFound("The account has no agent.")
        if not found.published:
            raise AgentNotPublished
        return found

    def _batch(self, request: web.Request, agent: AgentView | None, body: RunAsked, parent: int) -> Sequence[Event]:
        if body.decisions:
            return body.decisions
        return [body.request(agent.id if agent else None, request[edge.ID], parent)]


def _new(caller: Caller, agent: AgentView | None) -> NewThread:
    return NewThread(agent.id if agent else None, caller.kind, agent.kind if agent else "cattle")
