"""Runs in numbers: those that wait for a worker, those that execute, those that wait for a permission.

Each read is bounded. Only the first one is in the order of ages; of the others `LOOKED` rows are looked at, and where
there are more (`at_least`), the ages and the number of leases that ran out are at least what is said.
"""

from dataclasses import dataclass

from shared.db.connect import Database
from shared.db.statements import statements
from shared.inspect.counts import COUNTED, Count, counted

LOOKED = 10_000  # leases and open requests looked at: as many runs as a hundred workers execute


@dataclass(frozen=True, slots=True)
class Runs:
    """Ages are seconds; None where there is nothing."""

    ready: Count  # wait for a worker
    ready_age: float | None
    executing: Count  # leases
    executing_age: float | None  # since the worker took the run that was leased first
    lost: Count  # leases that ran out and were not found yet
    asking: Count  # open permission requests
    asking_age: float | None


async def read_runs(db: Database) -> Runs:
    sql = statements("inspect")
    ready = await db.fetchrow(sql["ready_runs"], COUNTED + 1)
    held = await db.fetchrow(sql["executing"], LOOKED + 1)
    asking = await db.fetchrow(sql["asking"], LOOKED + 1)
    executing = counted(held["runs"], LOOKED)
    return Runs(
        ready=counted(ready["runs"]),
        ready_age=ready["age"],
        executing=executing,
        executing_age=held["age"],
        lost=Count(min(held["lost"], LOOKED), executing.at_least),
        asking=counted(asking["requests"], LOOKED),
        asking_age=asking["age"],
    )
