"""Threads of the OpenAI dialect: make one, read one, change what is kept with it, delete it."""

from aiohttp import web

from api import replies
from api.dialects.openai import decode, encode
from api.handlers import openai, openai_writes
from api.handlers.door import Door
from api.handlers.openai_writes import Asked
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
        write = openai_writes.begin(self._door, request, caller, "/threads", opening.document)
        told = await write.submit(Asked(thread, opening.messages, new=new))
        return openai.made(request, encode.thread(told.thread, told.thread_made_at, opening.metadata), told.headers)

    async def read(self, request: web.Request) -> web.Response:
        """GET /v1/threads/{threadId}"""
        caller = await self._door.tokens.caller(request)
        thread = await self._door.read(request, caller, openai.thread_id(request))
        metadata = await self._metadata(caller, thread)
        return replies.document(encode.thread(thread.id, thread.created_at, metadata))

    async def edit(self, request: web.Request) -> web.Response:
        """POST /v1/threads/{threadId}"""
        caller = await self._door.tokens.caller(request)
        thread_id = openai.thread_id(request)
        metadata = decode.metadata(await self._door.body(request))
        write = openai_writes.begin(self._door, request, caller, f"/threads/{thread_id}", {"metadata": metadata})
        if not metadata and write.key is None:  # nothing is asked for
            return await self.read(request)

        async def prepare() -> Asked:
            thread = await self._door.thread(caller, thread_id)
            shown = encode.thread(thread.id, thread.created_at, await self._metadata(caller, thread))
            return Asked(thread.id, (ThreadEdited(None, metadata),) if metadata else (), shown)

        told = await write.tell(prepare)
        return replies.document(told.edited(), headers=told.headers)

    async def delete(self, request: web.Request) -> web.Response:
        """DELETE /v1/threads/{threadId}"""
        caller = await self._door.tokens.caller(request)
        thread, passes = openai.thread_id(request), Passes.ARCHIVED | Passes.HELD
        write = openai_writes.begin(self._door, request, caller, f"/threads/{thread}", {})
        told = await write.submit(Asked(thread, (ThreadDeleted(),), passes=passes))
        told.settled()
        return replies.text(encode.deleted(thread, "thread"), headers=told.headers)

    async def _metadata(self, caller: Caller, thread: Thread) -> dict[str, str]:
        found = await reads.metadata(self._door.postgres, thread.partition, thread.id, caller.account)
        if found is None:
            raise NotFound
        return found
