"""What becomes of a file that a runner yields: its bytes are stored, and it waits for the event that announces it.

Refused here: making it ready; that is done in the transaction of the event (`shared.files.made`), so that an attempt
which lost its run leaves nothing that anybody sees.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

import structlog

from shared import ids
from shared.errors import InternalError, ServiceInactive, TooLarge
from shared.files import rows
from shared.files.keeping import Keeping
from shared.files.rows import NewFile
from shared.ids import AccountId, AgentId, FileId
from shared.reports import Made
from worker.execute.leases import Lease
from worker.execute.shelf import Cabinet
from worker.runners import File, RunnerError
from worker.runners.contents import pieces_of, size_of
from worker.runners.files import away

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Artifacts:
    """Those of one run."""

    cabinet: Cabinet
    lease: Lease
    account: AccountId
    agent: AgentId

    async def keep(self, file: File) -> Made:
        """Stores it, as one that nobody sees yet. Raises RunnerError, and what its content raises."""
        new = self._new(file)
        try:
            async with aclosing(_bounded(file, new.most)) as pieces:
                sink = await self._keeping.hold(new, pieces)
        except TooLarge as error:
            raise RunnerError(error.message, code="runner.file_quota") from None
        except ServiceInactive as error:
            raise away() from error
        except TimeoutError as error:
            raise RunnerError(
                f"The file {file.name!r} took too long.", code="runner.file_too_slow", retryable=True
            ) from error
        except InternalError as error:
            raise RunnerError(
                f"The file {file.name!r} was removed.", code="runner.file_gone", retryable=True
            ) from error
        return Made(new.id, new.name, new.mime_type, sink.size, sink.sha256)

    async def drop(self, made: Made) -> None:
        """One that is not wanted: an earlier attempt has announced it."""
        try:
            await rows.give_up(self.cabinet.source, made.id)
        except ServiceInactive:
            log.warning("a file that was made twice is not given up; the sweep will", file=made.id)

    @property
    def _keeping(self) -> Keeping:
        cabinet = self.cabinet
        return Keeping(cabinet.settings, cabinet.source, cabinet.storage, cabinet.pace)

    def _new(self, file: File) -> NewFile:
        """Raises RunnerError where it is known to be too large."""
        size, limit = size_of(file.content), self.cabinet.settings.file_limit
        if size is not None and size > limit:
            raise _too_large(file, limit)
        return NewFile(
            FileId(ids.mint()),
            self.account,
            self.agent,
            None,
            file.name,
            file.mime_type or "",
            limit if size is None else size,
            *self.lease.where,
            self.lease.run,
        )


async def _bounded(file: File, most: int) -> AsyncGenerator[bytes]:
    left = most
    async with aclosing(pieces_of(file.content)) as pieces:
        async for piece in pieces:
            left -= len(piece)
            if left < 0:
                raise _too_large(file, most)
            yield piece


def _too_large(file: File, limit: int) -> RunnerError:
    return RunnerError(f"The file {file.name!r} has more than {limit} bytes.", code="runner.file_too_large")
