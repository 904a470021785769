"""`threadmill dead`: batches that failed for good, and what an operator can do about them."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import asyncpg
import typer

from deploy import context, tables, words
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
from shared import deadletters, holds
from shared.deadletters import Decision, Fate, Settled
from shared.errors import Conflict
from shared.inspect import batches, threads
from shared.inspect import deadletters as letters
from shared.inspect.batches import BatchState, BatchView
from shared.inspect.deadletters import Group, Selection
from shared.inspect.page import Page

app = typer.Typer(
    no_args_is_help=True,
    help="Dead letters: batches that failed five times alone. Their threads are held until they are settled.",
)

ErrorOption = Annotated[
    str | None, typer.Option("--error", "-e", help="Only those with this error, as `threadmill dead groups` shows it.")
]
BatchArgument = Annotated[str, typer.Argument(help="The number of the batch, or its ref.")]


@app.command("list", epilog="Example:  threadmill dead list --error 'ValueError: row #' --json")
def list_(
    error: ErrorOption = None,
    account: AccountOption = None,
    thread: Annotated[str | None, typer.Option("--thread", "-t", help="Only those of this thread.")] = None,
    limit: LimitOption = 50,
    after: AfterOption = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """List dead letters, the longest parked first."""
    found = asyncio.run(_list(data, error, account, thread, limit, after))
    if as_json:
        context.print_json({"dead_letters": document(found.items), "after": found.after})
    else:
        tables.show_batches(found.items)
        tables.show_more(found.after)


@app.command(epilog="Example:  threadmill dead groups")
def groups(
    limit: LimitOption = 50,
    after: Annotated[str | None, typer.Option("--after", help="The error that the page begins behind.")] = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Count dead letters by their errors: ids, numbers and quoted parts in them don't part them."""
    found = asyncio.run(_groups(data, limit, after))
    if as_json:
        context.print_json({"groups": document(found), "after": found[-1].error if len(found) == limit else None})
        return
    rows = [(g.letters, words.age(g.age), words.moment(g.last), g.error) for g in found]
    context.print_table(["dead letters", "oldest", "last parked (UTC)", "error"], rows)


@app.command(epilog="Example:  threadmill dead show 4711")
def show(batch: BatchArgument, data: context.DataOption = None, as_json: context.JsonOption = False) -> None:
    """Show one dead letter: its events, its error and where it was raised, how often it was tried."""
    found = asyncio.run(_show(data, batch))
    if as_json:
        context.print_json(document(found))
    else:
        tables.show_batch(found)


@app.command(epilog="Example:  threadmill dead replay 4711   (after what its error names was put right)")
def replay(batch: BatchArgument, data: context.DataOption = None, as_json: context.JsonOption = False) -> None:
    """Let a dead letter be tried again, from its first attempt, and its thread go on behind it."""
    settled = asyncio.run(_settle(data, lambda connection: _decide(connection, batch, Decision(Fate.REPLAY))))
    _tell("replayed", settled, as_json)


@app.command(epilog='Example:  threadmill dead discard 4711 --reason "sent by a broken client" --yes')
def discard(
    batch: BatchArgument,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why: the sender of the batch reads it.")],
    yes: YesOption = False,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Give a dead letter up: it has no effect, its sender reads `batch_discarded`, its thread goes on."""
    confirm(f"Discard the batch {batch}? Its events never take effect.", yes)
    settled = asyncio.run(
        _settle(data, lambda connection: _decide(connection, batch, Decision(Fate.DISCARD, holds.checked(reason))))
    )
    _tell("discarded", settled, as_json)


async def _list(
    data: Path | None, error: str | None, account: str | None, thread: str | None, limit: int, after: str | None
) -> Page[BatchView]:
    async with open_session(data) as connection:
        of = None if thread is None else (await threads.find_thread(connection, thread, 0)).thread.id
        selection = Selection(error=error, account=await account_id(connection, account), thread=of)
        return await letters.page(connection, selection, limit, after)


async def _groups(data: Path | None, limit: int, after: str | None) -> list[Group]:
    async with open_session(data) as connection:
        return await letters.groups(connection, limit, after)


async def _show(data: Path | None, batch: str) -> BatchView:
    async with open_session(data) as connection:
        found = await batches.find_batch(connection, batch)
    if found.state not in {BatchState.PARKED, BatchState.DISCARDED}:
        raise Conflict(f"The batch {batch} is no dead letter: it is {found.state} (`threadmill queue show`).")
    return found


async def _decide(connection: asyncpg.Connection, batch: str, decision: Decision) -> Settled:
    return await deadletters.settle(connection, await batches.find_batch(connection, batch), decision)


async def _settle(data: Path | None, act: Callable[[asyncpg.Connection], Awaitable[Settled]]) -> Settled:
    async with open_session(data) as connection:
        return await act(connection)


def _tell(done: str, settled: Settled, as_json: bool) -> None:
    if as_json:
        context.print_json({"done": done, **document(settled)})
        return
    typer.echo(f"Batch {settled.batch} is {done}.")
    if settled.held:
        typer.echo(f"Thread {settled.thread} is still held by another dead letter (`threadmill dead list`).")
    else:
        typer.echo(f"Thread {settled.thread} goes on.")
