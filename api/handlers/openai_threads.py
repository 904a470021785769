"""Threads of the OpenAI dialect: make one, read one, change what is kept with it, delete it."""

from aiohttp import web

from api import replies
from api.dialects.openai import decode, encode
from api.handlers import openai
from api.handlers.door import Door
from api.submission import NewThread, Passes
from shared import ids, reads
from shared.errors import NotFound
from shared.events import ThreadDeleted, ThreadEdited
from shared.ids import ThreadId
from shared.models import Thread
from shared.views import Caller


class OpenAIThreads:
    def __init__(self, door: Door) -> None:
        self._door = door

    async def create(self, request: web.Request) -> web.Response:
        """POST /v1/threads; an empty body makes an empty thread"""
        caller = await self._door.tokens.caller(request)
        opening = decode.opening(await self._door.body(request) if request.can_read_body else {})
        new, thread = NewThread(None, caller.kind, metadata=opening.metadata), ThreadId(ids.mint())
        answer = await openai.submit(self._door, caller, thread, opening.messages, new)
        return openai.made(request, encode.thread(thread, openai.thread_made_at(answer), opening.metadata))

    async def read(self, request: web.Request) -> web.Response:
        """GET /v1/threads/{threadId}"""
        caller = await self._door.tokens.caller(request)
        thread = await self._door.thread(caller, openai.thread_id(request))
        return await self._shown(caller, thread)

    async def edit(self, request: web.Request) -> web.Response:
        """POST /v1/threads/{threadId}"""
        caller = await self._door.tokens.caller(request)
        thread_id = openai.thread_id(request)
        metadata = decode.metadata(await self._door.body(request))
        thread = await self._door.thread(caller, thread_id)
        decode.merged(await self._metadata(caller, thread), metadata)
        if metadata:
            openai.settled(await openai.submit(self._door, caller, thread.id, (ThreadEdited(None, metadata),)))
        return await self._shown(caller, thread)

    async def delete(self, request: web.Request) -> web.Response:
        """DELETE /v1/threads/{threadId}"""
        caller = await self._door.tokens.caller(request)
        thread, passes = openai.thread_id(request), Passes.ARCHIVED | Passes.HELD
        await openai.submit(self._door, caller, thread, (ThreadDeleted(),), passes=passes)
        return replies.text(encode.deleted(thread, "thread"))

    async def _shown(self, caller: Caller, thread: Thread) -> web.Response:
        metadata = await self._metadata(caller, thread)
        return replies.document(encode.thread(thread.id, thread.created_at, metadata))

    async def _metadata(self, caller: Caller, thread: Thread) -> dict[str, str]:
        found = await reads.metadata(self._door.postgres, thread.partition, thread.id, caller.account)
        if found is None:
            raise NotFound
        return found
