"""Keeps files tidy: drafts nobody attached, uploads that never ended, bytes whose row is gone.

A row's time is over: it goes, and its bytes are named in `file_removals`. What stands there is removed from the
storage, which may be done twice, and then taken off it. Any number of workers may do it at once; each step is a page.
Refused here: looking for bytes that no row names; the order of the steps leaves none.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import asyncpg
import structlog

from shared import crashpoints
from shared.db.connect import AWAY, BY_INDEX, DURABLE, Line
from shared.db.statements import statements
from shared.errors import StorageAway
from shared.files.keeping import GRACE, patience
from shared.files.storage import Storage
from shared.ids import FileId
from shared.metrics import FILE_REMOVALS, FILE_REMOVALS_PENDING, POSTGRES_ERRORS
from shared.settings import Settings
from shared.tasks import about

log = structlog.get_logger()
SQL = statements("files")

INTERVAL = 5.0  # seconds between sweeps
TIDY_INTERVAL = 600.0  # seconds between looks for what writes left half done: only a process that died leaves it
PAGE = 100  # rows or files of one step
PAGES = 20  # steps in one go
AT_ONCE = 8  # removals: a bucket takes 20 ms for one
RETRY = 15.0  # seconds to the next try of a removal, longer than a page of them takes; doubled by each failure
LONGEST = 3600.0  # seconds between two tries
COUNTED = 1_000  # removals that wait, counted for the gauge


@dataclass(slots=True)
class Filekeeping:
    settings: Settings
    storage: Storage
    _line: Line = field(init=False)

    def __post_init__(self) -> None:
        options = {**BY_INDEX, **DURABLE}
        self._line = Line(self.settings.database_url, **options, application_name="threadmill files")

    async def run(self) -> None:
        """Sweeps until it is cancelled."""
        while True:
            await asyncio.sleep(about(INTERVAL))
            try:
                await self.run_once()
            except (*AWAY, asyncpg.PostgresError) as error:
                POSTGRES_ERRORS.labels("files").inc()
                log.warning("files were not kept tidy; they will be", error=repr(error))
                await self._line.drop()

    async def tidy(self) -> None:
        """Looks for what writes left half done, until it is cancelled."""
        while True:
            await asyncio.sleep(about(TIDY_INTERVAL))
            try:
                if removed := await self.storage.tidy(patience(self.settings.file_limit) + GRACE):
                    log.info("files that were half written are removed", files=removed)
            except StorageAway:
                log.warning("the storage of files was not tidied; it will be")

    async def run_once(self) -> int:
        """Page by page, as long as there are full ones; returns how many files it removed from the storage."""
        connection = await self._line.get()
        for _ in range(PAGES):
            if await connection.fetchval(SQL["expire"], PAGE) < PAGE:
                break
        removed = 0
        for _ in range(PAGES):
            due = [row["id"] for row in await connection.fetch(SQL["claim_removals"], PAGE, RETRY, LONGEST)]
            gone = await self._remove(due)
            if gone:
                crashpoints.crash("file.after_bytes_gone")
                await connection.execute(SQL["removed"], gone)
            removed += len(gone)
            if len(gone) < PAGE:
                break
        waiting = await connection.fetchrow(SQL["pending_removals"], COUNTED)
        FILE_REMOVALS_PENDING.set(waiting["n"])
        return removed

    async def _remove(self, due: Sequence[FileId]) -> list[FileId]:
        """Those that are gone from the storage. Behind a failure nothing is tried: the storage is away."""
        gone: list[FileId] = []
        for start in range(0, len(due), AT_ONCE):
            some = due[start : start + AT_ONCE]
            results = await asyncio.gather(*(self._removed(file) for file in some))
            gone += [file for file, is_gone in zip(some, results, strict=True) if is_gone]
            if not all(results):
                break
        return gone

    async def _removed(self, file: FileId) -> bool:
        try:
            await self.storage.remove(file)
        except StorageAway:
            FILE_REMOVALS.labels("failed").inc()
            return False
        FILE_REMOVALS.labels("removed").inc()
        return True

    async def close(self) -> None:
        await self._line.close()
        await self.storage.close()
