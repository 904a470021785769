"""Webhooks: what agents' webhooks are still to be told, what was given up, and telling it again."""

from api.console.masking import receiver
from api.console.pages import Deed, Done, Form, Look, Page, Question, Values
from shared import agents, ids
from shared.audit import Actor
from shared.errors import InvalidRequest, NotFound
from shared.ids import AgentId, Ulid
from shared.inspect import webhooks
from shared.inspect.actions import webhooks as doing
from shared.inspect.counts import Count
from shared.inspect.webhooks import MessageState, MessageView
from shared.webhooks import PREFIX

HERE = "/console/webhooks"
SHOWN = 50


async def load(look: Look) -> Values:
    state = look.text("state") or MessageState.DUE
    if state not in {str(one) for one in MessageState}:
        raise InvalidRequest("A message is due, dead or delivered.", param="state")
    agent = await _agent(look)
    found = await webhooks.list_messages(look.db, SHOWN, MessageState(state), agent, look.after)
    return {
        "messages": found,
        "numbers": await webhooks.summary(look.db),
        "state": state,
        "states": [str(one) for one in webhooks.SHOWN],
        "agent": agent,
        "after": look.after,
    }


async def load_one(look: Look) -> Values:
    found = await _message(look)
    return {"title": found.id, "message": found, "url": None if found.url is None else receiver(found.url)}


async def _ask_replay(look: Look) -> Question:
    found = await _message(look)
    says = [f"{found.type} of run {found.run}: told again at once, with the same id, for another 24 hours."]
    if found.state is MessageState.DELIVERED:
        says.append("Its receiver has had it, and will have it twice: it can tell by the id.")
    return Question("Tell this message again?", says, "Replay", f"{HERE}/{found.id}", touches="1 message")


async def _replay(look: Look, _: Form, actor: Actor) -> Done:
    found = await _message(look)
    await doing.replay(look.db, actor, _id(found.id))
    return Done(f"{found.id} is told again.", f"{HERE}/{found.id}")


async def _ask_replay_dead(look: Look) -> Question:
    agent = await _agent(look)
    dead = await webhooks.count_dead(look.db, agent)
    whose = "of all agents" if agent is None else f"of the agent {(await agents.find_agent(look.db, agent)).name}"
    return Question(
        title="Tell all dead letters again?",
        says=(f"Those {whose}: told again at once, with the same ids, for another 24 hours.", _warning(dead)),
        touches=f"{dead} messages",
        button="Replay all",
        back=_place(agent),
    )


async def _replay_dead(look: Look, _: Form, actor: Actor) -> Done:
    agent = await _agent(look)
    done = await doing.replay_dead(look.db, actor, agent, look.asked)
    return Done(f"{done:,} messages are told again.", _place(agent))


def _warning(dead: Count) -> str:
    return (
        "There is none now." if dead.value == 0 else "Mend the receiver first: what fails again is a dead letter again."
    )


async def _agent(look: Look) -> AgentId | None:
    """The agent that the list is of: by id or name."""
    text = look.text("agent")
    return (await agents.find_agent(look.db, text)).id if text else None


async def _message(look: Look) -> MessageView:
    return await webhooks.find_message(look.db, _id(look.params["id"]))


def _id(text: str) -> Ulid:
    found = ids.parse(text.removeprefix(PREFIX))
    if found is None:
        raise NotFound("There is no such message.")
    return found


def _place(agent: AgentId | None) -> str:
    return f"{HERE}?state=dead" if agent is None else f"{HERE}?state=dead&agent={agent}"


WEBHOOKS = Page("webhooks", "Webhooks", load)
MESSAGE = Page("message", "Message", load_one)
REPLAY = Deed(_ask_replay, _replay)
REPLAY_DEAD = Deed(_ask_replay_dead, _replay_dead)
