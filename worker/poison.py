"""Poison: which failures are a batch's own, how they are counted, when it becomes a dead letter.

An error of the database's state (it is away, out of room, shutting down, read-only, or two transactions met) says
nothing about a batch and never counts.
"""

import asyncpg
import structlog

from shared.crashpoints import crash
from shared.db.connect import AWAY
from shared.db.statements import statements
from shared.failures import kind_of, stack_of
from shared.metrics import PARKED
from worker.batch import Batch
from worker.write import Disturbed

log = structlog.get_logger()
SQL = statements("poison")

MOST_TRIES = 5  # made alone
FIRST_PAUSE = 0.2  # seconds before the second try; doubled for each further one

_STATE_CLASSES = ("08", "40", "53", "55", "57")
# Read-only; the transaction had failed before, or was ended because it idled, or took, too long. The rest of this class
# is of what was done in the transaction.
_STATES = ("25006", "25P02", "25P03", "25P04")


def is_state(error: BaseException) -> bool:
    """Whether the error is of the database's state rather than of what was being applied."""
    if isinstance(error, asyncpg.PostgresError):
        code = error.sqlstate or ""
        return code.startswith(_STATE_CLASSES) or code in _STATES
    return isinstance(error, (*AWAY, Disturbed)) and not isinstance(error, ValueError)


def is_passing(error: BaseException) -> bool:
    """Whether the same transaction is likely to succeed at once: a deadlock, a lock, a lost connection."""
    return is_state(error) and not isinstance(error, asyncpg.ReadOnlySQLTransactionError)


async def count(connection: asyncpg.Connection, batch: Batch, cause: Exception | str, on_poison: str) -> bool:
    """Counts a try made alone; at the fifth the batch is parked, and its thread held unless it is to go on: whether it
    was. What it failed of is kept with it whole; a log has as much of that as can't be a user's.

    The caller holds the partition's lock and commits.
    """
    pause = FIRST_PAUSE * 2 ** max(batch.attempts, 0)
    error = cause if isinstance(cause, str) else repr(cause)
    stack = None if isinstance(cause, str) else stack_of(cause)
    row = await connection.fetchrow(SQL["count_try"], batch.partition, batch.id, error[:4000], pause, stack)
    if row is None:
        return False
    ids = {"batch": batch.id, "thread": batch.thread, "account": batch.account}
    log.warning("a batch failed alone", **ids, attempts=row["attempts"], error=cause)
    if row["attempts"] < MOST_TRIES:
        return False
    crash("worker.before_park")
    if on_poison == "hold":
        await connection.execute(SQL["hold"], batch.partition, batch.thread)
    passed = on_poison != "hold"
    await connection.execute(SQL["park"], batch.partition, batch.id, passed, kind_of(error))
    PARKED.inc()
    log.error("a batch was parked: see `threadmill dead list`", **ids, error=cause)
    return True
