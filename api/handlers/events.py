"""Events: send a batch, read the log."""

from aiohttp import web

from api import negotiation, replies
from api.dialects.mosoo import decode, encode
from api.handlers import paths
from api.handlers.door import Door
from api.submission import Applied, Pending
from shared import history
from shared.models import BusyPolicy
from shared.views import Caller

_MOST = 1_000  # entries of one page


class Events:
    def __init__(self, door: Door) -> None:
        self._door = door

    async def send(self, request: web.Request) -> web.Response:
        """POST /threads/{threadId}/events"""
        caller = await self._door.tokens.caller(request)
        thread = paths.thread_id(request)
        batch = decode.batch(await self._door.body(request))
        wait = self._door.wait(request)
        key = negotiation.idempotency(request, f"POST /threads/{thread}/events", batch.document)
        sending = (request, caller, thread, batch.events, wait)
        answer = await self._door.submit(*sending, idempotency=key, files=batch.files)
        policy = await self._policy(answer, caller) if isinstance(answer, Pending) else BusyPolicy.QUEUE
        headers = negotiation.REPLAYED if isinstance(answer, Applied) and answer.replayed else None
        return replies.text(encode.sent(answer, batch.events, policy), 200, headers)

    async def _policy(self, answer: Pending, caller: Caller) -> BusyPolicy:
        """What the thread's agent does with a message on a busy thread."""
        if answer.thread.agent is None:
            return BusyPolicy.QUEUE
        return (await self._door.agents.of_account(answer.thread.agent, caller.account)).busy_policy

    async def list(self, request: web.Request) -> web.Response:
        """GET /threads/{threadId}/events"""
        caller = await self._door.tokens.caller(request)
        thread_id, after = paths.thread_id(request), paths.event_after(request)
        limit = paths.limit(request, _MOST)
        thread = await self._door.read(request, caller, thread_id)
        source, partition = self._door.postgres, thread.partition
        if after is None:
            page = await history.newest(source, partition, thread.id, limit)
        else:
            page = await history.after(source, partition, thread.id, limit, after)
        return replies.document(encode.events(page))
