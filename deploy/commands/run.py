"""`threadmill run`: runs of one thread, or those under way in all of them. Reads only."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from deploy import context, tables
from deploy.session import LimitOption, document, open_session
from shared.inspect import threads
from shared.inspect.threads import ThreadRun

app = typer.Typer(no_args_is_help=True, help="Runs: their status, times, attempts and errors. Reads only.")

ThreadOption = Annotated[str | None, typer.Option("--thread", "-t", help="The thread that the run is of.")]


@app.command("list", epilog="Example:  threadmill run list --thread 01K5XAMPLE0000000000000000")
def list_(
    thread: ThreadOption = None,
    limit: LimitOption = 50,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """List the runs of a thread, the latest first; without --thread all that are not over."""
    found = asyncio.run(_list(data, thread, limit))
    if as_json:
        context.print_json({"runs": [flat(one) for one in found]})
    else:
        tables.show_runs(found)


@app.command(epilog="Example:  threadmill run show 01K5RUN00000000000000000000 --json")
def show(
    run: Annotated[str, typer.Argument(help="The id of the run.")],
    thread: ThreadOption = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Show one run. With --thread it is found at once, however many runs there are."""
    found = flat(asyncio.run(_show(data, run, thread)))
    if as_json:
        context.print_json(found)
        return
    context.print_table(["field", "value"], [(key, value) for key, value in found.items() if value is not None])


async def _list(data: Path | None, thread: str | None, limit: int) -> list[ThreadRun]:
    async with open_session(data) as connection:
        if thread is None:
            return await threads.active_runs(connection, limit)
        return await threads.list_runs(connection, thread, limit)


async def _show(data: Path | None, run: str, thread: str | None) -> ThreadRun:
    async with open_session(data) as connection:
        return await threads.find_run(connection, run, thread)


def flat(one: ThreadRun) -> dict[str, object]:
    """A run as one JSON object that names its thread."""
    return {**document(one.run), "thread": one.thread}
