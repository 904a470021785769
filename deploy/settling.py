"""What the commands of `threadmill dead` share: which letters are meant, the question, the bar, what came of it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import asyncpg
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from deploy import context
from deploy.errors import SetupError
from deploy.session import account_id, confirm, open_session
from shared import audit, holds
from shared.audit import Actor
from shared.errors import Conflict
from shared.inspect import batches, threads
from shared.inspect import deadletters as letters
from shared.inspect.actions.dead import Reached, Told
from shared.inspect.batches import BatchState, BatchView
from shared.inspect.clock import moment
from shared.inspect.counts import Count
from shared.inspect.deadletters import Selection

Act = Callable[[asyncpg.Connection, Actor, Selection, Told], Awaitable[Reached]]


@dataclass(frozen=True, slots=True)
class Choice:
    """What the command line names: batches one by one, or all that match."""

    batches: list[str]
    error: str | None
    account: str | None
    thread: str | None
    every: bool

    def __post_init__(self) -> None:
        narrowed = any(value is not None for value in (self.error, self.account, self.thread))
        if bool(self.batches) + narrowed + self.every != 1:
            raise SetupError("name batches, or say --error, --account or --thread, or --all")


@dataclass(frozen=True, slots=True)
class Deed:
    """How a deed reads: `Replay 3 dead letters? …`, `3 replayed`."""

    verb: str
    done: str
    warning: str
    act: Act
    asks: bool = True  # also of one batch alone
    holding: bool = False  # only of those that hold their threads: not of those that were skipped before


@dataclass(frozen=True, slots=True)
class Chosen:
    selection: Selection
    count: Count
    alone: BatchView | None  # the only one that was named


def perform(data: Path | None, choice: Choice, deed: Deed, yes: bool, as_json: bool) -> None:
    """Asks, does it, tells. Raises NotFound, Conflict for a batch that is no dead letter, SetupError; exits
    with 1 where some were left."""
    chosen = asyncio.run(_choose(data, choice, deed))
    if deed.asks or chosen.alone is None or chosen.alone.passed_at is not None:
        confirm(f"{deed.verb} {_number(chosen)}? {deed.warning}", yes)
    reached, held = asyncio.run(_act(data, chosen, deed))
    if chosen.alone is not None and not reached.done:
        raise Conflict(f"The batch {chosen.alone.id} was settled meanwhile by somebody else: nothing was done.")
    if as_json:
        _print_json(chosen, deed, reached, held)
    else:
        _print(chosen, deed, reached, held)
    if reached.left:
        raise typer.Exit(1)


def _print(chosen: Chosen, deed: Deed, reached: Reached, held: bool) -> None:
    typer.echo(f"{reached.done:,} {deed.done}.")
    if reached.left:
        typer.echo(reached.rest)
    if chosen.alone is not None:
        goes_on = "is still held: see `threadmill thread show`" if held else "goes on"
        typer.echo(f"Thread {chosen.alone.thread} {goes_on}.")


def _print_json(chosen: Chosen, deed: Deed, reached: Reached, held: bool) -> None:
    one = chosen.alone
    about = {} if one is None else {"batch": one.id, "partition": one.partition, "thread": one.thread, "held": held}
    context.print_json({"done": deed.done, "reached": reached.done, "left": reached.left.total(), **about})


def _number(chosen: Chosen) -> str:
    if chosen.alone is not None:
        return f"the batch {chosen.alone.id}"
    return f"{chosen.count} dead letter{'' if str(chosen.count) == '1' else 's'}"


async def _choose(data: Path | None, choice: Choice, deed: Deed) -> Chosen:
    """What there is now: whatever dies while the question is open is not meant."""
    async with open_session(data) as connection:
        now = await moment(connection)
        if choice.batches:
            return await _named(connection, choice.batches, deed, now)
        of = None if choice.thread is None else (await threads.own_row(connection, choice.thread)).id
        owner = await account_id(connection, choice.account)
        selection = Selection(error=choice.error, account=owner, thread=of, parked_before=now)
        return Chosen(selection, await letters.count(connection, selection, holding=deed.holding), None)


async def _named(connection: asyncpg.Connection, named: list[str], deed: Deed, now: datetime) -> Chosen:
    found = [await batches.find_batch(connection, text) for text in named]
    for batch in found:
        if batch.state is not BatchState.PARKED:
            raise Conflict(f"The batch {batch.id} is no dead letter (any more): it is {batch.state}.")
    selection = Selection(ids=tuple({batch.id: None for batch in found}), parked_before=now)
    meant = {batch.id for batch in found if not (deed.holding and batch.passed_at is not None)}
    return Chosen(selection, Count(len(meant)), found[0] if len(found) == 1 else None)


async def _act(data: Path | None, chosen: Chosen, deed: Deed) -> tuple[Reached, bool]:
    """What was reached, and whether the thread of the only one is held still."""
    async with open_session(data) as connection:
        with _bar(deed.verb, chosen.count) as tell:
            reached = await deed.act(connection, audit.command_line(), chosen.selection, tell)
        if chosen.alone is None:
            return reached, False
        return reached, await holds.is_held(connection, chosen.alone.partition, chosen.alone.thread)


@contextmanager
def _bar(verb: str, count: Count) -> Iterator[Told]:
    """A bar on standard error, in a terminal only; one without an end where nobody counted so far."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(verb, total=None if count.at_least else count.value)
        yield lambda done: progress.update(task, completed=done)
