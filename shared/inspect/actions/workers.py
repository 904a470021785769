"""Asking workers to take nothing new, to leave, or to work again.

What is asked stands in the worker's row, and is read with its heartbeat; Redis only says that there is something to
read. Refused here: asking a process that is gone, or on its way out.
"""

from contextlib import suppress

from shared import audit
from shared.audit import Actor
from shared.db.connect import Database
from shared.db.statements import statements
from shared.errors import Conflict, NotFound
from shared.ids import Ulid
from shared.queue import AWAY, Queue
from shared.vitals import LIVES

SQL = statements("actions")


async def quiet(db: Database, actor: Actor, worker_id: Ulid, queue: Queue | None = None) -> int:
    """It takes nothing new, and goes on with what it has in hand. Raises NotFound, Conflict."""
    return await _ask(db, actor, "quiet", worker_id, queue)


async def drain(db: Database, actor: Actor, worker_id: Ulid, queue: Queue | None = None) -> int:
    """It hands over what it has and ends, as for SIGTERM; whoever supervises it may start another one. There is no way
    back. Raises NotFound, Conflict.
    """
    return await _ask(db, actor, "drain", worker_id, queue)


async def work(db: Database, actor: Actor, worker_id: Ulid, queue: Queue | None = None) -> int:
    """It works again. Raises NotFound, Conflict."""
    return await _ask(db, actor, "work", worker_id, queue)


async def _ask(db: Database, actor: Actor, word: str, worker_id: Ulid, queue: Queue | None) -> int:
    async with audit.entry(db, actor, f"worker.{word}", f"worker {worker_id}") as entry:
        asked = None if word == "work" else word
        row = await db.fetchrow(SQL["ask_worker"], worker_id, asked, LIVES)
        if row is None:
            raise NotFound(f"There is no worker {worker_id}.")
        if row["silent"] > LIVES:
            raise Conflict(f"The worker {worker_id} has been silent for {row['silent']:.0f} s: it is gone.")
        if "drain" in (row["doing"], row["asked"]) and asked != "drain":
            raise Conflict(f"The worker {worker_id} is on its way out.")
        entry.touched = int(row["asked"] != asked)
        if queue is not None:
            with suppress(*AWAY):  # it looks by itself with its next heartbeat
                await queue.call_worker(worker_id)
        return entry.touched
