"""Whether a commit is where a promoted standby has it, too. Refused here: the waiting, that is Postgres'.

A commit whose wait for the synchronous standby is broken off succeeds all the same: Postgres warns of it, and it can be
read. Why it takes a commit more: docs/decisions/what-is-read-back-is-confirmed.md.
"""

from dataclasses import dataclass

import asyncpg

from shared.db.connect import durably, is_pooled
from shared.db.statements import statements

CONFIRM = statements("inbox")["confirm"]
WARNED = {"client_min_messages": "warning"}  # of a session, whatever the server's default is


class NotReplicated(ConnectionAbortedError):
    """The wait for the standby was broken off."""


@dataclass(slots=True, eq=False)
class Standby:
    """Hears what Postgres warns of. No statement of ours causes another warning; and to heed one too many costs a round
    trip, one too few the promise.
    """

    timeout: float  # seconds of a commit more
    _warned: bool = False

    def listen(self, connection: asyncpg.Connection) -> None:
        """For warnings of the next statement of this connection."""
        self._warned = False
        connection.add_log_listener(self._hear)  # once, however often it is said

    def forget(self, connection: asyncpg.Connection) -> None:
        """A pool takes back nobody who is still listened to."""
        connection.remove_log_listener(self._hear)

    async def confirm_if_warned(self, connection: asyncpg.Connection) -> None:
        """Raises as `confirm`."""
        if self._warned:
            await self.confirm(connection)

    async def confirm(self, connection: asyncpg.Connection) -> None:
        """What was read back, or warned of, may be told once a commit behind it is as durable as ours are. Raises
        NotReplicated where nobody waited for that one either, and what asyncpg raises.
        """
        self.listen(connection)
        await connection.execute(CONFIRM, timeout=self.timeout)
        if self._warned:
            raise NotReplicated

    def _hear(self, _: asyncpg.Connection, message: asyncpg.PostgresLogMessage) -> None:
        self._warned |= message.severity_en == "WARNING"


async def heard(connection: asyncpg.Connection) -> None:
    """For a pool whose statements commit what a client is told of."""
    await durably(connection)
    if not is_pooled(connection):
        for name, value in WARNED.items():
            await connection.execute(f"set {name} to {value}")
