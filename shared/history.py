"""Pages of a thread's log: bounded in entries and in text, the deltas of one message folded into one entry.

Whatever was logged between the deltas of a message does not part them. A folded entry has the id of the last delta it
holds, so that every id on a page is a cursor. Refused here: live events; a stream sends deltas as they are.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json

from shared.db.statements import statements
from shared.effects import EventLogged
from shared.ids import EventId, RunId, ThreadId
from shared.reads import Source
from shared.views import HistoryPage

SQL = statements("reads")

DELTAS = frozenset({"agent.message.delta", "agent.thinking.delta"})
ENDS = frozenset({"run.completed", "run.failed"})  # nothing of a run comes behind one of these
TEXT_LIMIT = 8 << 20  # characters of content on one page: 1,000 entries may hold 256 KiB each
_ROWS = 1_000  # rows read at a time where one entry has many
_BEHIND = 20_000  # events before a full page that are looked through for the beginning of its oldest messages


@dataclass(slots=True)
class _Entry:
    """An entry under way: its events in the order they were read."""

    events: list[EventLogged]

    def folded(self) -> EventLogged:
        return joined(sorted(self.events, key=lambda event: event.id))


@dataclass(slots=True)
class _Folder:
    """Takes events in either direction; `limit` is of entries."""

    limit: int
    entries: list[_Entry] = field(default_factory=list)
    open: dict[EventId, _Entry] = field(default_factory=dict)  # messages that may go on
    text: int = 0

    def add(self, event: EventLogged) -> bool:
        """False where the event belongs to none of the entries and there is no room for one more."""
        entry = None if event.message is None else self.open.get(event.message)
        if self.text > TEXT_LIMIT or (entry is None and len(self.entries) >= self.limit):
            return False
        if entry is None:
            self.entries.append(entry := _Entry([]))
        if event.message is not None and event.message not in self.open:
            self._begin(event, event.message, entry)
        self.text += len(event.content or "")
        entry.events.append(event)
        return True

    def _begin(self, event: EventLogged, message: EventId, entry: _Entry) -> None:
        """A run tells one message of a kind at a time."""
        self.close(event.run, event.type)
        self.open[message] = entry

    def close(self, run: RunId | None, type_: str | None = None) -> None:
        """The messages of a run, or those of one type, do not go on."""
        for message, entry in list(self.open.items()):
            first = entry.events[0]
            if first.run == run and type_ in (None, first.type):
                del self.open[message]

    def page(self, truncated: bool) -> HistoryPage:
        entries = sorted((entry.folded() for entry in self.entries), key=lambda event: event.id)
        return HistoryPage(tuple(entries), truncated)


async def newest(source: Source, partition: int, thread: ThreadId, limit: int) -> HistoryPage:
    """The newest `limit` entries; also the oldest of them are whole."""
    folder = _Folder(limit)
    async for event in _rows(source, "events_before", partition, thread, None, limit + 1):
        if not folder.add(event):
            await _complete(source, partition, thread, folder, event.id)
            return folder.page(truncated=True)
        if event.type == "run.started":
            folder.close(event.run)
    return folder.page(truncated=False)


async def _complete(source: Source, partition: int, thread: ThreadId, folder: _Folder, cursor: EventId) -> None:
    """Adds what lies at a cursor, or before it, of the messages that may go on there."""
    if folder.open:
        for row in await source.fetch(SQL["deltas_before"], partition, thread, cursor, _BEHIND, list(folder.open)):
            folder.add(event_of(row))


async def after(source: Source, partition: int, thread: ThreadId, limit: int, cursor: EventId) -> HistoryPage:
    """The next `limit` entries behind a cursor. The page's last id is the cursor of the next one."""
    folder = _Folder(limit)
    async for event in _rows(source, "events_after", partition, thread, cursor, limit + 1):
        if not folder.add(event):
            return folder.page(truncated=True)
    return folder.page(truncated=False)


async def _rows(
    source: Source, statement: str, partition: int, thread: ThreadId, cursor: EventId | None, first: int
) -> AsyncIterator[EventLogged]:
    """The log from a cursor on, read piece by piece for as long as it is wanted."""
    wanted = first
    while True:
        rows = await source.fetch(SQL[statement], partition, thread, cursor, wanted)
        for row in rows:
            yield event_of(row)
        if len(rows) < wanted:
            return
        cursor, wanted = rows[-1]["id"], _ROWS


def joined(events: Sequence[EventLogged]) -> EventLogged:
    """Deltas of one message as one, with the id of the last."""
    if len(events) == 1:
        return events[0]
    return events[-1]._replace(
        content="".join(event.content or "" for event in events),
        tokens=_sum([event.tokens for event in events]),
        duration_ms=_sum([event.duration_ms for event in events]),
    )


def event_of(row: Any) -> EventLogged:
    return EventLogged(
        id=row["id"],
        type=row["type"],
        occurred_at=row["occurred_at"],
        run=row["run"],
        content=row["content"],
        status=row["status"],
        tool_call_id=row["tool_call_id"],
        tool_name=row["tool_name"],
        tool_input=_object(row["tool_input"]),
        request_id=row["request_id"],
        tokens=row["tokens"],
        duration_ms=row["duration_ms"],
        message=row["message"],
    )


def _object(text: str | None) -> dict[str, Any] | None:
    """A tool's input; None also where it can't be read: one event must not hide a whole log."""
    try:
        return None if text is None else from_json(text)
    except ValueError:
        return None


def _sum(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
