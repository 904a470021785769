"""Runs of a thread, with their place in its queue; another text for one that is queued."""

from aiohttp import web

from api import replies
from api.dialects.mosoo import decode, encode
from api.handlers import paths
from api.handlers.door import Door
from api.submission import Applied
from shared import reads
from shared.effects import WarningCode
from shared.errors import NotFound, ReadinessBlocked
from shared.events import RunEdited
from shared.ids import RunId

_MOST = 1_000  # runs of one page
_GONE = frozenset({WarningCode.RUN_NOT_FOUND, WarningCode.THREAD_DELETED})


class Runs:
    def __init__(self, door: Door) -> None:
        self._door = door

    async def list(self, request: web.Request) -> web.Response:
        """GET /threads/{threadId}/runs"""
        caller = await self._door.tokens.caller(request)
        thread_id, after, limit = paths.thread_id(request), paths.after(request), paths.limit(request, _MOST)
        thread = await self._door.read(request, caller, thread_id)
        cursor = None if after is None else RunId(after)
        found = await reads.runs(self._door.postgres, thread.partition, thread.id, limit + 1, cursor)
        return replies.text(encode.runs(found[:limit], len(found) > limit))

    async def read(self, request: web.Request) -> web.Response:
        """GET /threads/{threadId}/runs/{runId}"""
        caller = await self._door.tokens.caller(request)
        thread_id, run_id = paths.thread_id(request), paths.run_id(request)
        thread = await self._door.read(request, caller, thread_id)
        found = await reads.run(self._door.postgres, thread.partition, thread.id, run_id)
        if found is None:
            raise NotFound
        return replies.text(encode.run(found))

    async def edit(self, request: web.Request) -> web.Response:
        """PATCH /threads/{threadId}/runs/{runId}"""
        caller = await self._door.tokens.caller(request)
        thread, run = paths.thread_id(request), paths.run_id(request)
        event = RunEdited(run, decode.edit(await self._door.body(request)))
        answer = await self._door.change(request, caller, thread, event, self._door.wait(request))
        if isinstance(answer, Applied):
            _refuse(answer)
            return replies.text(encode.edited(answer))
        partition = await self._door.postgres.partition_of(thread)
        return replies.text(encode.to_be_edited(await reads.run(self._door.postgres, partition, thread, run)))


def _refuse(answer: Applied) -> None:
    """An edit is all that its batch holds: one without effect is an error. Raises NotFound, ReadinessBlocked."""
    for code, message in encode.warned(answer):
        raise NotFound if code in _GONE else ReadinessBlocked(message)
