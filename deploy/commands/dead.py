"""`threadmill dead`: batches that failed for good, and what an operator can do about them."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import asyncpg
import typer

from deploy import context, tables, words
from deploy.session import (
    AfterOption,
    LimitOption,
    OfAccountOption,
    YesOption,
    account_id,
    document,
    open_session,
)
from deploy.settling import Choice, Deed, perform
from shared import holds
from shared.audit import Actor
from shared.errors import Conflict
from shared.inspect import batches, threads
from shared.inspect import deadletters as letters
from shared.inspect.actions import dead
from shared.inspect.actions.dead import Reached, Told
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
ThreadOption = Annotated[str | None, typer.Option("--thread", "-t", help="Only those of this thread.")]
AllOption = Annotated[bool, typer.Option("--all", help="Every dead letter there is.")]
BatchesArgument = Annotated[list[str] | None, typer.Argument(help="Numbers of batches, or their refs.")]
BatchArgument = Annotated[str, typer.Argument(help="The number of the batch, or its ref.")]


@app.command("list", epilog="Example:  threadmill dead list --error 'ValueError: row #' --json")
def list_(
    error: ErrorOption = None,
    account: OfAccountOption = None,
    thread: ThreadOption = None,
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
    rows = [(g.letters, words.age(g.age), words.moment(g.last), g.mark, g.error) for g in found]
    context.print_table(["dead letters", "oldest", "last parked (UTC)", "in logs", "error"], rows)


@app.command(epilog="Example:  threadmill dead show 4711")
def show(batch: BatchArgument, data: context.DataOption = None, as_json: context.JsonOption = False) -> None:
    """Show one dead letter: its events, its error and where it was raised, how often it was tried."""
    found = asyncio.run(_show(data, batch))
    if as_json:
        context.print_json(document(found))
    else:
        tables.show_batch(found)


def _settling(deed: Deed) -> Callable[..., None]:
    """The command of a deed that needs no word but which letters are meant."""

    def settle(
        named: BatchesArgument = None,
        error: ErrorOption = None,
        account: OfAccountOption = None,
        thread: ThreadOption = None,
        every: AllOption = False,
        yes: YesOption = False,
        data: context.DataOption = None,
        as_json: context.JsonOption = False,
    ) -> None:
        perform(data, Choice(named or [], error, account, thread, every), deed, yes, as_json)

    return settle


_LATE = "What was skipped is applied late, behind what its thread did since."
app.command(
    "replay",
    help="Let dead letters be tried again, from their first attempt, and their threads go on behind them.",
    epilog="Example:  threadmill dead replay 4711   (after what its error names was put right)",
)(_settling(Deed("Replay", "replayed", _LATE, dead.replay, asks=False)))


@app.command(epilog='Example:  threadmill dead discard 4711 --reason "sent by a broken client" --yes')
def discard(
    named: BatchesArgument = None,
    *,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why: the sender of the batch reads it.")],
    error: ErrorOption = None,
    account: OfAccountOption = None,
    thread: ThreadOption = None,
    every: AllOption = False,
    yes: YesOption = False,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Give dead letters up: they have no effect, their senders read `batch_discarded`, their threads go on."""
    why = holds.checked(reason)

    async def act(connection: asyncpg.Connection, actor: Actor, selection: Selection, tell: Told) -> Reached:
        return await dead.discard(connection, actor, selection, why, tell)

    choice = Choice(named or [], error, account, thread, every)
    perform(data, choice, Deed("Discard", "discarded", "Their events never take effect.", act), yes, as_json)


_ORDER = "What came after them is applied first; replayed later, they come late."
app.command(
    "skip",
    help="Let threads go on without their dead letters, which stay: their order is given up.",
    epilog="Example:  threadmill dead skip 4711 --yes",
)(_settling(Deed("Skip", "skipped", _ORDER, dead.skip, holding=True)))


async def _list(
    data: Path | None, error: str | None, account: str | None, thread: str | None, limit: int, after: str | None
) -> Page[BatchView]:
    async with open_session(data) as connection:
        of = None if thread is None else (await threads.own_row(connection, thread)).id
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
