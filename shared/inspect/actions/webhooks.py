"""Telling webhooks again. At least once, with the same id: a receiver may have had the message before."""

from datetime import datetime

from shared import audit, webhooks
from shared.audit import Actor
from shared.db.connect import Database
from shared.ids import AgentId, Ulid
from shared.inspect.clock import moment


async def replay(db: Database, actor: Actor, message_id: Ulid) -> int:
    """Tells a message again at once, whatever became of it. Raises NotFound."""
    async with audit.entry(db, actor, "webhook.replay", f"message {webhooks.PREFIX}{message_id}") as entry:
        entry.touched = await webhooks.replay(db, [message_id])
        return entry.touched


async def replay_dead(
    db: Database, actor: Actor, agent_id: AgentId | None, parked_before: datetime | None = None
) -> int:
    """Tells the dead letters again, of one agent or of all, page by page; returns how many. Those that were given up
    since it began, or behind `parked_before`, are left: who was told how many there are did not mean them."""
    target = "all dead messages" if agent_id is None else f"dead messages of agent {agent_id}"
    async with audit.entry(db, actor, "webhook.replay", target) as entry:
        began, done = await moment(db), 0
        while page := await webhooks.replay_dead(db, agent_id, min(parked_before or began, began)):
            await audit.reached(db, entry, page)
            done += page
        entry.touched = done
        return done
