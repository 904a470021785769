"""aiohttp's server with our limits, and our envelope for what is not HTTP at all."""

import asyncio
from typing import Any

from aiohttp import web

from api import errors
from api.edge import edge
from api.negotiation import REQUEST_ID, request_id
from shared.errors import InternalError, InvalidRequest

# Seconds that an idle connection, or one that never finishes its headers, is kept.
KEEP_ALIVE = 75.0
# Seconds that the rest of a refused body is read for, so that its sender gets to see the refusal.
LINGER = 5.0
# A compressed body is refused by its header: the parser must not unpack it before that.
OPTIONS: dict[str, Any] = {
    "auto_decompress": False,
    "keepalive_timeout": KEEP_ALIVE,
    "lingering_time": LINGER,
    "access_log": None,
}


class _Connection(web.RequestHandler):
    """One connection. What the parser refuses is told in our words: aiohttp's repeat what was sent."""

    __slots__ = ()

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
        error = InvalidRequest("The request is not valid HTTP.") if status < 500 else InternalError()
        response = errors.envelope(error, status)
        response.headers[REQUEST_ID] = request_id(request.headers)
        response.force_close()
        return response


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=asyncio.get_running_loop(), **OPTIONS)


class Runner(web.AppRunner):
    """Runs an application behind our server; `shutdown_timeout` in seconds is for requests under way."""

    async def _make_server(self) -> web.Server:
        plain = await super()._make_server()
        return _Server(edge(plain.request_handler), request_factory=plain.request_factory)
