"""Files as an operator sees them: whose they are, what they come to, what is still to be removed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from shared.db.connect import Database
from shared.db.statements import statements
from shared.errors import NotFound
from shared.ids import AccountId, AgentId, BatchId, FileId, RunId, ThreadId, TokenId, Ulid
from shared.inspect.counts import COUNTED, Count, counted
from shared.inspect.page import FIRST, LAST, Id, Page, cut, key_of

SQL = statements("files")

# Seconds from which on a removal is late: it is due at once, and one that failed has been tried five times by then.
LATE = 300.0


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
    ref: Ulid | None  # of the batch that brought it
    age: float
    created_at: datetime
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class FileDetail(FileRecord):
    """One file with what it hangs on. `batch`: that brought it; None as well where it is not kept any more.
    `committed`: its thread has it, and the batch that brought it is applied.
    """

    account_name: str
    agent_name: str
    token_name: str | None
    token_prefix: str | None
    batch: BatchId | None
    committed: bool


@dataclass(frozen=True, slots=True)
class Usage:
    """What the files of an account come to. `size` in bytes, with what those that are being written may come to."""

    files: int
    size: int


@dataclass(frozen=True, slots=True)
class AccountUsage:
    account: AccountId
    name: str
    usage: Usage


@dataclass(frozen=True, slots=True)
class Removals:
    """Files that are to be removed from the storage. `age` in seconds, of the oldest that was counted."""

    waiting: Count
    age: float

    @property
    def late(self) -> bool:
        return self.waiting.some and self.age >= LATE


async def list_files(
    db: Database, limit: int, account: AccountId | None = None, after: str | None = None
) -> Page[FileRecord]:
    """Of one account or of all, account by account, the oldest first."""
    beyond, id_ = key_of(after, Id, Id)
    begin = (account or beyond or FIRST, id_ or FIRST)
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


async def find_detail(db: Database, file: FileId) -> FileDetail:
    """Raises NotFound."""
    row = await db.fetchrow(SQL["detail"], file)
    if row is None:
        raise NotFound(f"There is no file {file}.")
    names = {name: row[name] for name in ("account_name", "agent_name", "token_name", "token_prefix")}
    return FileDetail(**_fields(row), **names, batch=row["batch"], committed=row["committed"])


async def chosen(db: Database, files: Sequence[FileId]) -> list[FileRecord]:
    """Those of them that there are."""
    return [_record(row) for row in await db.fetch(SQL["chosen"], files)]


async def names(db: Database, files: Sequence[FileRecord]) -> dict[AccountId, str]:
    """What their accounts are called."""
    rows = await db.fetch(statements("search")["names"], sorted({file.account for file in files}), [])
    return {row["id"]: row["name"] for row in rows}


async def usage(db: Database, account: AccountId) -> Usage:
    row = await db.fetchrow(SQL["usage"], account)
    return Usage(0, 0) if row is None else Usage(row["files"], row["bytes"])


async def usages(db: Database, limit: int, after: str | None = None) -> Page[AccountUsage]:
    """Of the accounts that have, or had, files: the oldest account first."""
    (beyond,) = key_of(after, Id)
    rows = await db.fetch(SQL["usages"], beyond or FIRST, limit + 1)
    found = cut(rows, limit, lambda row: (row["account"],))
    of = [AccountUsage(row["account"], row["name"], Usage(row["files"], row["bytes"])) for row in found.items]
    return Page(of, found.after)


async def removals(db: Database) -> Removals:
    """Bounded, however many wait."""
    row = await db.fetchrow(SQL["pending_removals"], COUNTED + 1)
    return Removals(counted(row["n"]), row["age"])


def _record(row: Any) -> FileRecord:
    return FileRecord(**_fields(row))


def _fields(row: Any) -> dict[str, Any]:
    same = ("id", "kind", "name", "mime_type", "size", "account", "agent", "token", "thread", "run", "ref")
    return {
        **{name: row[name] for name in (*same, "created_at", "expires_at")},
        "state": _state(row),
        "sha256": None if row["sha256"] is None else row["sha256"].hex(),
        "age": (row["now"] - row["created_at"]).total_seconds(),
    }


def _state(row: Any) -> FileState:
    if not row["ready"]:
        return FileState.WRITING
    return FileState.DRAFT if row["thread"] is None else FileState.KEPT
