"""`threadmill queue pause | resume`: what drains take, stopped and let go: partitions, an account, all."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from deploy import context
from deploy.errors import SetupError
from deploy.session import YesOption, confirm, open_session
from shared import accounts, audit
from shared.errors import NotFound
from shared.inspect.actions import queue
from shared.inspect.counts import Count
from shared.inspect.partitions import read_partitions, work_of

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
    """Apply nothing of these partitions, of an account, or at all. What is accepted meanwhile waits; runs go on.

    It says how much waits there and asks, unless --yes is said.
    """
    _check(partition, account, every)
    if not yes:
        question = asyncio.run(_question(data, partition, account))
        confirm(f"{question} Nothing of that is applied until it is resumed.", yes)
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


async def _question(data: Path | None, partitions: list[int] | None, account: str | None) -> str:
    """How much it touches, as the console says it. Raises NotFound."""
    async with open_session(data) as connection:
        if account is not None:
            work = await work_of(connection, (await accounts.find_account(connection, account)).id)
            return f"Pause the account {work.name} with {_batches(work.waiting)}?"
        found = {one.id: one for one in await read_partitions(connection)}
    wanted = sorted(found if partitions is None else {*partitions})
    if unknown := [one for one in wanted if one not in found]:
        raise NotFound(f"There is no partition {unknown[0]}.")
    waiting = sum((found[one].waiting + found[one].held for one in wanted), Count(0))
    which = f"all {len(wanted)} partitions" if partitions is None else _partitions(len(wanted))
    return f"Pause {which} with {_batches(waiting)}?"


def _partitions(number: int) -> str:
    return f"{number} partition{'' if number == 1 else 's'}"


def _batches(count: Count) -> str:
    return f"{count} waiting batch{'' if str(count) == '1' else 'es'}"


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
        typer.echo(f"{_partitions(reached)} {done}.")
