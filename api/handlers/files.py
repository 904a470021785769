"""Files: upload one to an agent, read what it is and what it holds, list a thread's, delete."""

from aiohttp import web

from api import content, edge, negotiation, replies
from api.content import Disposition
from api.dialects.mosoo import encode
from api.handlers import paths
from api.handlers.door import Door
from api.multipart import Form
from shared import ids
from shared.errors import Forbidden, InternalError, InvalidRequest
from shared.files import names, rows
from shared.files.keeping import Keeping
from shared.files.rows import NewFile
from shared.ids import FileId
from shared.models import TokenKind
from shared.views import FileView

_PAGE = 100  # files a page, and the most


class Files:
    def __init__(self, door: Door, keeping: Keeping) -> None:
        self._door = door
        self._keeping = keeping

    async def upload(self, request: web.Request) -> web.Response:
        """POST /agents/{agentId}/files. The budget comes before the body: that one is read only where it may stay."""
        caller = await self._door.tokens.caller(request)
        agent_id = paths.agent_id(request)
        if caller.kind is TokenKind.SERVICE_TOKEN:
            raise Forbidden("A service token can't upload files.")
        settings = self._door.settings
        form = Form(request, settings.file_limit, settings.body_timeout)
        await self._door.admit(request, caller)
        agent = await self._door.agents.of_account(agent_id, caller.account)
        head = await form.head()
        new = NewFile(
            id=FileId(ids.mint()),
            account=caller.account,
            agent=agent.id,
            token=caller.token,
            name=names.check_name(head.name),
            mime_type=names.type_of(head.type),
            most=form.most,
        )
        try:
            kept = await self._keeping.keep(new, form.pieces())
        except TimeoutError:
            raise InvalidRequest("The body took too long.") from None
        return replies.document(encode.file(kept), 201)

    async def read(self, request: web.Request) -> web.Response:
        """GET /files/{fileId}"""
        file = await self._found(request)
        return replies.document(encode.file(file))

    async def content(self, request: web.Request) -> web.StreamResponse:
        """GET /files/{fileId}/content"""
        wanted = _disposition(request)
        file = await self._found(request)
        span = content.span_of(request, file)
        if span is None:
            return content.unsatisfied(file)
        response = content.begun(file, span, wanted)
        response.headers.update({negotiation.REQUEST_ID: request[edge.ID], **request.get(edge.RATE, {})})
        size = span.stop - span.start
        if request.method == "HEAD" or not size:
            return response
        try:
            async with self._keeping.storage.read(file.id, span.start, span.stop) as pieces:
                await response.prepare(request)
                await content.send(request, response, self._keeping.paced(pieces), size)
        except FileNotFoundError:
            raise InternalError from None
        return response

    async def delete(self, request: web.Request) -> web.Response:
        """DELETE /files/{fileId}"""
        caller = await self._door.tokens.caller(request)
        file = paths.file_id(request)
        await self._door.admit(request, caller)
        await rows.remove(self._keeping.source, file, caller.account)
        return replies.text(encode.DONE)

    async def list(self, request: web.Request) -> web.Response:
        """GET /threads/{threadId}/files"""
        caller = await self._door.tokens.caller(request)
        thread_id, after, limit = paths.thread_id(request), paths.after(request), paths.limit(request, _PAGE)
        thread = await self._door.read(request, caller, thread_id)
        cursor = None if after is None else FileId(after)
        found = await rows.of_thread(self._door.postgres, thread.partition, thread.id, limit + 1, cursor)
        return replies.document(encode.files(found[:limit], len(found) > limit))

    async def delete_of_thread(self, request: web.Request) -> web.Response:
        """DELETE /threads/{threadId}/files/{fileId}"""
        caller = await self._door.tokens.caller(request)
        thread_id, file = paths.thread_id(request), paths.file_id(request)
        thread = await self._door.read(request, caller, thread_id)
        await rows.remove(self._keeping.source, file, caller.account, thread.partition, thread.id)
        return replies.text(encode.DONE)

    async def _found(self, request: web.Request) -> FileView:
        caller = await self._door.tokens.caller(request)
        file = paths.file_id(request)
        await self._door.admit(request, caller)
        return await rows.find(self._door.postgres, file, caller.account)


def _disposition(request: web.Request) -> Disposition:
    """Raises InvalidRequest."""
    given = request.query.get("disposition", Disposition.ATTACHMENT)
    if given not in (Disposition.ATTACHMENT, Disposition.INLINE):
        raise InvalidRequest("disposition: attachment or inline.")
    return Disposition(given)
