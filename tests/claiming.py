"""Batches that attach files, and what became of the files: rows, without an upload."""

from dataclasses import replace
from typing import Any

import asyncpg

from api.inbox import Inbox
from api.submission import Answer, Attachment, Idempotency, NewThread, Submission
from shared import ids
from shared.files import rows
from shared.files.opening import open_storage
from shared.files.rows import NewFile
from shared.ids import FileId, ThreadId
from shared.models import TokenKind
from shared.settings import Settings
from tests.driver import Driver
from tests.pipeline import message
from worker.filekeeping import Filekeeping


async def draft(driver: Driver, *, ready: bool = True, **options: Any) -> FileId:
    """A file that the driver's caller has uploaded, or who is named."""
    caller = driver.caller
    new = NewFile(FileId(ids.mint()), caller.account, caller.agent, caller.token, "a.txt", "text/plain", 5)
    new = replace(new, **options)
    await rows.begin(driver.pool, new, 0, 60)
    if ready:
        await rows.finish(driver.pool, new.id, 5, bytes(32), 24)
    return new.id


def attaching(driver: Driver, thread: ThreadId | None, *files: FileId | None, key: str | None = None) -> Submission:
    """A batch of one message with these files; for no thread it makes one."""
    known = tuple(file for file in files if file is not None)
    made = driver.caller.submission(thread or ThreadId(ids.mint()), [message(files=known)], reply=False)
    named = tuple(Attachment(str(file), file) for file in files)
    new = NewThread(driver.caller.agent, TokenKind.HUMAN_PAT) if thread is None else None
    return made._replace(
        files=named, new=new, idempotency=None if key is None else Idempotency(key, "route", made.ref.encode())
    )


async def submit(driver: Driver, item: Submission, inbox: Inbox | None = None) -> Answer:
    return await (inbox or driver.caller.inbox).submit(item, 0)


async def where(driver: Driver, file: FileId) -> tuple[object, ...]:
    """Whose the file is, and whether its time is limited."""
    row = await driver.pool.fetchrow(
        "select thread, partition, ref, expires_at is not null from files where id = $1", file
    )
    return tuple(row)


DRAFT = (None, None, None, True)


def of(item: Submission) -> tuple[object, ...]:
    return (item.thread, item.partition, item.ref, False)


async def waits_for_a_lock(pool: asyncpg.Pool) -> bool:
    found: int = await pool.fetchval(
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    )
    return found > 0


async def swept(settings: Settings) -> None:
    sweep = Filekeeping(settings, open_storage(settings.files))
    await sweep.run_once()
    await sweep.close()
