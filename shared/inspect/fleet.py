"""The processes of the service, as each tells of itself with its heartbeats: what it is, does, and is asked to do.

A process that was ended in good order leaves no row; one that fell silent is listed for an hour. Ages are of Postgres'
clock. Refused here: asking anything of them (`shared.inspect.actions.workers`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from shared.db.connect import Database
from shared.db.statements import statements
from shared.errors import NotFound
from shared.ids import Ulid
from shared.inspect.page import LAST, Id, Page, cut, key_of
from shared.vitals import LIVES

SQL = statements("fleet")

LISTED = 3_600.0  # seconds of silence after which it is no longer listed
KEPT = 1e9  # seconds: one that is asked for is shown for as long as there is a row of it


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker. `memory`, `skew` are None of a version that does not tell them."""

    id: Ulid
    host: str
    pid: int
    roles: str
    version: str
    started_at: datetime
    applied: int  # batches
    executing: int  # runs, at its last heartbeat
    memory: int | None  # bytes
    skew: float | None  # seconds that its clock is ahead of Postgres'
    asked: str | None  # quiet, drain; None: to work
    doing: str  # work, quiet, drain
    age: float  # seconds since it started
    silent: float  # seconds since its last heartbeat
    seen_at: datetime
    in_hand: int  # batches of the drain under way

    @property
    def lives(self) -> bool:
        return self.silent <= LIVES

    @property
    def name(self) -> str:
        return f"{self.pid} on {self.host}"


@dataclass(frozen=True, slots=True)
class ApiView:
    id: Ulid
    host: str
    pid: int
    port: int
    version: str
    started_at: datetime
    memory: int | None
    skew: float | None
    streams: int  # open ones
    age: float
    silent: float
    seen_at: datetime

    @property
    def lives(self) -> bool:
        return self.silent <= LIVES


async def workers(db: Database, limit: int, after: str | None = None) -> Page[WorkerView]:
    """The latest started first."""
    (before,) = key_of(after, Id)
    rows = await db.fetch(SQL["workers"], LISTED, before or LAST, limit + 1, None)
    return cut([WorkerView(**row) for row in rows], limit, lambda one: (one.id,))


async def apis(db: Database, limit: int, after: str | None = None) -> Page[ApiView]:
    """The latest started first."""
    (before,) = key_of(after, Id)
    rows = await db.fetch(SQL["apis"], LISTED, before or LAST, limit + 1)
    return cut([ApiView(**row) for row in rows], limit, lambda one: (one.id,))


async def find_worker(db: Database, worker: Ulid) -> WorkerView:
    """Raises NotFound."""
    row = await db.fetchrow(SQL["workers"], KEPT, LAST, 1, worker)
    if row is None:
        raise NotFound(f"There is no worker {worker}: it ended, or has been silent for longer than an hour.")
    return WorkerView(**row)


async def missed(db: Database, worker: WorkerView) -> str | None:
    """What nobody does once this worker takes nothing new, in words; None where others do it, or it does not work."""
    if not worker.lives or worker.asked is not None or worker.doing != "work":
        return None
    others = await db.fetchrow(SQL["others"], worker.id, LIVES)
    if worker.roles != "execute" and not others["applies"]:
        return "It is the last worker that takes work: nothing will be applied until one does."
    if worker.roles != "apply" and not others["executes"]:
        return "It is the last worker that takes runs: none will begin until one does."
    return None


def versions(processes: Iterable[WorkerView | ApiView]) -> set[str]:
    """Of those that live. More than one: a rollout is under way, or was left half-way."""
    return {one.version for one in processes if one.lives}
