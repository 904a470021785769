"""Workers as they tell of themselves, with every heartbeat. A worker that said nothing for an hour is forgotten."""

from dataclasses import dataclass
from datetime import datetime

from shared.db.connect import Database
from shared.db.statements import statements
from shared.ids import Ulid
from shared.inspect.page import LAST, Id, Page, cut, key_of

SILENCE = 3_600.0  # seconds after which a silent worker is no longer listed


@dataclass(frozen=True, slots=True)
class Worker:
    id: Ulid
    host: str
    pid: int
    roles: str
    version: str
    started_at: datetime
    applied: int
    executing: int  # runs, at its last heartbeat
    silent: float  # seconds since its last heartbeat


async def list_workers(db: Database, limit: int, after: str | None = None) -> Page[Worker]:
    """The latest started first."""
    (before,) = key_of(after, Id)
    rows = await db.fetch(statements("workers")["list"], SILENCE, before or LAST, limit + 1)
    return cut([Worker(**row) for row in rows], limit, lambda worker: (worker.id,))
