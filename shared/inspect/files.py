"""Files as an operator sees them: whose they are, what they come to, what is still to be removed."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from shared.db.connect import Database
from shared.db.statements import statements
from shared.errors import NotFound
from shared.ids import AccountId, AgentId, FileId, RunId, ThreadId, TokenId
from shared.inspect.counts import COUNTED, Count, counted
from shared.inspect.page import FIRST, LAST, Id, Page, cut, key_of

SQL = statements("files")


class FileState(StrEnum):
    """Where a file stands. It is read off its row, never stored."""

    WRITING = "writing"  # its bytes are coming, or never will: then it goes at `expires_at`
    DRAFT = "draft"  # nothing has attached it: it goes at `expires_at`
    KEPT = "kept"  # as long as its thread


@dataclass(frozen=True, slots=True)
class FileRecord:
    """One file. `age` in seconds, `size` in bytes: while it is written, what it may come to."""

    id: FileId
    state: FileState
    kind: str
    name: str
    mime_type: str
    size: int
    sha256: str | None
    account: AccountId
    agent: AgentId
    token: TokenId | None
    thread: ThreadId | None
    run: RunId | None
    age: float
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Removals:
    """Files that are to be removed from the storage. `age` in seconds, of the oldest that was counted."""

    waiting: Count
    age: float


async def list_files(
    db: Database, limit: int, account: AccountId | None = None, after: str | None = None
) -> Page[FileRecord]:
    """Of one account or of all, account by account, the oldest first."""
    beyond, id_ = key_of(after, Id, Id)
    begin = (beyond or account or FIRST, id_ or FIRST)
    rows = await db.fetch(SQL["listed"], *begin, account or LAST, limit + 1)
    found = cut(rows, limit, lambda row: (row["account"], row["id"]))
    return Page([_record(row) for row in found.items], found.after)


async def files_of_thread(
    db: Database, limit: int, partition: int, thread: ThreadId, after: str | None = None
) -> Page[FileRecord]:
    """Of one thread, the oldest first."""
    (id_,) = key_of(after, Id)
    rows = await db.fetch(SQL["listed_of_thread"], partition, thread, id_ or FIRST, limit + 1)
    found = cut(rows, limit, lambda row: (row["id"],))
    return Page([_record(row) for row in found.items], found.after)


async def find_file(db: Database, file: FileId) -> FileRecord:
    """Raises NotFound."""
    row = await db.fetchrow(SQL["show"], file)
    if row is None:
        raise NotFound(f"There is no file {file}.")
    return _record(row)


async def removals(db: Database) -> Removals:
    """Bounded, however many wait."""
    row = await db.fetchrow(SQL["pending_removals"], COUNTED + 1)
    return Removals(counted(row["n"]), row["age"])


def _record(row: Any) -> FileRecord:
    return FileRecord(
        id=row["id"],
        state=_state(row),
        kind=row["kind"],
        name=row["name"],
        mime_type=row["mime_type"],
        size=row["size"],
        sha256=None if row["sha256"] is None else row["sha256"].hex(),
        account=row["account"],
        agent=row["agent"],
        token=row["token"],
        thread=row["thread"],
        run=row["run"],
        age=(row["now"] - row["created_at"]).total_seconds(),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
    )


def _state(row: Any) -> FileState:
    if not row["ready"]:
        return FileState.WRITING
    return FileState.DRAFT if row["thread"] is None else FileState.KEPT
