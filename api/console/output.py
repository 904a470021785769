"""What a run says while it says it: the thread's log by the hub, as running text for one page.

It costs what a client's stream costs, and one of the console's places; the hub reads each thread once, however many
watch. It ends with the run, with the session, and after so much text that a browser would suffer. Where the connection
was lost the page is loaded anew.
Refused here: deciding who may look, beyond the session.
"""

import time
from dataclasses import dataclass
from functools import partial

import structlog
from aiohttp import web
from markupsafe import Markup

from api import sse, tail
from api.console import guard
from api.console.console import Console
from api.console.seats import TooManyViewers, TooManyWindows
from api.console.servers import PostgresAway
from api.console.sessions import Operator
from api.console.visit import SESSION
from api.follow import Hub
from api.postgres import Postgres
from api.sse import COMMENT, CONNECTED, Outlet
from api.streams import Stream
from shared import ids, words
from shared.errors import ThreadmillError
from shared.history import ENDS
from shared.ids import EventId
from shared.inspect.threads import own_row
from shared.inspect.transcript import Transcript
from shared.models import Thread
from shared.stream import START

log = structlog.get_logger()

MOST = 1 << 20  # characters sent to one page: it is loaded anew for more
CHECK = 5.0  # seconds between two looks at whether the session goes on
_RELOAD = "Load the page anew to go on."
_MORE = f"\n── This is much text. {_RELOAD}\n"
END = b"event: end\ndata: end\n\n"


@dataclass(frozen=True, slots=True)
class Output:
    console: Console
    hub: Hub
    postgres: Postgres

    async def follow(self, request: web.Request) -> web.StreamResponse:
        """GET /console/runs/{thread}/{run}/output: what comes behind the event `after`."""
        response = sse.response(request)
        opened = await self._opened(request)
        writer = await response.prepare(request)
        if opened is None or request.method == "HEAD" or writer is None or request.transport is None:
            if writer is not None and request.method != "HEAD":
                await response.write(END)
            return response
        who, thread = opened
        known = thread.last_event_id or START
        after = EventId(ids.parse(request.query.get("after", "")) or known)
        outlet = Outlet(writer, request.transport)
        stream = Stream(thread.partition, thread.id, who.token, outlet, cursor=after, since=known)
        try:
            await self._seated(request, who, stream)
        except ConnectionError as gone:
            log.debug("viewer lost", error=repr(gone))
        return response

    async def _seated(self, request: web.Request, who: Operator, stream: Stream) -> None:
        """Raises ConnectionError."""
        try:
            with self.console.seats.one(who.token, partial(_oust, stream)):
                self.hub.follow(stream)
                try:
                    await self._feed(request, who, stream)
                finally:
                    self.hub.leave(stream)
        except TooManyViewers as full:
            await stream.outlet.send(spelt(f"\n── {full.message}\n") + END)

    async def _opened(self, request: web.Request) -> tuple[Operator, Thread] | None:
        """Who asks, and the thread; None where nobody is logged in, or there is nothing to follow."""
        try:
            who = await self.console.sessions.find(guard.cookie(request, SESSION))
            if who is None:
                return None
            async with self.console.servers.connection() as db:
                return who, await own_row(db, request.match_info["thread"])
        except (PostgresAway, ThreadmillError):
            return None

    async def _feed(self, request: web.Request, who: Operator, stream: Stream) -> None:
        run, sent = ids.parse(request.match_info["run"]), 0
        message = ids.parse(request.query.get("in", ""))
        transcript = Transcript(request.query.get("type"), None if message is None else EventId(message))
        checked = time.monotonic()
        await stream.outlet.send(CONNECTED)
        try:
            async for piece in tail.pieces(stream, self.postgres):
                events = [event for event in piece if event.run == run]
                text = "".join(map(transcript.event, events))
                sent += len(text)
                await stream.outlet.send(spelt(text) if text else COMMENT)
                if any(event.type in ENDS for event in events):
                    break
                if sent > MOST:
                    await stream.outlet.send(spelt(_MORE))
                    break
                if time.monotonic() - checked > CHECK:
                    checked = time.monotonic()
                    if await self.console.sessions.find(who.cookie) is None:
                        break
            if stream.error is not None:  # it was stopped
                raise stream.error
        except ThreadmillError as error:
            await stream.outlet.send(spelt(f"\n── {error.message} {_RELOAD}\n"))
        await stream.outlet.send(END)


def _oust(stream: Stream) -> None:
    """Somebody who has fewer places has its one."""
    stream.stop(TooManyWindows())
    stream.outlet.cut()


def spelt(text: str) -> bytes:
    """Text as an event: escaped, and nothing in it that can't be seen."""
    lines = str(Markup.escape(words.visible(text))).split("\n")
    data = "".join(f"data: {line}\n" for line in lines)
    return f"event: piece\n{data}\n".encode()
