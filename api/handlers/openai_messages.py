"""Messages of the AIML / OpenAI dialect: list, add, read, change what is kept with one, remove."""

from dataclasses import replace

from aiohttp import web

from api import replies
from api.dialects.openai import decode, encode
from api.handlers import openai, openai_writes
from api.handlers.door import Door
from api.handlers.openai import Window
from api.handlers.openai_writes import Asked
from shared import messages, reads
from shared.errors import NotFound
from shared.events import MessageDeleted, MessageEdited
from shared.ids import MessageId, RunId, Ulid
from shared.models import Thread
from shared.views import MessagePage, MessageView


class Messages:
    def __init__(self, door: Door) -> None:
        self._door = door

    async def list(self, request: web.Request) -> web.Response:
        """GET /threads/{threadId}/messages"""
        caller = await self._door.tokens.caller(request)
        thread_id, window, run = openai.thread_id(request), openai.window(request), openai.run_filter(request)
        thread = await self._door.read(request, caller, thread_id)
        if run is not None and await reads.run(self._door.postgres, thread.partition, thread.id, run) is None:
            raise NotFound("There is no such run.")
        found = await self._page(thread, window, run)
        page = found.messages[::-1] if window.backward else found.messages
        views = [encode.message(view, thread.id, thread.agent) for view in page]
        return openai.listed(request, views, found.next is not None)

    async def _page(self, thread: Thread, window: Window, run: RunId | None) -> MessagePage:
        lower, upper = window.bounds
        return await messages.page(
            self._door.postgres,
            thread.partition,
            thread.id,
            window.limit,
            above=messages.FIRST if lower is None else await self._number(thread, lower, window),
            below=messages.LAST if upper is None else await self._number(thread, upper, window),
            descending=window.reads_descending,
            run=run,
        )

    async def _number(self, thread: Thread, cursor: Ulid, window: Window) -> int:
        """The number of a message that is a cursor. Raises InvalidRequest where there is none."""
        found = await messages.one(self._door.postgres, thread.partition, thread.id, MessageId(cursor))
        if found is None:
            raise openai.unknown("after" if cursor == window.after else "before")
        return found.num

    async def create(self, request: web.Request) -> web.Response:
        """POST /threads/{threadId}/messages"""
        caller = await self._door.tokens.caller(request)
        thread = openai.thread_id(request)
        event = decode.message(await self._door.body(request))
        write = openai_writes.begin(self._door, request, caller, f"/threads/{thread}/messages", decode.said(event))
        told = await write.submit(Asked(thread, (event,), {"message": event.message}))
        event = replace(event, message=told.basis["message"])
        if told.outcome is None:
            return openai.made(request, encode.expected(event, thread, told.accepted_at))
        return openai.made(request, encode.added(event, thread, told.applied_at), told.headers)

    async def read(self, request: web.Request) -> web.Response:
        """GET /threads/{threadId}/messages/{messageId}"""
        caller = await self._door.tokens.caller(request)
        thread_id, id_ = openai.thread_id(request), openai.message_id(request)
        thread = await self._door.read(request, caller, thread_id)
        return replies.document(encode.message(await self._one(thread, id_), thread.id, thread.agent))

    async def edit(self, request: web.Request) -> web.Response:
        """POST /threads/{threadId}/messages/{messageId}"""
        caller = await self._door.tokens.caller(request)
        thread_id, id_ = openai.thread_id(request), openai.message_id(request)
        metadata = decode.metadata(await self._door.body(request))
        path = f"/threads/{thread_id}/messages/{id_}"
        write = openai_writes.begin(self._door, request, caller, path, {"metadata": metadata})
        if not metadata and write.key is None:  # nothing is asked for
            return await self.read(request)

        async def prepare() -> Asked:
            thread = await self._door.thread(caller, thread_id)
            shown = encode.message(await self._one(thread, id_), thread.id, thread.agent)
            return Asked(thread.id, (MessageEdited(id_, metadata),) if metadata else (), shown)

        told = await write.tell(prepare)
        return replies.document(told.edited(), headers=told.headers)

    async def delete(self, request: web.Request) -> web.Response:
        """DELETE /threads/{threadId}/messages/{messageId}"""
        caller = await self._door.tokens.caller(request)
        thread_id, id_ = openai.thread_id(request), openai.message_id(request)
        write = openai_writes.begin(self._door, request, caller, f"/threads/{thread_id}/messages/{id_}", {})

        async def prepare() -> Asked:
            await self._one(await self._door.thread(caller, thread_id), id_)
            return Asked(thread_id, (MessageDeleted(id_),))

        told = await write.tell(prepare)
        told.settled()
        return replies.text(encode.deleted(id_, "thread.message"), headers=told.headers)

    async def _one(self, thread: Thread, id_: MessageId) -> MessageView:
        """Raises NotFound."""
        found = await messages.one(self._door.postgres, thread.partition, thread.id, id_)
        if found is None:
            raise NotFound("There is no such message.")
        return found
