"""agent:run: a message is answered, or a permission decided; the answer is streamed or given whole.

The run is the service's, not the request's: a client that goes away does not stop it.
"""

from dataclasses import dataclass

import structlog
from aiohttp import web

from api import answering, edge, negotiation, replies, sse
from api.answering import Asked
from api.dialects.cortex import decode, encode, frames, outcomes
from api.dialects.cortex.decode import RunAsked
from api.dialects.cortex.errors import spell
from api.follow import Hub
from api.handlers import cortex_paths as paths
from api.handlers.cortex_asking import Asking
from api.handlers.cortex_threads import replayed
from api.handlers.door import Door
from api.sse import COMMENT, Outlet
from api.submission import Applied, Pending
from shared import numbers
from shared.effects import EventLogged
from shared.errors import InternalError, ThreadmillError
from shared.ids import ThreadId, TokenId
from shared.views import RunAnswer

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Taken:
    """A request that was accepted, where its thread is, and who asked. The outcome may be still to come."""

    answer: Applied | Pending
    partition: int
    thread: ThreadId
    num: int
    token: TokenId

    @property
    def headers(self) -> dict[str, str]:
        return {negotiation.THREAD_ID: self.thread} | (replayed(self.answer) or {})

    def asked(self, answer: Applied) -> Asked:
        """The run to follow. Raises what `outcomes.run_of` raises."""
        return Asked(self.partition, self.thread, outcomes.run_of(answer), answer.accepted_at, self.token)


class CortexRuns:
    def __init__(self, door: Door, hub: Hub) -> None:
        self._door = door
        self._hub = hub
        self._asking = Asking(door)

    async def of_default(self, request: web.Request) -> web.StreamResponse:
        """POST /api/v2/cortex/agent:run"""
        return await self._run(request, None)

    async def of_named(self, request: web.Request) -> web.StreamResponse:
        """POST /api/v2/databases/{database}/schemas/{schema}/agents/{name}:run"""
        return await self._run(request, paths.agent_name(request))

    async def _run(self, request: web.Request, name: str | None) -> web.StreamResponse:
        caller = await self._door.tokens.caller(request)
        agent = None if name is None else await self._asking.named(caller, name)
        body: RunAsked = decode.run(await self._door.body(request, empty={}), request.query.get("thread_id"))
        route = "POST agent:run" if agent is None else f"POST {agent.id}:run"
        key = negotiation.idempotency(request, route, body.document)
        answer = await self._asking.ask(request, caller, agent, body, key)
        if isinstance(answer, Applied):
            outcomes.run_of(answer)  # a refusal that is known by now has a status of its own
        thread = outcomes.made(answer).id
        partition = await self._door.postgres.partition_of(thread)
        num = (await numbers.of(self._door.postgres, [(partition, thread)]))[thread]
        taken = Taken(answer, partition, thread, num, caller.token)
        return await (self._streamed(request, taken) if body.stream else self._whole(request, taken))

    async def _whole(self, request: web.Request, taken: Taken) -> web.Response:
        """The answer once it is there."""
        if request.transport is None:
            raise ConnectionResetError("The client is gone.")
        outlet = Outlet(request.writer, request.transport)
        asked = taken.asked(await self._asking.settle(taken.answer, outlet))
        said = await answering.follow(asked, self._door.postgres, self._hub, outlet, _in_silence)
        if (why := encode.failure(said)) is not None:
            return replies.document(encode.failed(why, request[edge.ID]), why.status, taken.headers)
        return replies.document(encode.response(said, taken.num, asked.run), 200, taken.headers)

    async def _streamed(self, request: web.Request, taken: Taken) -> web.StreamResponse:
        """The answer as it comes."""
        queued = frames.status(frames.QUEUED)
        beginning = queued if isinstance(taken.answer, Pending) else await self._question(taken, taken.answer) + queued
        response = sse.response(request)
        response.headers.update({negotiation.CORTEX_REQUEST_ID: request[edge.ID]} | taken.headers)
        writer = await response.prepare(request)
        if writer is None or request.transport is None:
            return response
        outlet = Outlet(writer, request.transport)
        try:
            await outlet.send(beginning)
            await self._tell(taken, outlet, request[edge.ID])
        except ConnectionError as gone:
            log.debug("stream lost", thread=taken.thread, error=repr(gone))
        return response

    async def _tell(self, taken: Taken, outlet: Outlet, request_id: str) -> None:
        """All of the answer. What fails from here on is told within it."""
        try:
            answer = await self._asking.settle(taken.answer, outlet, COMMENT)
            if answer is not taken.answer:
                await outlet.send(await self._question(taken, answer))
            asked = taken.asked(answer)
            places = frames.Places()

            async def show(events: list[EventLogged]) -> None:
                shown = b"".join(frames.live(event, places) for event in events)
                if shown or not events:
                    await outlet.send(shown or COMMENT)

            said = await answering.follow(asked, self._door.postgres, self._hub, outlet, show)
            last = _last(said, asked, taken.num, places, request_id)
        except ThreadmillError as error:
            last = frames.frame("error", spell(error, request_id)[1])
        except ConnectionError:
            raise
        except Exception:  # whatever it is, the client gets our envelope and the log the reason
            log.exception("stream failed", thread=taken.thread)
            last = frames.frame("error", spell(InternalError(), request_id)[1])
        await outlet.send(last)

    async def _question(self, taken: Taken, answer: Applied) -> bytes:
        """Which message is answered. Raises what `Taken.asked` raises, and NotFound where the thread is deleted."""
        num = await answering.question(taken.asked(answer), self._door.postgres)
        return frames.metadata("user", taken.num, num)


async def _in_silence(_: list[EventLogged]) -> None:
    """Whoever wants the answer whole is shown nothing before."""


def _last(said: RunAnswer, asked: Asked, num: int, places: frames.Places, request_id: str) -> bytes:
    """What stands behind the pieces: each text whole, the message that was made, the response; or why there is none."""
    if (why := encode.failure(said)) is not None:
        return frames.frame("error", encode.failed(why, request_id))
    texts = [frames.text(places.of(str(one.id)), one.text) for one in said.said]
    made = [frames.metadata("assistant", num, said.said[-1].num)] if said.said else []
    return b"".join([*texts, *made, frames.frame("response", encode.response(said, num, asked.run))])
