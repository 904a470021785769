"""Threads: make one, read one, list an agent's, archive, unarchive, delete."""

from typing import TypeAlias

from aiohttp import web

from api import negotiation, replies
from api.dialects.mosoo import decode, encode
from api.dialects.mosoo.decode import Creation
from api.handlers import paths
from api.handlers.door import Door, taken
from api.submission import Applied, Idempotency, NewThread, Passes, Pending
from shared import events, ids, reads
from shared.errors import AgentNotPublished, NotFound
from shared.ids import ThreadId
from shared.models import Thread
from shared.views import AgentView, Caller

_PAGE = 100  # threads a page, and the most
Change: TypeAlias = events.ThreadArchived | events.ThreadUnarchived | events.ThreadDeleted


class Threads:
    def __init__(self, door: Door) -> None:
        self._door = door

    async def create(self, request: web.Request) -> web.Response:
        """POST /agents/{agentId}/threads"""
        caller = await self._door.tokens.caller(request)
        agent_id = paths.agent_id(request)
        creation = decode.creation(await self._door.body(request))
        route = f"POST /agents/{agent_id}/threads"
        key = negotiation.idempotency(request, route, creation.document)
        agent = await self._door.agents.of_account(agent_id, caller.account)
        wait = self._door.wait(request)
        answer: Applied | Pending
        if agent.published:
            new, thread = _new(caller, agent, creation), ThreadId(ids.mint())
            answer = await self._door.submit(
                *(request, caller, thread, creation.events, wait),
                new=new,
                idempotency=key,
                files=creation.files,
            )
        else:
            answer = await self._recalled(request, caller, key)
        headers = negotiation.REPLAYED if isinstance(answer, Applied) and answer.replayed else None
        return replies.text(encode.created(answer, creation.events), 201, headers)

    async def _recalled(self, request: web.Request, caller: Caller, key: Idempotency | None) -> Applied | Pending:
        """What the key stands for: a replay wins over an agent that was closed meanwhile."""
        known = None if key is None else await self._door.inbox.recall(caller.token, key)
        if known is None:
            await self._door.admit(request, caller)
            raise AgentNotPublished
        return taken(known)

    async def read(self, request: web.Request) -> web.Response:
        """GET /threads/{threadId}"""
        caller = await self._door.tokens.caller(request)
        thread = await self._door.read(request, caller, paths.thread_id(request))
        run = None
        if thread.last_run_id is not None:
            run = await reads.run(self._door.postgres, thread.partition, thread.id, thread.last_run_id)
        return replies.text(encode.thread(thread, run))

    async def list(self, request: web.Request) -> web.Response:
        """GET /agents/{agentId}/threads"""
        caller = await self._door.tokens.caller(request)
        agent_id, after = paths.agent_id(request), paths.after(request)
        archived, limit = paths.flag(request, "archived"), paths.limit(request, _PAGE)
        await self._door.admit(request, caller)
        agent = await self._door.agents.of_account(agent_id, caller.account)
        found = await reads.threads(
            self._door.postgres,
            caller.account,
            agent.id,
            archived=archived,
            limit=limit + 1,
            after=None if after is None else await self._cursor(caller, ThreadId(after)),
        )
        return replies.text(encode.threads(found[:limit], len(found) > limit))

    async def _cursor(self, caller: Caller, thread: ThreadId) -> Thread:
        """The last thread of the page before; it may have been deleted meanwhile. Raises NotFound."""
        partition = await self._door.postgres.partition_of(thread)
        found = await reads.cursor(self._door.postgres, partition, thread, caller.account)
        if found is None:
            raise NotFound
        return found

    async def archive(self, request: web.Request) -> web.Response:
        """POST /threads/{threadId}/archive"""
        return await self._change(request, events.ThreadArchived(), Passes.ARCHIVED)

    async def unarchive(self, request: web.Request) -> web.Response:
        """POST /threads/{threadId}/unarchive"""
        return await self._change(request, events.ThreadUnarchived(), Passes.ARCHIVED)

    async def delete(self, request: web.Request) -> web.Response:
        """DELETE /threads/{threadId}"""
        return await self._change(request, events.ThreadDeleted(), Passes.ARCHIVED | Passes.HELD)

    async def _change(self, request: web.Request, event: Change, passes: Passes) -> web.Response:
        caller = await self._door.tokens.caller(request)
        thread = paths.thread_id(request)
        answer = await self._door.change(request, caller, thread, event, self._door.wait(request), passes)
        if isinstance(answer, Applied) and encode.was_deleted(answer):
            raise NotFound
        return replies.text(encode.done(answer))


def _new(caller: Caller, agent: AgentView, creation: Creation) -> NewThread:
    return NewThread(
        agent=agent.id,
        created_by_kind=caller.kind,
        kind=agent.kind,
        user_id=creation.user_id,
        client_external_ref=creation.client_external_ref,
        attributed_user=creation.attributed_user,
    )
