"""Holding threads by hand, as a dead letter would, and letting them go.

New events of a held thread are refused, what waits is blocked; its current run goes on, and a delete passes. Why and by
whom stands with the thread (`threads.hold`).
"""

from shared import audit, holds
from shared.audit import Actor
from shared.db.connect import Database
from shared.ids import ThreadId
from shared.inspect.threads import own_row


async def hold(db: Database, actor: Actor, thread_id: ThreadId, reason: str) -> int:
    """0 where a hand holds it already. Raises InvalidRequest, NotFound, Conflict, ServiceInactive."""
    why = holds.checked(reason)
    thread = await own_row(db, thread_id)
    target = f"thread {thread.id}"
    async with audit.entry(db, actor, "thread.hold", target, account=thread.account, reason=why) as entry:
        entry.touched = int(await holds.hold(db, thread.partition, thread.id, actor.name, why))
        return entry.touched


async def release(db: Database, actor: Actor, thread_id: ThreadId) -> int:
    """The thread goes on, unless a dead letter holds it too; 0 where nothing held it.

    Raises NotFound, Conflict where only a dead letter holds it, ServiceInactive.
    """
    thread = await own_row(db, thread_id)
    async with audit.entry(db, actor, "thread.release", f"thread {thread.id}", account=thread.account) as entry:
        entry.touched = int(await holds.release(db, thread.partition, thread.id))
        return entry.touched
