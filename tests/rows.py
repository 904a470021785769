"""Rows put into the inbox by hand, for tests of what reads them: threads, waiting batches, dead letters."""

from dataclasses import dataclass

from shared import accounts, events, ids
from shared.db.connect import Database
from shared.events import UserMessage
from shared.files import rows as files
from shared.files.rows import NewFile
from shared.ids import AccountId, AgentId, BatchId, FileId, RunId, ThreadId, TokenId
from shared.models import TokenKind

PARTITIONS = 64


@dataclass(frozen=True, slots=True)
class Owner:
    account: AccountId
    token: TokenId


@dataclass(frozen=True, slots=True)
class Row:
    """A thread and where it is."""

    partition: int
    id: ThreadId


async def add_owner(db: Database, name: str = "acme") -> Owner:
    account = await accounts.create_account(db, name)
    token = await accounts.create_token(db, account.id, TokenKind.HUMAN_PAT)
    return Owner(account.id, token.token.id)


async def add_cut_off_worker(pool: Database, roles: str = "all") -> None:
    """One that is at work as far as Postgres knows, and claims nothing: its partitions are anybody's after 0.2 s."""
    await pool.execute(
        "insert into workers (id, host, pid, roles, version, seen_at)"
        " values ($1, 'cut off', 1, $2, '1', clock_timestamp() + interval '1 minute')",
        ids.from_bytes(bytes(16)),
        roles,
    )


async def add_thread(
    db: Database, owner: Owner, *, held: bool = False, agent: str | None = None, partition: int | None = None
) -> Row:
    """One of the owner's, in the partition that is asked for."""
    thread = ThreadId(ids.mint())
    while partition not in {None, ids.partition_of(thread, PARTITIONS)}:
        thread = ThreadId(ids.mint())
    partition = ids.partition_of(thread, PARTITIONS)
    await db.execute(
        "insert into threads (partition, id, account, agent, created_by, created_by_kind, held)"
        " values ($1, $2, $3, $4, $5, 'human_pat', $6)",
        *(partition, thread, owner.account, agent, owner.token, held),
    )
    return Row(partition, thread)


def a_message(text: str = "hello", client_request_id: str | None = None) -> str:
    """A stored batch of one user message."""
    return events.dump([UserMessage(RunId(ids.mint()), text, client_request_id)])


async def add_batch(
    db: Database,
    owner: Owner,
    thread: Row,
    stored: str | None = None,
    *,
    age: float = 0.0,
    parked: bool = False,
    blocked: bool = False,
) -> BatchId:
    """One batch that is not applied, `age` seconds old. A dead letter has its error and 5 attempts."""
    batch: BatchId = await db.fetchval(
        "insert into batches (partition, id, ref, thread, account, token, events, accepted_at,"
        " attempts, blocked, parked_at, error)"
        " values ($1, nextval('batch_ids'), $2, $3, $4, $5, $6,"
        " clock_timestamp() - make_interval(secs => $7), $8, $9, case when $10 then clock_timestamp() end, $11)"
        " returning id",
        *(thread.partition, ids.mint(), thread.id, owner.account, owner.token, stored or a_message(), age),
        *(5 if parked else 0, blocked or parked, parked, "ValueError: boom" if parked else None),
    )
    return batch


async def fill(db: Database, owner: Owner, thread: Row, rows: int, *, blocked: bool = False) -> None:
    await db.execute(
        "insert into batches (partition, id, ref, thread, account, token, events, blocked)"
        " select $1, nextval('batch_ids'), gen_random_uuid(), $2, $3, $4, '[]', $5 from generate_series(1, $6)",
        *(thread.partition, thread.id, owner.account, owner.token, blocked, rows),
    )
    await db.execute("analyze batches")


async def add_file(
    db: Database, owner: Owner, name: str = "a.txt", size: int = 5, mime_type: str = "text/plain"
) -> FileId:
    """A draft of an agent of its own, as its owner uploaded it; no bytes."""
    file, agent = FileId(ids.mint()), AgentId(ids.mint())
    await db.execute(
        "insert into agents (id, account, name, runner) values ($1, $2, $3, 'e')", agent, owner.account, agent
    )
    new = NewFile(file, owner.account, agent, owner.token, name, mime_type, size)
    await files.begin(db, new, 0, 60)
    await files.finish(db, file, size, bytes(32), 24)
    return file


async def attach(pool: Database, thread: str, *files: str) -> None:
    """The files are the thread's, as if a message had brought them."""
    await pool.execute(
        "update files f set partition = t.partition, thread = t.id, expires_at = null"
        " from threads t where t.id = $1 and f.id = any($2::uuid[])",
        thread,
        files,
    )
