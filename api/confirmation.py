"""Of what was read from a pool and is to be told as accepted: that a promoted standby would have it, too.

The connection is one of its own, opened when it is first asked, because a pool for reads need not commit as ours do.
One commit does for all who came before it began. Refused here: reading.
"""

import asyncio
from dataclasses import dataclass, field

from api.standby import WARNED, Standby
from shared.db.bounded import away
from shared.db.connect import AWAY, DURABLE, Line
from shared.metrics import POSTGRES_ERRORS

TIMEOUT = 5.0  # seconds of the commit, which takes milliseconds


@dataclass(slots=True)
class Confirmation:
    database_url: str
    commits: int = 0  # so many were begun
    _ended: int = 0  # the last of them of which the end is known
    _error: BaseException | None = None  # of that one
    _line: Line = field(init=False)
    _standby: Standby = field(default_factory=lambda: Standby(TIMEOUT))
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self._line = Line(self.database_url, **DURABLE, **WARNED)

    async def confirm(self) -> None:
        """Returns when what the caller has read before may be told. Raises ServiceInactive."""
        mine = self.commits + 1  # one that began sooner may be ahead of what was read
        async with self._turn:
            if self._ended < mine:
                await self._commit()
            if self._error is not None:
                raise away() from self._error

    async def _commit(self) -> None:
        """One more; what came of it is for all who wait: the next ones would only wait for the same."""
        self.commits += 1
        try:
            await self._standby.confirm(await self._line.get())
            self._error = None
        except AWAY as error:
            POSTGRES_ERRORS.labels("confirm").inc()
            self._error = error
            await self._line.drop()
        self._ended = self.commits

    async def close(self) -> None:
        await self._line.close()
