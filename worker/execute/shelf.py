"""The files of a run's thread, for its runner: what Postgres knows of them, and their bytes out of the storage.

A file is looked for among the thread's own rows before its bytes are read, so that a runner reaches no other thread's.
Refused here: waiting for a server that is away; the runner is told, and its run may be tried again.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import asyncpg

from shared import ids
from shared.db.bounded import Bounded
from shared.db.connect import durably, open_pool
from shared.db.statements import statements
from shared.errors import ServiceInactive
from shared.files.pace import Pace
from shared.files.rows import FIRST
from shared.files.storage import Storage
from shared.ids import FileId
from shared.metrics import FILE_BYTES
from shared.settings import Settings
from worker.load import Where
from worker.runners.files import FileFacts, away, gone

SQL = statements("runfiles")
CONNECTIONS = 4  # of one worker: a file takes one for some milliseconds at its beginning and at its end


@dataclass(frozen=True, slots=True)
class Cabinet:
    """What all runs of a worker share: the way to the rows, the storage, the pace."""

    settings: Settings
    pool: asyncpg.Pool
    source: Bounded
    storage: Storage  # whoever opened it closes it
    pace: Pace

    @classmethod
    async def open(cls, settings: Settings, storage: Storage) -> "Cabinet":
        pool = await open_pool(settings.database_url, size=CONNECTIONS, bound=durably)
        return cls(settings, pool, Bounded(pool), storage, Pace(settings.file_rate))

    def close(self) -> None:
        self.pool.terminate()


@dataclass(frozen=True, slots=True)
class ThreadShelf:
    """`worker.runners.files.Shelf` of one thread."""

    cabinet: Cabinet
    where: Where

    async def page(self, after: str, limit: int) -> Sequence[FileFacts]:
        behind = FIRST if after == "" else _id(after)
        with _told():
            rows = await self.cabinet.source.fetch(SQL["page"], *self.where, behind, limit)
        return [_facts(row) for row in rows]

    async def find(self, names: Sequence[str]) -> Sequence[FileFacts]:
        known = [found for name in names if (found := _parsed(name)) is not None]
        with _told():
            rows = await self.cabinet.source.fetch(SQL["found"], *self.where, known)
        return [_facts(row) for row in rows]

    async def read(self, file: str, start: int, stop: int | None = None) -> AsyncGenerator[bytes]:
        found = await self.find([file])
        if not found:
            raise gone(file)
        stop = found[0].size if stop is None else min(stop, found[0].size)
        if start >= stop:
            return
        left = stop - start
        try:
            async with self.cabinet.storage.read(_id(found[0].id), start, stop) as pieces:
                async for piece in self._paced(pieces):
                    left -= len(piece)
                    yield piece
            if left > 0:  # the storage has lost some of it
                raise gone(file)
        except FileNotFoundError:
            raise gone(file) from None
        except ServiceInactive as error:
            raise away() from error

    async def _paced(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in pieces:
            await self.cabinet.pace.turn(len(piece))
            FILE_BYTES.labels("out").inc(len(piece))
            yield piece


@contextmanager
def _told() -> Iterator[None]:
    """Postgres that is away, in words of the runner contract."""
    try:
        yield
    except ServiceInactive as error:
        raise away() from error


def _parsed(name: object) -> FileId | None:
    """None for what no file is called."""
    found = ids.parse(name) if isinstance(name, str) else None
    return None if found is None else FileId(found)


def _id(name: str) -> FileId:
    found = _parsed(name)
    if found is None:
        raise gone(name)
    return found


def _facts(row: asyncpg.Record) -> FileFacts:
    return FileFacts(row["id"], row["name"], row["size"], row["mime_type"], row["kind"], row["created_at"])
