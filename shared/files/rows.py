"""The rows of files: begun before the first byte is written, ready behind the last one, gone before their bytes.

Functions over anything that has `fetch` and `fetchrow`. Whose a file is, is asked in the statement: another account's
is as unknown as one that does not exist. Refused here: touching bytes, and waiting for a storage.
"""

from dataclasses import dataclass
from typing import Any

from shared import crashpoints
from shared.db.statements import statements
from shared.errors import NotFound, TooLarge
from shared.ids import AccountId, AgentId, FileId, RunId, ThreadId, TokenId, Ulid
from shared.reads import Source
from shared.views import FileView

SQL = statements("files")
FIRST = FileId(Ulid("0" * 26))  # before every id


@dataclass(frozen=True, slots=True)
class NewFile:
    """What is known of a file before its first byte. Without a token it is an artifact, which a run made."""

    id: FileId
    account: AccountId
    agent: AgentId
    token: TokenId | None
    name: str
    mime_type: str
    most: int  # bytes that it may come to: they are taken off the quota until it is whole
    partition: int | None = None
    thread: ThreadId | None = None
    run: RunId | None = None


async def begin(source: Source, new: NewFile, quota: int, patience: float) -> None:
    """The row; given up after `patience` seconds. `quota` in bytes, 0: none. Raises TooLarge where it is used up."""
    who = (new.id, new.account, new.agent, new.token, new.name, new.mime_type, new.most)
    where = (new.partition, new.thread, new.run)
    if await source.fetchrow(SQL["begin"], *who, quota, patience, *where) is None:
        used = await source.fetchrow(SQL["usage"], new.account)
        has = 0 if used is None else used["bytes"]
        raise TooLarge(
            f"The account's files may come to {quota} bytes, and come to {has}: there is no room for {new.most} more."
        )


async def finish(source: Source, file: FileId, size: int, sha256: bytes, draft_hours: float) -> FileView | None:
    """The file can be read from now on; None where it was given up in the meantime."""
    row = await source.fetchrow(SQL["finish"], file, size, sha256, draft_hours)
    return None if row is None else _view(row)


async def give_up(source: Source, file: FileId) -> None:
    """A file that did not become whole."""
    await source.fetch(SQL["give_up"], file)


async def leave_over(source: Source, file: FileId, account: AccountId) -> None:
    """Bytes whose row is gone already: the sweep removes them."""
    await source.fetch(SQL["left_over"], file, account)


async def find(source: Source, file: FileId, account: AccountId) -> FileView:
    """Raises NotFound."""
    row = await source.fetchrow(SQL["find"], file, account)
    if row is None:
        raise NotFound
    return _view(row)


async def of_thread(
    source: Source, partition: int, thread: ThreadId, limit: int, after: FileId | None = None
) -> list[FileView]:
    """At most `limit` files, the oldest first; those behind `after`, where one is given."""
    return [_view(row) for row in await source.fetch(SQL["of_thread"], partition, thread, limit, after or FIRST)]


async def remove(
    source: Source, file: FileId, account: AccountId, partition: int | None = None, thread: ThreadId | None = None
) -> None:
    """The file is gone for everybody; with `thread` only where it is that thread's. Raises NotFound.

    Asked twice: a statement that waited for the one that made the file's thread does not see the thread yet.
    """
    for _ in range(2):
        if await source.fetchrow(SQL["remove"], file, account, partition, thread) is not None:
            crashpoints.crash("file.after_row_gone")
            return
    raise NotFound


def _view(row: Any) -> FileView:
    return FileView(
        id=row["id"],
        name=row["name"],
        mime_type=row["mime_type"],
        size=row["size"],
        sha256=row["sha256"],
        kind=row["kind"],
        thread=row["thread"],
        created_at=row["created_at"],
        committed=row.get("committed", True),
    )
