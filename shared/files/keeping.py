"""Keeps a new file: its row, its bytes, then that it is whole. In this order nothing is ever lost or without an owner.

What ends half-way is given up at once where that is possible, and by the sweep where it is not. Refused here: knowing
where the bytes come from.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import structlog

from shared import crashpoints
from shared.errors import InternalError, ServiceInactive
from shared.files import made, rows
from shared.files.pace import Pace
from shared.files.rows import NewFile
from shared.files.storage import Sink, Storage
from shared.ids import FileId
from shared.metrics import FILE_BYTES, FILES_WRITTEN
from shared.reads import Source
from shared.settings import Settings
from shared.views import FileView

log = structlog.get_logger()

PATIENCE = 60.0  # seconds that a file may take to come, and more
SLOWEST = 64 << 10  # by its size: bytes a second
GRACE = 600.0  # seconds from when its writer gives it up to when others do


def patience(size: int) -> float:
    """Seconds that so many bytes may take."""
    return PATIENCE + size / SLOWEST


@dataclass(frozen=True, slots=True)
class Keeping:
    settings: Settings
    source: Source  # of durable statements, each in a transaction of its own
    storage: Storage
    pace: Pace  # of this process

    async def keep(self, new: NewFile, pieces: AsyncIterator[bytes]) -> FileView:
        """Whatever `pieces` raise is raised, and nothing is kept. Raises TooLarge, ServiceInactive, TimeoutError."""
        return await self._finish(new, await self._write(new, pieces))

    async def hold(self, new: NewFile, pieces: AsyncIterator[bytes]) -> Sink:
        """As `keep`, but that the file is not ready yet: what announces it says so, within GRACE, or it goes with the
        sweep.
        """
        sink = await self._write(new, pieces)
        held = await made.hold(self.source, new.id, sink.size, GRACE)
        crashpoints.crash("file.after_hold")
        if not held:
            raise await self._too_late(new)
        FILES_WRITTEN.labels("kept").inc()
        FILE_BYTES.labels("in").inc(sink.size)
        return sink

    async def _write(self, new: NewFile, pieces: AsyncIterator[bytes]) -> Sink:
        """The row, and all the bytes."""
        bound = patience(new.most)
        await rows.begin(self.source, new, self.settings.file_quota, bound + GRACE)
        crashpoints.crash("file.after_begin")
        try:
            async with asyncio.timeout(bound), self.storage.write(new.id) as sink:
                async for piece in self.paced(pieces):
                    await sink.write(piece)
        except BaseException:
            FILES_WRITTEN.labels("given_up").inc()
            await asyncio.shield(self._give_up(new.id))
            raise
        crashpoints.crash("file.after_bytes")
        return sink

    async def paced(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The same, at this process' pace."""
        async for piece in pieces:
            await self.pace.turn(len(piece))
            yield piece

    async def _finish(self, new: NewFile, sink: Sink) -> FileView:
        hours = self.settings.file_draft_hours
        kept = await rows.finish(self.source, new.id, sink.size, sink.sha256, hours)
        crashpoints.crash("file.after_ready")
        if kept is None:
            raise await self._too_late(new)
        FILES_WRITTEN.labels("kept").inc()
        FILE_BYTES.labels("in").inc(kept.size)
        return kept

    async def _too_late(self, new: NewFile) -> InternalError:
        """Its row is gone: its bytes go, too."""
        await rows.leave_over(self.source, new.id, new.account)
        return InternalError("The file took too long; it is not kept.")

    async def _give_up(self, file: FileId) -> None:
        try:
            await rows.give_up(self.source, file)
        except ServiceInactive:
            log.warning("a file was not given up; the sweep will", file=file)
