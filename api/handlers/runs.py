"""Runs of a thread, with their place in its queue."""

from aiohttp import web

from api import replies
from api.dialects.mosoo import encode
from api.handlers import paths
from api.handlers.door import Door
from shared import reads
from shared.errors import NotFound
from shared.ids import RunId

_MOST = 1_000  # runs of one page


class Runs:
    def __init__(self, door: Door) -> None:
        self._door = door

    async def list(self, request: web.Request) -> web.Response:
        """GET /threads/{threadId}/runs"""
        caller = await self._door.tokens.caller(request)
        thread_id, after, limit = paths.thread_id(request), paths.after(request), paths.limit(request, _MOST)
        thread = await self._door.thread(caller, thread_id)
        cursor = None if after is None else RunId(after)
        found = await reads.runs(self._door.postgres, thread.partition, thread.id, limit + 1, cursor)
        return replies.text(encode.runs(found[:limit], len(found) > limit))

    async def read(self, request: web.Request) -> web.Response:
        """GET /threads/{threadId}/runs/{runId}"""
        caller = await self._door.tokens.caller(request)
        thread_id, run_id = paths.thread_id(request), paths.run_id(request)
        thread = await self._door.thread(caller, thread_id)
        found = await reads.run(self._door.postgres, thread.partition, thread.id, run_id)
        if found is None:
            raise NotFound
        return replies.text(encode.run(found))
