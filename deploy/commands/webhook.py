"""`threadmill webhook`: what agents' webhooks were told, and what is told again; `threadmill agent webhook`: whom."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

import asyncpg
import typer

from deploy import context, tables, words
from deploy.errors import SetupError
from deploy.session import (
    AccountOption,
    AfterOption,
    LimitOption,
    YesOption,
    account_id,
    confirm,
    document,
    open_session,
)
from shared import agents, audit, webhooks
from shared.agents import Agent
from shared.ids import AgentId, Ulid
from shared.inspect import webhooks as outbox
from shared.inspect.actions import webhooks as actions
from shared.inspect.clock import moment
from shared.inspect.counts import Count
from shared.inspect.page import Page
from shared.inspect.webhooks import MessageState, MessageView, Summary
from shared.webhooks import Hook

app = typer.Typer(
    no_args_is_help=True,
    help="Messages to agents' webhooks: delivered, due, or dead letters, which can be told again.",
)

_ROTATE = "Give the webhook of {agent} a new secret? The old one signs nothing more."
_OFF = "Tell nobody of the runs of {agent} any more? What waits becomes a dead letter; the secret is forgotten."

AgentOption = Annotated[str | None, typer.Option("--agent", help="Name or id of the agent.")]


@app.command("list", epilog="Example:  threadmill webhook list --state dead")
def list_(
    agent: AgentOption = None,
    state: Annotated[MessageState | None, typer.Option("--state", help="Only those; else some of each.")] = None,
    limit: LimitOption = 50,
    after: AfterOption = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """List messages: due ones, dead letters, delivered ones; how late the first and how old the second are.

    Pages are of one --state; without it, the first ones of each are shown.
    """
    if after is not None and state is None:
        raise SetupError("--after goes on in the list of one --state: name it")
    found, numbers = asyncio.run(_list(data, agent, state, limit, after))
    if as_json:
        context.print_json({"messages": document(found.items), "after": found.after, "summary": document(numbers)})
        return
    rows = [
        (m.id, m.type, m.state, m.agent, m.run, words.age(m.age), m.attempts, words.short(m.error)) for m in found.items
    ]
    columns = ["message", "type", "state", "agent", "run", "age", "attempts", "error"]
    context.print_table(columns, rows, title=_sentence(numbers))
    tables.show_more(found.after)


@app.command(epilog="Example:  threadmill webhook show msg_01K5XAMPLE0000000000000000")
def show(
    message: Annotated[str, typer.Argument(help="The id of the message.")],
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Show one message: its body, its tries, the last answer."""
    found = asyncio.run(_show(data, message))
    if as_json:
        context.print_json(document(found))
        return
    tables.show_fields(document(found))


@app.command(epilog="Example:  threadmill webhook replay --dead --agent echo --yes   (after its receiver was mended)")
def replay(
    messages: Annotated[list[str] | None, typer.Argument(help="Ids of messages, delivered ones too.")] = None,
    dead: Annotated[bool, typer.Option("--dead", help="Instead: the dead letters, of --agent or of --all.")] = False,
    agent: AgentOption = None,
    every: Annotated[bool, typer.Option("--all", help="With --dead: of all agents.")] = False,
    yes: YesOption = False,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Tell messages again, at once and for another day; their ids stay.

    --dead says how many and asks, unless --yes is said; those that are given up meanwhile are left.
    """
    if bool(messages) == dead or (dead and (agent is None) != every) or (messages and (agent or every)):
        raise SetupError("name messages, or say --dead with either --agent or --all")
    named = [webhooks.parse_message(text) for text in messages or ()]
    asked: datetime | None = None
    if dead and not yes:
        count, asked = asyncio.run(_dead(data, agent))
        letters = f"{count} dead letter{'' if str(count) == '1' else 's'}"
        confirm(f"Tell {letters} again? What fails again is a dead letter again.", yes)
    done = asyncio.run(_replay(data, named, agent, asked))
    if as_json:
        context.print_json({"replayed": done})
    else:
        typer.echo(f"{done} to be told again")


def of_agent(
    agent: Annotated[str, typer.Argument(help="Id, or a name that is the only one.")],
    url: Annotated[str | None, typer.Option("--url", help="Tell this address of its runs.")] = None,
    rotate: Annotated[bool, typer.Option("--rotate", help="Sign with a new secret from now on.")] = False,
    off: Annotated[bool, typer.Option("--off", help="Tell nobody any more.")] = False,
    account: AccountOption = None,
    yes: YesOption = False,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Say where an agent's runs are told of, or nobody is any more. A new secret is printed, this one time.

    --rotate and --off ask, unless --yes is said.
    """
    if (url is not None) + rotate + off != 1:
        raise SetupError("say one of --url, --rotate and --off")
    if url is None and not yes:
        asyncio.run(_look(data, account, agent))
        confirm((_ROTATE if rotate else _OFF).format(agent=agent), yes)
    hook = asyncio.run(_change(data, account, agent, url, rotate=rotate))
    if as_json:
        context.print_json(document(hook))
        return
    typer.echo(f"told: {hook.url}" if hook.url else "told: nobody", err=True)
    show_secret(hook)


def show_secret(hook: Hook) -> None:
    """Alone on its line, so that it can be piped."""
    if hook.secret is not None:
        typer.echo("The secret of the webhook, shown this one time only:", err=True)
        typer.echo(hook.secret)


async def _list(
    data: Path | None, agent: str | None, state: MessageState | None, limit: int, after: str | None
) -> tuple[Page[MessageView], Summary]:
    async with open_session(data) as connection:
        of = await _agent(connection, agent)
        numbers = await outbox.summary(connection)
        if state is None:
            return Page(await outbox.some_messages(connection, limit, of), None), numbers
        return await outbox.list_messages(connection, limit, state, of, after), numbers


async def _show(data: Path | None, message: str) -> MessageView:
    async with open_session(data) as connection:
        return await outbox.find_message(connection, webhooks.parse_message(message))


async def _dead(data: Path | None, agent: str | None) -> tuple[Count, datetime]:
    """How many dead letters there are, and when that was."""
    async with open_session(data) as connection:
        now = await moment(connection)
        return await outbox.count_dead(connection, await _agent(connection, agent)), now


async def _replay(
    data: Path | None, messages: Sequence[Ulid], agent: str | None, parked_before: datetime | None
) -> int:
    async with open_session(data) as connection:
        actor = audit.command_line()
        if messages:
            for message in messages:
                await outbox.find_message(connection, message)
            return sum([await actions.replay(connection, actor, message) for message in messages])
        return await actions.replay_dead(connection, actor, await _agent(connection, agent), parked_before)


async def _look(data: Path | None, account: str | None, agent: str) -> None:
    """Raises NotFound where it is not there: nobody is asked about that."""
    async with open_session(data) as connection:
        await agents.find_agent(connection, agent, await account_id(connection, account))


async def _change(data: Path | None, account: str | None, agent: str, url: str | None, *, rotate: bool) -> Hook:
    async with open_session(data) as connection:
        found = await agents.find_agent(connection, agent, await account_id(connection, account))
        deed = "set" if url is not None else "rotate" if rotate else "remove"
        actor, target = audit.command_line(), f"agent {found.id}"
        async with audit.entry(connection, actor, f"webhook.{deed}", target, account=found.account) as entry:
            hook = await _set(connection, found, url, rotate=rotate)
            entry.touched = 1
            return hook


async def _set(connection: asyncpg.Connection, agent: Agent, url: str | None, *, rotate: bool) -> Hook:
    if url is not None:
        return await webhooks.set_webhook(connection, agent.id, url)
    if rotate:
        return await webhooks.rotate_secret(connection, agent.id, agent.webhook_url)
    return await webhooks.remove_webhook(connection, agent.id)


async def _agent(connection: asyncpg.Connection, named: str | None) -> AgentId | None:
    return None if named is None else (await agents.find_agent(connection, named)).id


def _sentence(numbers: Summary) -> str:
    late = f", {words.age(numbers.late)} late" if numbers.late is not None else ""
    oldest = f", the oldest for {words.age(numbers.dead_age)}" if numbers.dead_age is not None else ""
    return f"due: {numbers.waiting}{late}; dead letters: {numbers.dead}{oldest}"
