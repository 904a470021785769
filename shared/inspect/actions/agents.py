"""Opening agents for new threads, and closing them. Threads that an agent has go on with it."""

from shared import agents, audit
from shared.agents import Agent
from shared.audit import Actor
from shared.db.connect import Database
from shared.ids import AgentId


async def publish(db: Database, actor: Actor, agent_id: AgentId) -> Agent:
    """Opens it for new threads. Raises NotFound."""
    return await _change(db, actor, agent_id, published=True)


async def unpublish(db: Database, actor: Actor, agent_id: AgentId) -> Agent:
    """Closes it for new threads. Raises NotFound."""
    return await _change(db, actor, agent_id, published=False)


async def _change(db: Database, actor: Actor, agent_id: AgentId, *, published: bool) -> Agent:
    found = await agents.find_agent(db, agent_id)
    action = "agent.publish" if published else "agent.unpublish"
    async with audit.entry(db, actor, action, f"agent {agent_id}", account=found.account) as entry:
        change = agents.publish_agent if published else agents.unpublish_agent
        changed = await change(db, agent_id)
        entry.touched = int(found.published is not published)
        return changed
