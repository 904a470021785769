"""`threadmill queue pause | resume`: what drains take, stopped and let go: partitions, an account, all."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from deploy import context
from deploy.errors import SetupError
from deploy.session import YesOption, confirm, open_session
from shared import accounts, audit
from shared.inspect.actions import queue

PartitionOption = Annotated[
    list[int] | None, typer.Option("--partition", "-p", min=0, help="A partition; may be said several times.")
]
AccountOption = Annotated[str | None, typer.Option("--account", "-a", help="Instead: what this account sent.")]
AllOption = Annotated[bool, typer.Option("--all", help="Instead: every partition.")]


def pause(
    partition: PartitionOption = None,
    account: AccountOption = None,
    every: AllOption = False,
    yes: YesOption = False,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Apply nothing of these partitions, of an account, or at all. What is accepted meanwhile waits; runs go on."""
    _check(partition, account, every)
    if every:
        confirm("Pause all partitions? Nothing is applied until they are resumed.", yes)
    _tell(asyncio.run(_change(data, partition, account, paused=True)), "paused", account, as_json)


def resume(
    partition: PartitionOption = None,
    account: AccountOption = None,
    every: AllOption = False,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Let drains take them again: within half a second they do."""
    _check(partition, account, every)
    _tell(asyncio.run(_change(data, partition, account, paused=False)), "resumed", account, as_json)


def _check(partitions: list[int] | None, account: str | None, every: bool) -> None:
    if bool(partitions) + (account is not None) + every != 1:
        raise SetupError("say one of --partition, --account and --all")


async def _change(data: Path | None, partitions: list[int] | None, account: str | None, *, paused: bool) -> int:
    async with open_session(data) as connection:
        actor = audit.command_line()
        if account is None:
            change = queue.pause_partitions if paused else queue.resume_partitions
            return await change(connection, actor, partitions)
        owner = await accounts.find_account(connection, account)
        change_account = queue.pause_account if paused else queue.resume_account
        return await change_account(connection, actor, owner.id)


def _tell(reached: int, done: str, account: str | None, as_json: bool) -> None:
    if as_json:
        context.print_json({"done": done, "reached": reached})
    elif not reached:
        typer.echo(f"Nothing was to be {done}.")
    elif account is not None:
        typer.echo(f"The account {account} is {done}.")
    else:
        typer.echo(f"{reached} partition{'' if reached == 1 else 's'} {done}.")
