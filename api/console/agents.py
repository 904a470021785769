"""Agents: what answers in threads. Their configuration is shown without its secrets."""

from api.console.masking import masked, receiver
from api.console.pages import Deed, Done, Form, Look, Page, Question, Values
from shared import accounts, agents, ids
from shared.agents import Agent
from shared.audit import Actor
from shared.errors import NotFound
from shared.ids import AgentId
from shared.inspect.actions import agents as doing

HERE = "/console/agents"
SHOWN = 50


async def load(look: Look) -> Values:
    account = look.text("account")
    owner = (await accounts.find_account(look.db, account)).id if account else None
    found = await agents.list_agents(look.db, SHOWN, owner, look.after)
    return {"agents": found, "account": account, "after": look.after}


async def load_one(look: Look) -> Values:
    agent = await _agent(look)
    owner = await accounts.find_account(look.db, agent.account)
    config = masked(agent.runner, agent.config)
    webhook = None if agent.webhook_url is None else receiver(agent.webhook_url)
    return {"title": agent.name, "agent": agent, "owner": owner, "config": config, "webhook": webhook}


async def _ask_publish(look: Look) -> Question:
    agent = await _agent(look)
    says = ("New threads may be made with it, by whoever has a token of its account.",)
    return Question(f"Publish {agent.name}?", says, "Publish", _place(agent), touches="1 agent", danger=False)


async def _publish(look: Look, _: Form, actor: Actor) -> Done:
    agent = await doing.publish(look.db, actor, (await _agent(look)).id)
    return Done(f"{agent.name} is published.", _place(agent))


async def _ask_unpublish(look: Look) -> Question:
    agent = await _agent(look)
    says = ("No new thread can be made with it (409 agent_not_published). Those that it has go on.",)
    return Question(f"Close {agent.name} for new threads?", says, "Unpublish", _place(agent), touches="1 agent")


async def _unpublish(look: Look, _: Form, actor: Actor) -> Done:
    agent = await doing.unpublish(look.db, actor, (await _agent(look)).id)
    return Done(f"{agent.name} is closed for new threads.", _place(agent))


async def _agent(look: Look) -> Agent:
    """By its id alone: a name may be another one's."""
    wanted = ids.parse(look.params["id"])
    if wanted is None:
        raise NotFound("There is no such agent.")
    return await agents.find_agent(look.db, AgentId(wanted))


def _place(agent: Agent) -> str:
    return f"{HERE}/{agent.id}"


AGENTS = Page("agents", "Agents", load)
AGENT = Page("agent", "Agent", load_one)
PUBLISH = Deed(_ask_publish, _publish)
UNPUBLISH = Deed(_ask_unpublish, _unpublish)
