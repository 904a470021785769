"""aiohttp's server with our limits, and our envelope for what is not HTTP at all."""

import asyncio
import re
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import _ErrInfo

from api import errors
from api.console import bare
from api.edge import Handler, edge
from api.negotiation import REQUEST_ID, request_id
from api.tracing import Tracing
from shared.errors import InternalError, InvalidRequest

# Seconds that a connection is kept between two requests.
KEEP_ALIVE = 75.0
# Seconds for the head of a request to arrive, from the connection or from its first byte; aiohttp has no such bound.
HEAD_TIMEOUT = 10.0
LOOK_EVERY = 1.0  # seconds between looks at those that are not whole
# Seconds that the rest of a refused body is read for, so that its sender gets to see the refusal.
LINGER = 5.0
_FIRST_LINE = re.compile(rb"[A-Z]{1,20} (/[^ ?#\r\n]{0,200})")  # a path of any dialect begins with a few letters
# A compressed body is refused by its header: the parser must not unpack it before that.
OPTIONS: dict[str, Any] = {
    "auto_decompress": False,
    "keepalive_timeout": KEEP_ALIVE,
    "lingering_time": LINGER,
    "access_log": None,
}


class _Connection(web.RequestHandler):
    """One connection. What the parser refuses is told in our words: aiohttp's repeat what was sent."""

    __slots__ = ("_path", "_refused")
    _manager: "_Server | None"

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._path = ""  # of a request that the parser refused, where it is known
        self._refused = False  # by the parser: what comes behind that is no HTTP either

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self._manager is not None:
            self._manager.expect(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._manager is not None:
            self._manager.heads.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        count, begins = self._request_count, self._waiter is not None
        told_to_end = self._close, self._force_close
        if any(told_to_end) and self._body_arrives():  # aiohttp drops the rest of a body from the moment a stop begins
            self._close = self._force_close = False
        super().data_received(data)
        self._close, self._force_close = self._close or told_to_end[0], self._force_close or told_to_end[1]
        if self._messages and isinstance(refusal := self._messages[-1][0], _ErrInfo):
            self._refused = True
            refusal.exc.__traceback__ = None  # as in `handle_error`, which may never come to it
            if begins:
                self._path = _path_of(data)
        if self._manager is None:
            return
        if self._request_count != count:
            self._manager.heads.pop(self, None)
        elif data and self._waiter is not None:  # it waits for a request, and this is the beginning of one
            self._manager.expect(self)

    def _body_arrives(self) -> bool:
        """Whether the request under way waits for the rest of its body."""
        return self._current_request is not None and not self._current_request.content.is_eof()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Does nothing where nothing was paused: aiohttp calls this at each read, and parses an empty string then."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if exc is not None:
            exc.__traceback__ = None  # it holds the frame that holds it, and with them the whole connection
        if request.writer.output_size > 0:
            raise ConnectionError("The answer has begun; it can't be changed any more.")
        made = request_id(request.headers)
        error = InvalidRequest("The request is not valid HTTP.") if status < 500 else InternalError()
        # Of what the parser refuses the request has no path, and `_path` the one that its bytes begin with. Where they
        # begin with none, nobody knows which dialect was meant: the native envelope is right.
        path = self._path or request.path
        response: web.StreamResponse = (
            bare.page(error, made, status)
            if bare.is_under_console(path)
            else errors.envelope(error, path, made, status)
        )
        response.headers[REQUEST_ID] = made
        response.force_close()
        return response


def _path_of(data: bytes) -> str:
    """The path in the first line of a request; empty where it is none, or not whole."""
    found = _FIRST_LINE.match(data)
    return "" if found is None else found[1].decode("ascii", "replace")


class _Server(web.Server):
    """Makes connections, and closes those that never finish the head of a request: one timer for all of them."""

    def __init__(self, handler: Handler, request_factory: Any) -> None:
        super().__init__(handler, request_factory=request_factory)
        self.heads: dict[_Connection, float] = {}  # not whole yet, since when; the oldest first
        self._look: asyncio.TimerHandle | None = None

    def expect(self, connection: "_Connection") -> None:
        """The head of a request is to be whole within its time."""
        self.heads.setdefault(connection, self._loop.time())
        if self._look is None:
            self._look = self._loop.call_later(LOOK_EVERY, self._close_late)

    def _close_late(self) -> None:
        begun_before = self._loop.time() - HEAD_TIMEOUT
        while self.heads and next(iter(self.heads.values())) <= begun_before:
            connection = next(iter(self.heads))
            del self.heads[connection]
            connection.force_close()
        self._look = self._loop.call_later(LOOK_EVERY, self._close_late) if self.heads else None

    async def shutdown(self, timeout: float | None = None) -> None:
        if self._look is not None:
            self._look.cancel()
        await super().shutdown(timeout)

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=asyncio.get_running_loop(), **OPTIONS)


class Runner(web.AppRunner):
    """Runs an application behind our server; `shutdown_timeout` in seconds is for requests under way."""

    def __init__(self, app: web.Application, *, shutdown_timeout: float, tracing: Tracing | None = None) -> None:
        super().__init__(app, shutdown_timeout=shutdown_timeout)
        self._tracing = tracing

    async def _make_server(self) -> web.Server:
        plain = await super()._make_server()
        answer = edge(plain.request_handler)
        return _Server(answer if self._tracing is None else self._tracing.edge(answer), plain.request_factory)
