"""`threadmill agent`: what answers in threads."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import typer

from deploy import context, words
from deploy.errors import SetupError
from deploy.session import AccountOption, account_id, document, open_session, the_account
from shared import accounts
from shared.accounts import Agent
from shared.ids import AgentId
from shared.models import BusyPolicy

app = typer.Typer(no_args_is_help=True, help="Agents: a runner, its configuration, and what a busy thread does.")

AgentArgument = Annotated[str, typer.Argument(help="Id, or a name that is the only one.")]


class Kind(StrEnum):
    PET = "pet"
    CATTLE = "cattle"


@app.command(epilog="Example:  threadmill agent create echo --account acme --runner echo --publish")
def create(
    name: Annotated[str, typer.Argument(help="A name that no other agent of the account has.")],
    runner: Annotated[str, typer.Option("--runner", help="The runner that executes its runs.")],
    *,
    account: AccountOption = None,
    config: Annotated[str, typer.Option("--config", help="What the runner is told, a JSON object.")] = "{}",
    busy_policy: Annotated[
        BusyPolicy, typer.Option("--busy-policy", help="What a message does while a run is under way.")
    ] = BusyPolicy.QUEUE,
    kind: Annotated[Kind, typer.Option("--kind", help="Shown with its threads.")] = Kind.CATTLE,
    publish: Annotated[bool, typer.Option("--publish", help="Open it for threads at once.")] = False,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Make an agent. The first one of an account is its default."""
    wanted = {"config": _object(config), "busy_policy": busy_policy, "kind": kind.value, "published": publish}
    _show([asyncio.run(_create(data, account, name, runner, wanted))], as_json, single=True)


@app.command("list", epilog="Example:  threadmill agent list --account acme")
def list_(account: AccountOption = None, data: context.DataOption = None, as_json: context.JsonOption = False) -> None:
    """List agents, of one account or of all."""
    _show(asyncio.run(_list(data, account)), as_json)


@app.command(epilog="Example:  threadmill agent show echo --json")
def show(
    agent: AgentArgument,
    account: AccountOption = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Show one agent with its configuration."""
    found = asyncio.run(_change(data, account, agent, None))
    if as_json:
        context.print_json(document(found))
        return
    context.print_table(["field", "value"], [(key, _cell(value)) for key, value in document(found).items()])


@app.command(epilog="Example:  threadmill agent publish echo")
def publish(
    agent: AgentArgument,
    account: AccountOption = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Open an agent for new threads."""
    _show([asyncio.run(_change(data, account, agent, accounts.publish_agent))], as_json, single=True)


@app.command(epilog="Example:  threadmill agent unpublish echo")
def unpublish(
    agent: AgentArgument,
    account: AccountOption = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Close an agent for new threads (409 `agent_not_published`). Those it has go on."""
    _show([asyncio.run(_change(data, account, agent, accounts.unpublish_agent))], as_json, single=True)


@app.command(epilog="Example:  threadmill agent default echo")
def default(
    agent: AgentArgument,
    account: AccountOption = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Make an agent the one that its account uses where a request names none."""
    _show([asyncio.run(_change(data, account, agent, accounts.set_default_agent))], as_json, single=True)


async def _create(data: Path | None, account: str | None, name: str, runner: str, wanted: dict[str, Any]) -> Agent:
    async with open_session(data) as connection:
        owner = await the_account(connection, account)
        return await accounts.create_agent(connection, owner.id, name, runner, **wanted)


async def _list(data: Path | None, account: str | None) -> list[Agent]:
    async with open_session(data) as connection:
        owner = await account_id(connection, account)
        return await accounts.list_agents(connection, owner)


async def _change(
    data: Path | None,
    account: str | None,
    agent: str,
    change: Callable[[asyncpg.Connection, AgentId], Awaitable[Agent]] | None,
) -> Agent:
    """The agent that is named, after the change; None: as it is."""
    async with open_session(data) as connection:
        owner = await account_id(connection, account)
        found = await accounts.find_agent(connection, agent, owner)
        return found if change is None else await change(connection, found.id)


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise SetupError(f"--config is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise SetupError("--config must be a JSON object")
    return value


def _cell(value: object) -> str:
    return json.dumps(value) if isinstance(value, dict | bool) else str(value)


def _show(found: list[Agent], as_json: bool, single: bool = False) -> None:
    if as_json:
        context.print_json(document(found[0]) if single else {"agents": document(found)})
        return
    rows = [(a.id, a.name, a.runner, a.busy_policy, _state(a), a.account, words.moment(a.created_at)) for a in found]
    context.print_table(["id", "name", "runner", "busy policy", "state", "account", "created (UTC)"], rows)


def _state(agent: Agent) -> str:
    published = "published" if agent.published else "not published"
    return f"{published}, default" if agent.is_default else published
