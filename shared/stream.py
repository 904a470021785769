"""A thread's log read forward, for streams: a piece behind a cursor, of one thread or of many in one statement.

Every id that a stream shows is a cursor, also where the stream ends in the middle of what was read; so only deltas that
stand right beside each other are folded here, and a long message comes in several parts. Refused: waiting for more.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple, TypeAlias

from shared import history
from shared.db.statements import statements
from shared.effects import EventLogged
from shared.history import DELTAS
from shared.ids import EventId, RunId, ThreadId, TokenId, Ulid
from shared.reads import Source

SQL = statements("stream")

START = EventId(Ulid("0" * 26))  # before every event
_END = EventId(Ulid("7" + "Z" * 25))
_OUTLINES = 1_000  # rows read at a time
_MOST = 50_000  # outlines read to find the beginning: a message of more deltas is shown from within


_Entry: TypeAlias = tuple[RunId | None, str, EventId | None]  # of deltas: their run, type and message


class Place(NamedTuple):
    partition: int
    thread: ThreadId
    cursor: EventId


class Piece(NamedTuple):
    """The next events behind a cursor. There are more where `newest` is not the last of them."""

    events: list[EventLogged]
    newest: EventId
    deleted: bool


async def behind(source: Source, places: Sequence[Place], rows: int, size: int) -> dict[ThreadId, Piece]:
    """Of each thread that has something new at most `rows` events, of about `size` bytes."""
    found: dict[ThreadId, Piece] = {}
    columns = [list(column) for column in zip(*places, strict=True)]
    for row in await source.fetch(SQL["behind"], *columns, rows, size):
        piece = found.get(row["thread"])
        if piece is None:
            piece = found[row["thread"]] = Piece([], row["newest"] or START, row["deleted"])
        if row["id"] is not None:
            piece.events.append(history.event_of(row))
    return found


def folded(events: Iterable[EventLogged]) -> Iterator[EventLogged]:
    """The same events, deltas of one message that follow each other as one, with the id of the last."""
    for key, group in groupby(events, lambda event: _entry(event.run, event.type, event.message)):
        if key is None:
            yield from group
        else:
            yield history.joined(list(group))


async def beginning(source: Source, partition: int, thread: ThreadId, limit: int) -> EventId:
    """The cursor behind which the newest `limit` entries lie, as `folded` would make them."""
    entries, read = 0, 0
    last: _Entry | None = None
    cursor = _END
    while read < _MOST:
        rows = await source.fetch(SQL["outlines"], partition, thread, cursor, _OUTLINES)
        for row in rows:
            key = _entry(row["run"], row["type"], row["message"])
            if key is None or key != last:
                entries += 1
            if entries > limit:
                return EventId(row["id"])
            last, cursor = key, row["id"]
        read += len(rows)
        if len(rows) < _OUTLINES:
            return START
    return cursor


async def current_run(source: Source, partition: int, thread: ThreadId) -> RunId | None:
    """The thread's first run that is not over."""
    row = await source.fetchrow(SQL["current_run"], partition, thread)
    return None if row is None else RunId(row["id"])


async def revoked(source: Source, tokens: Sequence[TokenId]) -> set[TokenId]:
    """Those of these tokens that were revoked, or whose time is over."""
    return {row["id"] for row in await source.fetch(SQL["revoked"], tokens)}


def _entry(run: RunId | None, type_: str, message: EventId | None) -> _Entry | None:
    """What deltas of one entry have in common; None of what is never folded."""
    return (run, type_, message) if type_ in DELTAS else None
