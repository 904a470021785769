"""One run followed by one request: what it logs from the moment its batch was accepted, until it is over or asks.

Whoever asked may be gone: the run does not know. What waits for the client is bounded as in any stream (`api.streams`),
and what does not fit is read from the log again. Refused here: spelling any of it.
"""

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

from api import tail
from api.follow import Hub
from api.postgres import Postgres
from api.sse import Outlet
from api.streams import Stream
from shared import answers, ids, runs
from shared.effects import EventLogged
from shared.errors import ServiceInactive
from shared.history import ENDS
from shared.ids import EventId, RunId, ThreadId, TokenId
from shared.models import TERMINAL
from shared.views import RunAnswer

Show = Callable[[list[EventLogged]], Awaitable[object]]

_ASKS = "tool.confirmation.required"


@dataclass(frozen=True, slots=True)
class Asked:
    """A run and where it is; `since`: when the batch was accepted that it is followed for."""

    partition: int
    thread: ThreadId
    run: RunId
    since: datetime
    token: TokenId


async def follow(asked: Asked, postgres: Postgres, hub: Hub, outlet: Outlet, show: Show) -> RunAnswer:
    """Shows what the run logs, in order, and an empty list where it has long been silent, until it is over or waits for
    a permission: its answer then. Raises NotFound, Unauthenticated, ServiceInactive, ConnectionError.
    """
    if found := await _asks(asked, postgres):
        return found
    cursor = EventId(ids.earliest(asked.since))
    stream = Stream(asked.partition, asked.thread, asked.token, outlet, cursor, EventId(ids.successor(cursor)))
    hub.follow(stream)
    try:
        # Looked at from within: what ends the run from here on comes. What ended it before may lie before the batch.
        if await _is_over(asked, postgres):
            stream.ended = True
        async with aclosing(tail.pieces(stream, postgres)) as pieces:
            async for piece in pieces:
                events = [event for event in piece if event.run == asked.run]
                if events or not piece:
                    await show(events)
                if any(event.type in ENDS for event in events):
                    return await _answer(asked, postgres)
                if any(event.type == _ASKS for event in events) and (found := await _asks(asked, postgres)):
                    return found
    finally:
        hub.leave(stream)
    if stream.ended and stream.error is None:
        return await _answer(asked, postgres)
    if outlet.closed:
        raise ConnectionResetError("The client is gone.")
    raise stream.error or ServiceInactive("This process ends; the run goes on, its thread has what it says.")


async def question(asked: Asked, postgres: Postgres) -> int | None:
    """The number of the message that the run answers. Raises NotFound."""
    return await answers.question(postgres, asked.partition, asked.thread, asked.run)


async def _answer(asked: Asked, postgres: Postgres) -> RunAnswer:
    return await answers.answer(postgres, asked.partition, asked.thread, asked.run, asked.since)


async def _asks(asked: Asked, postgres: Postgres) -> RunAnswer | None:
    """The answer of a run that waits for a permission. What it said is not read of one whose requests are settled."""
    if not await runs.open_requests(postgres, asked.partition, asked.thread, asked.run):
        return None
    found = await _answer(asked, postgres)
    return found if found.requests else None


async def _is_over(asked: Asked, postgres: Postgres) -> bool:
    found = await runs.one(postgres, asked.partition, asked.thread, asked.run)
    return found is None or found.run.status in TERMINAL
