"""Messages of a thread as dialects list them: by number, which is the order of their commits, a page at a time.

A page costs the same wherever in a thread it lies. Refused here: writing, and the log (`shared.history`).
"""

from typing import Any

from pydantic_core import from_json

from shared.db.statements import statements
from shared.ids import MessageId, RunId, ThreadId
from shared.reads import Source
from shared.views import MessagePage, MessageView

SQL = statements("messages")

FIRST, LAST = 0, 2**63 - 1  # before every number, and beyond
_SIZE = 4 << 20  # bytes of a page, but for its last message; a message may be 8 MiB


async def page(
    source: Source,
    partition: int,
    thread: ThreadId,
    limit: int,
    *,
    above: int = FIRST,
    below: int = LAST,
    descending: bool = True,
    run: RunId | None = None,
) -> MessagePage:
    """At most `limit` messages with numbers between the two (exclusive), in this order, or fewer where they are large;
    of a run what it said.
    """
    name = "newest" if descending else "oldest"
    bounds = (partition, thread, above, below, limit + 1, _SIZE)
    if run is None:
        rows = await source.fetch(SQL[name], *bounds)
    else:
        rows = await source.fetch(SQL[f"{name}_of_run"], *bounds, run)
    views = [_view(row) for row in rows]
    more = len(views) > limit or bool(rows and rows[0]["found"] > len(rows))
    return MessagePage(views[:-1], views[-1]) if more else MessagePage(views, None)


async def one(source: Source, partition: int, thread: ThreadId, id_: MessageId) -> MessageView | None:
    row = await source.fetchrow(SQL["one"], partition, thread, id_)
    return None if row is None else _view(row)


async def numbered(source: Source, partition: int, thread: ThreadId, num: int) -> MessageView | None:
    row = await source.fetchrow(SQL["numbered"], partition, thread, num)
    return None if row is None else _view(row)


def _view(row: Any) -> MessageView:
    return MessageView(
        id=row["id"],
        num=row["num"],
        role=row["role"],
        parts=from_json(row["parts"]),
        parent=row["parent"],
        run=row["run"],
        metadata=from_json(row["metadata"] or "{}"),
        request_id=row["request_id"],
        created_at=row["created_at"],
        incomplete=row["incomplete_reason"],
    )
