"""Cortex threads: create one, describe it with a page of its messages, update, list, delete."""

from aiohttp import web

from api import negotiation, replies
from api.dialects.cortex import decode, encode, outcomes
from api.handlers import cortex_paths as paths
from api.handlers.door import Door
from api.submission import Applied, Idempotency, NewThread, Passes, Pending
from shared import answers, ids, messages, numbers
from shared.errors import NotFound, ServiceInactive
from shared.events import Event, ThreadDeleted
from shared.ids import ThreadId
from shared.views import Caller

_TRY_AGAIN = 2  # seconds; an outcome takes milliseconds, and longer only where something is wrong
LISTED = 10_000  # threads of a list, which has no pages: the newest ones of an account that has more, some 2 MB


class CortexThreads:
    def __init__(self, door: Door) -> None:
        self._door = door

    async def create(self, request: web.Request) -> web.Response:
        """POST /threads"""
        caller = await self._door.tokens.caller(request)
        creation = decode.creation(await self._door.body(request, empty={}))
        key = negotiation.idempotency(request, "POST /api/v2/cortex/threads", creation.document)
        new = NewThread(None, caller.kind, origin_application=creation.origin_application)
        # The thread is there as soon as it is accepted: nobody waits long for the outcome of nothing.
        wait = self._door.wait(request)
        answer = await self._door.submit(request, caller, ThreadId(ids.mint()), (), wait, new=new, idempotency=key)
        made = outcomes.made(answer)
        partition = await self._door.postgres.partition_of(made.id)
        num = (await numbers.of(self._door.postgres, [(partition, made.id)]))[made.id]
        shapes = self._door.settings.cortex_shapes
        document = encode.created(made, num, creation.origin_application, shapes)
        return replies.document(document, 200, {negotiation.THREAD_ID: made.id} | (replayed(answer) or {}))

    async def describe(self, request: web.Request) -> web.Response:
        """GET /threads/{id}"""
        caller = await self._door.tokens.caller(request)
        num, limit, below = paths.number(request), paths.page_size(request), paths.last_message(request)
        await self._door.admit(request, caller)
        thread = await numbers.described(self._door.postgres, num, caller.account)
        if thread is None:
            raise NotFound
        source, place = self._door.postgres, (thread.partition, thread.id)
        found = await messages.page(source, *place, limit, below=below)
        runs = {one.run for one in found.messages if one.run is not None and one.request_id is None}
        asked = await answers.requests_of(source, *place, runs)
        page = encode.page(thread, found, asked, self._door.settings.cortex_shapes)
        return replies.document(page, 200, {negotiation.THREAD_ID: thread.id})

    async def list(self, request: web.Request) -> web.Response:
        """GET /threads"""
        caller = await self._door.tokens.caller(request)
        application = paths.application(request)
        await self._door.admit(request, caller)
        found = await numbers.listed(self._door.postgres, caller.account, application, LISTED)
        return replies.document([encode.metadata(thread) for thread in found])

    async def update(self, request: web.Request) -> web.Response:
        """POST /threads/{id}"""
        caller = await self._door.tokens.caller(request)
        num = paths.number(request)
        update = decode.update(await self._door.body(request, empty={}))
        key = negotiation.idempotency(request, f"POST /api/v2/cortex/threads/{num}", update.document)
        answer = await self._change(request, caller, num, update.event, key)
        return replies.document(encode.updated(num), 200, replayed(answer))

    async def delete(self, request: web.Request) -> web.Response:
        """DELETE /threads/{id}"""
        caller = await self._door.tokens.caller(request)
        num = paths.number(request)
        key = negotiation.idempotency(request, f"DELETE /api/v2/cortex/threads/{num}", {})
        answer = await self._change(request, caller, num, ThreadDeleted(), key, Passes.ARCHIVED | Passes.HELD)
        return replies.document(encode.deleted(), 200, replayed(answer))

    async def _change(
        self,
        request: web.Request,
        caller: Caller,
        num: int,
        event: Event,
        key: Idempotency | None,
        passes: Passes = Passes.NOTHING,
    ) -> Applied:
        """One event, in the thread's order, applied: the answers say that it is done. Raises NotFound,
        ReadinessBlocked, IdempotencyConflict, and ServiceInactive where it is not done in time: it may be sent again.
        """
        answer = await self._door.admit(request, caller, key)
        if answer is None:
            thread = await numbers.thread(self._door.postgres, num, caller.account)
            if thread is None:
                raise NotFound
            wait = self._door.patience(request)
            answer = await self._door.submit(
                request, caller, thread.id, (event,), wait, idempotency=key, passes=passes, admitted=True
            )
        if isinstance(answer, Pending):
            raise ServiceInactive("The change is accepted, and not applied yet.", retry_after=_TRY_AGAIN)
        outcomes.had_effect(answer)
        return answer


def replayed(answer: Applied | Pending) -> dict[str, str] | None:
    return negotiation.REPLAYED if isinstance(answer, Applied) and answer.replayed else None
