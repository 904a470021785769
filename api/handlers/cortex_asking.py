"""Puts what agent:run asks into the thread's order: which agent, which thread, which message it goes on from.

What can be refused is refused before anything is stored; what only the thread's order decides (whether it is busy,
which agent it has by then) is the outcome's. Refused here: waiting for the answer.
"""

from collections.abc import Sequence

from aiohttp import web

from api import edge
from api.dialects.cortex.decode import RunAsked
from api.handlers.door import Door, taken
from api.submission import Applied, Idempotency, NewThread, Pending
from shared import ids, messages, numbers, reads
from shared.errors import AgentNotPublished, InvalidRequest, NotFound, ServiceInactive
from shared.events import Event
from shared.ids import ThreadId
from shared.views import AgentView, Caller, Numbered

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
    ) -> Applied:
        """The outcome of what is asked; that of the first request of its key, where there was one.

        Raises NotFound, InvalidRequest, AgentNotPublished, ReadinessBlocked, IdempotencyConflict, ServiceInactive.
        """
        known = None if key is None else await self._door.inbox.recall(caller.token, key)
        if known is not None:
            return _outcome(taken(known))
        place = await self._place(caller, body)
        if place is not None:
            await self._check_parent(place, body)
        agent = await self._agent(caller, agent, place)
        parent = body.parent if body.parent is not None else await self._last(place)
        batch = self._batch(request, agent, body, parent)
        thread, new = (place.id, None) if place else (ThreadId(ids.mint()), _new(caller, agent))
        wait = self._door.patience(request)
        return _outcome(await self._door.submit(caller, thread, batch, wait, new=new, idempotency=key))

    async def _place(self, caller: Caller, body: RunAsked) -> Numbered | None:
        if body.thread is None:
            return None
        found = await numbers.thread(self._door.postgres, body.thread, caller.account)
        if found is None:
            raise NotFound("There is no such thread.")
        return found

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


def _outcome(answer: Applied | Pending) -> Applied:
    """Without its outcome a run has no name here. Raises ServiceInactive."""
    if isinstance(answer, Pending):
        raise ServiceInactive("The request is accepted and will be applied, but was not in time: look into the thread.")
    return answer
