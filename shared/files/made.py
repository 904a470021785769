"""The rows of files that runs make: held when their bytes are there, ready with the event that announces them.

So an attempt that loses its run in between leaves a row that was never ready, which goes by its time. Refused here: any
other way for such a file to become ready.
"""

from collections.abc import Sequence

import asyncpg

from shared.db.statements import statements
from shared.effects import FileAnnounced
from shared.ids import FileId
from shared.reads import Source

SQL = statements("runfiles")


class NotHeld(Exception):
    """A file that a run announces was given up: it took too long, or an operator removed it."""


async def hold(source: Source, file: FileId, size: int, patience: float) -> bool:
    """False where the file was given up meanwhile; otherwise it is given up after `patience` seconds."""
    return await source.fetchrow(SQL["hold"], file, size, patience) is not None


async def announce(connection: asyncpg.Connection, files: Sequence[FileAnnounced]) -> None:
    """In the transaction that logs them. Raises NotHeld: the caller rolls back."""
    rows = await connection.fetch(SQL["announce"], *zip(*files, strict=True))
    if len(rows) != len(files):
        raise NotHeld("a file that a run made is gone")
