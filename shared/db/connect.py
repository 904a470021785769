"""Connections to Postgres: a pool for reads, and a line of its own for each loop that writes.

Ids travel as text in upper case on our side and as `uuid` on Postgres'. A `Line` is one connection that its
owner keeps: no reset between uses, opened again after it was lost. Refused here: retrying a statement.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import asyncpg

from shared import ids
from shared.db.way import Pooled, open_connection, way_of

Database: TypeAlias = asyncpg.Connection | asyncpg.Pool  # whatever takes a statement

CONNECT_TIMEOUT = 2.0  # seconds; Postgres answers in milliseconds or is away
COMMAND_TIMEOUT = 15.0  # seconds of one statement of a Line: no wait without a bound, whatever the network does

# Of Postgres' end of each connection: a host that is gone without a word is forgotten within a minute, not after two
# hours, in which its connections would count among those that Postgres takes.
ALIVE = {"tcp_keepalives_idle": "30", "tcp_keepalives_interval": "10", "tcp_keepalives_count": "3"}

# Settings that older servers do not know, and the first version of Postgres that does.
_SINCE = {"transaction_timeout": 17}

# For sessions that run our statements by the thousand: one plan each, by the indexes. The planner would choose by
# what the tables held when it looked, which is nothing on a new database; and it would plan anew five times.
DURABLE = {"synchronous_commit": "on"}  # whatever the server's default is: accepted means that it is on the disk
BY_INDEX = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_bitmapscan": "off",  # it collects all that match before the first row; ours stop at the first ones
    # While tables are small all indexes look as cheap; then the one that has the order is taken. A statement whose
    # order no small index has is better without one: rather than sort, the planner walks a whole index that has it.
    "enable_sort": "off",
    "jit": "off",
}

# Errors that say nothing about the statement, only that Postgres is away or has other things to do.
AWAY = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # its protocol met the server's goodbye in the middle of a step
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.UndefinedTableError,  # not migrated yet
)

# Errors of a transaction that met another one: nothing of it is stored, and the same may do at the next try.
MET = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


async def _prepare(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec(
        "uuid", schema="pg_catalog", encoder=ids.to_bytes, decoder=ids.from_bytes, format="binary"
    )


async def connect(url: str, *, command_timeout: float | None = None, **settings: str) -> asyncpg.Connection:
    """One connection with our codecs. `settings` are Postgres settings of the session; `command_timeout` in seconds
    bounds each statement that names no bound of its own."""
    later = {name: value for name, value in settings.items() if name in _SINCE}
    named = {"application_name": "threadmill", **ALIVE, **settings}
    for name in later:
        del named[name]
    connection = await open_connection(url, CONNECT_TIMEOUT, named, command_timeout=command_timeout)
    try:
        await _prepare(connection)
        if not is_pooled(connection):
            for name, value in later.items():
                if connection.get_server_version().major >= _SINCE[name]:
                    await connection.execute(f"set {name} to {int(value)}", timeout=CONNECT_TIMEOUT)
    except BaseException:  # also where its owner is cancelled: nobody else would close it
        connection.terminate()
        raise
    return connection


async def durably(connection: asyncpg.Connection) -> None:
    """For a pool whose statements commit what a client is told of."""
    if not is_pooled(connection):
        await connection.execute("set synchronous_commit to on")


def is_pooled(connection: asyncpg.Connection) -> bool:
    """Whether what is set for its session would be everybody's."""
    own = getattr(connection, "_con", connection)  # of a pool it is a proxy
    return type(own) is Pooled  # asyncpg takes every connection for an instance of every such class


async def _keep(connection: asyncpg.Connection) -> None:
    """Nothing of ours outlives a use of the pool, so the reset's round trip buys nothing."""


async def open_pool(
    url: str, size: int = 4, bound: Callable[[asyncpg.Connection], Awaitable[None]] | None = None
) -> asyncpg.Pool:
    """A pool for reads and rare writes; opens its first connection when it is first used. `bound` is done to each.
    Where it opens none, whoever asks for one gets what is in `AWAY`, as of a `Line`.
    """

    async def prepare(connection: asyncpg.Connection) -> None:
        await _prepare(connection)
        if bound is not None:
            await bound(connection)

    async def opened(dsn: str, **options: Any) -> asyncpg.Connection:
        settings = {"application_name": "threadmill", **ALIVE}
        try:
            return await open_connection(dsn, CONNECT_TIMEOUT, settings, **options)
        except asyncpg.PostgresError as error:  # that it takes no connection of ours says nothing about a statement
            raise ConnectionRefusedError(str(error)) from error

    return await asyncpg.create_pool(
        url,
        min_size=0,
        max_size=size,
        command_timeout=30,
        connect=opened,
        connection_class=Pooled if way_of(url).pooled else asyncpg.Connection,
        init=prepare,
        reset=_keep,
    )


class Line:
    """One connection that is opened when it is needed and again after it was lost."""

    def __init__(self, url: str, **settings: str) -> None:
        self._url = url
        self._settings = settings
        self._connection: asyncpg.Connection | None = None

    async def get(self) -> asyncpg.Connection:
        """The connection, open. Where Postgres is away, or takes no connection of ours, raises what is in `AWAY`:
        OSError mostly, of which Misconfigured is one. Only a start is to tell that one apart.
        """
        if self._connection is None or self._connection.is_closed():
            try:
                self._connection = await connect(self._url, command_timeout=COMMAND_TIMEOUT, **self._settings)
            except asyncpg.PostgresError as error:
                raise ConnectionRefusedError(str(error)) from error
        return self._connection

    async def drop(self) -> None:
        """Closes the connection at once, with whatever it was doing: its transaction rolls back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def close(self) -> None:
        """Ends the connection in good order, or drops it after a second."""
        connection, self._connection = self._connection, None
        if connection is not None and not connection.is_closed():
            try:
                await connection.close(timeout=1)
            except (TimeoutError, *AWAY):
                connection.terminate()
