"""`threadmill agent`: what answers in threads."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import typer

from deploy import configs, context, tables, trial, words
from deploy.commands.webhook import of_agent, show_secret
from deploy.errors import SetupError
from deploy.session import (
    AccountOption,
    AfterOption,
    LimitOption,
    OfAccountOption,
    account_id,
    document,
    open_session,
    the_account,
)
from shared import agents, audit, webhooks
from shared.agents import Agent
from shared.ids import AgentId
from shared.inspect.actions import agents as actions
from shared.inspect.page import Page
from shared.models import BusyPolicy, OnExpired
from shared.webhooks import Hook

app = typer.Typer(no_args_is_help=True, help="Agents: a runner, its configuration, and what a busy thread does.")

AgentArgument = Annotated[str, typer.Argument(help="Id, or a name that is the only one.")]
TimeoutOption = Annotated[
    int | None,
    typer.Option(
        "--run-timeout",
        min=0,
        max=31_536_000,
        metavar="SECONDS",
        help="How long a run may execute, waits for permissions left out; 0: THREADMILL_RUN_TIMEOUT.",
    ),
]
_CONFIG = "What the runner is told: a YAML or JSON file, - for standard input, or a JSON object."
_BUSY = "What a message does while a run is under way."
_ON_EXPIRED = "When nobody decides a permission request in time: the run goes on without it, or ends."


class Kind(StrEnum):
    PET = "pet"
    CATTLE = "cattle"


@app.command(epilog="Example:  threadmill agent create weather --runner python --config weather.yaml --publish")
def create(
    name: Annotated[str, typer.Argument(help="A name that no other agent of the account has.")],
    runner: Annotated[str, typer.Option("--runner", help="The runner that executes its runs.")],
    *,
    account: AccountOption = None,
    config: Annotated[str, typer.Option("--config", help=_CONFIG)] = "{}",
    busy_policy: Annotated[BusyPolicy, typer.Option("--busy-policy", help=_BUSY)] = BusyPolicy.QUEUE,
    run_timeout: TimeoutOption = None,
    on_expired: Annotated[OnExpired, typer.Option("--on-expired", help=_ON_EXPIRED)] = OnExpired.CONTINUE,
    kind: Annotated[Kind, typer.Option("--kind", help="Shown with its threads.")] = Kind.CATTLE,
    publish: Annotated[bool, typer.Option("--publish", help="Open it for threads at once.")] = False,
    webhook: Annotated[str | None, typer.Option("--webhook", help="Tell this URL of its runs.")] = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Make an agent. The first one of an account is its default."""
    told = configs.read(config)
    configs.check(runner, told)
    wanted = {"config": told, "busy_policy": busy_policy, "kind": kind.value, "published": publish}
    wanted |= {"run_timeout": run_timeout or None, "on_expired": on_expired}
    made, hook = asyncio.run(_create(data, account, name, runner, wanted, webhook))
    if as_json and hook is not None:
        context.print_json({**document(made), "webhook_secret": hook.secret})
        return
    _show([made], as_json)
    if hook is not None:
        show_secret(hook)


@app.command("list", epilog="Example:  threadmill agent list --account acme")
def list_(
    account: OfAccountOption = None,
    limit: LimitOption = 1_000,
    after: AfterOption = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """List agents, of one account or of all, the oldest first."""
    found = asyncio.run(_list(data, account, limit, after))
    if as_json:
        context.print_json({"agents": document(found.items), "after": found.after})
        return
    _show(found.items, as_json=False)
    tables.show_more(found.after)


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
    context.print_table(["field", "value"], [(key, tables.cell(value)) for key, value in document(found).items()])


@app.command("set", epilog="Example:  threadmill agent set weather --config weather.yaml --run-timeout 120")
def set_(
    agent: AgentArgument,
    account: AccountOption = None,
    config: Annotated[str | None, typer.Option("--config", help=_CONFIG)] = None,
    busy_policy: Annotated[BusyPolicy | None, typer.Option("--busy-policy", help=_BUSY)] = None,
    run_timeout: TimeoutOption = None,
    on_expired: Annotated[OnExpired | None, typer.Option("--on-expired", help=_ON_EXPIRED)] = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Change an agent. What is not given stays; a new configuration replaces the old one, for runs that begin then."""
    wanted: dict[str, Any] = {"busy_policy": busy_policy, "run_timeout": run_timeout, "on_expired": on_expired}
    wanted["config"] = None if config is None else configs.read(config)
    if all(value is None for value in wanted.values()):
        raise SetupError("nothing to change: give an option")
    _show([asyncio.run(_set(data, account, agent, wanted))], as_json)


@app.command("test", epilog='Example:  threadmill agent test echo "Hello"')
def try_(
    agent: AgentArgument,
    text: Annotated[str, typer.Argument(help="What the user says.")],
    account: AccountOption = None,
    decide: Annotated[
        trial.Deciding, typer.Option("--decide", help="What becomes of permission requests.")
    ] = trial.Deciding.ASK,
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=0.001, help="Seconds; else the agent's, else the setting's.")
    ] = None,
    files: Annotated[
        list[Path] | None,
        typer.Option("--file", help="Attach this file; once for each.", exists=True, dir_okay=False, readable=True),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option("--save", help="Where files go that the run makes; else nowhere.", exists=True, file_okay=False),
    ] = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Try an agent: one run in this process, shown as it goes. Nothing is stored: no thread, no run, no event."""
    if not text.strip():
        raise typer.BadParameter("must not be blank.", param_hint="TEXT")
    trial.perform(
        lambda: _find(data, account, agent),
        text,
        trial.Wishes(decide, timeout, as_json, data, tuple(files or ()), save),
    )


@app.command(epilog="Example:  threadmill agent publish echo")
def publish(
    agent: AgentArgument,
    account: AccountOption = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Open an agent for new threads."""
    _show([asyncio.run(_change(data, account, agent, _publish))], as_json)


@app.command(epilog="Example:  threadmill agent unpublish echo")
def unpublish(
    agent: AgentArgument,
    account: AccountOption = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Close an agent for new threads (409 `agent_not_published`). Those it has go on."""
    _show([asyncio.run(_change(data, account, agent, _unpublish))], as_json)


@app.command(epilog="Example:  threadmill agent default echo")
def default(
    agent: AgentArgument,
    account: AccountOption = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Make an agent the one that its account uses where a request names none."""
    _show([asyncio.run(_change(data, account, agent, _set_default))], as_json)


async def _create(
    data: Path | None, account: str | None, name: str, runner: str, wanted: dict[str, Any], webhook: str | None
) -> tuple[Agent, Hook | None]:
    async with open_session(data) as connection:
        owner = await the_account(connection, account)
        deed = audit.entry(connection, audit.command_line(), "agent.create", f"agent {name}", account=owner.id)
        async with deed as entry, connection.transaction():
            made = await agents.create_agent(connection, owner.id, name, runner, **wanted)
            entry.touched = 1
            if webhook is None:
                return made, None
            hook = await webhooks.set_webhook(connection, made.id, webhook)
            return await agents.find_agent(connection, made.id), hook


async def _list(data: Path | None, account: str | None, limit: int, after: str | None) -> Page[Agent]:
    async with open_session(data) as connection:
        owner = await account_id(connection, account)
        return await agents.list_agents(connection, limit, owner, after)


async def _set(data: Path | None, account: str | None, agent: str, wanted: dict[str, Any]) -> Agent:
    async with open_session(data) as connection:
        found = await agents.find_agent(connection, agent, await account_id(connection, account))
        if wanted["config"] is not None:
            configs.check(found.runner, wanted["config"])
        changed = ", ".join(name for name, value in wanted.items() if value is not None)
        async with _deed(connection, "agent.set", found, reason=changed):
            return await agents.change_agent(connection, found.id, **wanted)


async def _find(data: Path | None, account: str | None, agent: str) -> Agent:
    return await _change(data, account, agent, None)


async def _change(
    data: Path | None,
    account: str | None,
    agent: str,
    change: Callable[[asyncpg.Connection, AgentId], Awaitable[Agent]] | None,
) -> Agent:
    """The agent that is named, after the change; None: as it is."""
    async with open_session(data) as connection:
        owner = await account_id(connection, account)
        found = await agents.find_agent(connection, agent, owner)
        return found if change is None else await change(connection, found.id)


async def _publish(connection: asyncpg.Connection, agent: AgentId) -> Agent:
    return await actions.publish(connection, audit.command_line(), agent)


async def _unpublish(connection: asyncpg.Connection, agent: AgentId) -> Agent:
    return await actions.unpublish(connection, audit.command_line(), agent)


async def _set_default(connection: asyncpg.Connection, agent: AgentId) -> Agent:
    async with _deed(connection, "agent.default", await agents.find_agent(connection, agent)):
        return await agents.set_default_agent(connection, agent)


@asynccontextmanager
async def _deed(
    connection: asyncpg.Connection, action: str, agent: Agent, reason: str | None = None
) -> AsyncIterator[None]:
    """What is done to an agent stands in the audit log."""
    actor, target = audit.command_line(), f"agent {agent.id}"
    async with audit.entry(connection, actor, action, target, account=agent.account, reason=reason) as entry:
        yield
        entry.touched = 1


def _show(found: list[Agent], as_json: bool) -> None:
    """A table; of one agent a document, where that is asked for."""
    if as_json:
        context.print_json(document(found[0]))
        return
    rows = [(a.id, a.name, a.runner, a.busy_policy, _state(a), a.account, words.moment(a.created_at)) for a in found]
    context.print_table(["id", "name", "runner", "busy policy", "state", "account", "created (UTC)"], rows)


def _state(agent: Agent) -> str:
    published = "published" if agent.published else "not published"
    return f"{published}, default" if agent.is_default else published


app.command("webhook", epilog="Example:  threadmill agent webhook echo --url https://example.com/hook")(of_agent)
