"""`threadmill run`: runs of one thread, or those under way in all of them; retried, interrupted, decided."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from api.operator import Came, Decision, Done, Operator
from deploy import context, following, operator, tables
from deploy.errors import SetupError
from deploy.following import Pieces
from deploy.session import AfterOption, LimitOption, YesOption, confirm, document, open_session
from shared import audit, ids
from shared.audit import Actor
from shared.inspect import running, runs, threads
from shared.inspect.page import Page
from shared.inspect.running import ListedRun
from shared.inspect.runs import RunDetail
from shared.inspect.transcript import Transcript
from shared.models import RunStatus

app = typer.Typer(
    no_args_is_help=True, help="Runs: their status, times, attempts and errors; retry, interrupt, decide."
)

ThreadOption = Annotated[str | None, typer.Option("--thread", "-t", help="The thread that the run is of.")]
RunArgument = Annotated[str, typer.Argument(help="The id of the run.")]
StatusOption = Annotated[
    RunStatus | None,
    typer.Option("--status", "-s", help="Only runs of this status; of one that is over, with --thread."),
]


class Which(StrEnum):
    """A list of runs over all threads."""

    WAITING = "waiting"
    STUCK = "stuck"
    FAILED = "failed"


@app.command("list", epilog="Example:  threadmill run list --stuck")
def list_(
    thread: ThreadOption = None,
    status: StatusOption = None,
    waiting: Annotated[bool, typer.Option("--waiting", help="Those that wait for a permission.")] = False,
    stuck: Annotated[bool, typer.Option("--stuck", help="Those that do not get on, and why.")] = False,
    failed: Annotated[bool, typer.Option("--failed", help="Those that failed or expired, the latest first.")] = False,
    limit: LimitOption = 50,
    after: AfterOption = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """List runs: of one thread, or of all those not over, waiting, stuck or failed.

    A page of a thread's runs of one --status may be short, or empty, and have a next one: 2,000 runs are looked at.
    """
    which = _which({Which.WAITING: waiting, Which.STUCK: stuck, Which.FAILED: failed}, thread, status)
    listed = asyncio.run(_page(data, which, thread, status, limit, after))
    if as_json:
        context.print_json({"runs": [flat(one) for one in listed.items], "after": listed.after})
        return
    tables.show_listed(listed.items)
    tables.show_more(listed.after)


def _which(asked: dict[Which, bool], thread: str | None, status: RunStatus | None) -> Which | None:
    given = [which for which, wanted in asked.items() if wanted]
    if len(given) > 1 or (given and (thread is not None or status is not None)):
        raise SetupError("one of --waiting, --stuck and --failed, without --thread or --status")
    return given[0] if given else None


@app.command(epilog="Example:  threadmill run show 01K5XAMPLE0000000000000000 --json")
def show(
    run: RunArgument,
    thread: ThreadOption = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="And what it says, as it says it, until it is over.")
    ] = False,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Show one run: who has it, what it waits for, what comes next. With --thread it is found at once.

    With --follow --json each line is one document: the run, each event of it, and in the end the run again.
    """
    if follow:
        try:
            asyncio.run(_follow(data, run, thread, as_json))
        except (KeyboardInterrupt, asyncio.CancelledError):
            raise typer.Abort from None
        return
    found = asyncio.run(_show(data, run, thread))
    if as_json:
        context.print_json(flat(found))
    else:
        tables.show_run(found)


@app.command(epilog="Example:  threadmill run retry 01K5XAMPLE0000000000000000")
def retry(
    run: RunArgument,
    thread: ThreadOption = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Answer the message of a finished run once more, with a new run at the end of the thread's queue."""
    found, done = asyncio.run(_act(data, lambda who, actor: who.retry(actor, run, thread)))
    _tell("retried", f"Run {{}} retries {ids.parse(run)}.", found, done, as_json)


@app.command(epilog="Example:  threadmill run interrupt 01K5XAMPLE0000000000000000 --yes")
def interrupt(
    run: RunArgument,
    thread: ThreadOption = None,
    yes: YesOption = False,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Cancel a run, queued or executing, as a client's user_interrupt does.

    It asks, unless --yes is said.
    """
    if not yes:
        meant = asyncio.run(_show(data, run, thread)).run
        confirm(
            f"Interrupt the run {meant.id}, which is {meant.status}? What it was asked gets no (further) answer.", yes
        )
    found, done = asyncio.run(_act(data, lambda who, actor: who.interrupt(actor, run, thread)))
    _tell("interrupted", "Run {} is interrupted.", found, done, as_json)


@app.command(epilog='Example:  threadmill run decide 01K5XAMPLE0000000000000000 --allow --note "as agreed"')
def decide(
    request: Annotated[str, typer.Argument(help="The id of the permission request, as `run show` prints it.")],
    thread: ThreadOption = None,
    allow: Annotated[bool | None, typer.Option("--allow/--reject", help="What is decided.")] = None,
    note: Annotated[str | None, typer.Option("--note", help="Why: the agent reads it.")] = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Settle an open permission request, as its user would. With --thread it is found at once."""
    if allow is None:
        raise SetupError("say --allow or --reject")
    decision = Decision.ALLOW if allow else Decision.REJECT
    found, done = asyncio.run(_act(data, lambda who, actor: who.decide(actor, request, decision, note, thread)))
    _tell("allowed" if allow else "rejected", "Run {} is told.", found, done, as_json)


async def _page(
    data: Path | None, which: Which | None, thread: str | None, status: RunStatus | None, limit: int, after: str | None
) -> Page[ListedRun]:
    async with open_session(data) as connection:
        if thread is not None:
            of = await threads.own_row(connection, thread)
            return await running.of_thread(connection, of.partition, of.id, limit, after, status)
        if which is None:
            return await running.active(connection, limit, after, status)
        lists = {Which.WAITING: running.waiting, Which.STUCK: running.stuck, Which.FAILED: running.failed}
        return await lists[which](connection, limit, after)


async def _show(data: Path | None, run: str, thread: str | None) -> RunDetail:
    async with open_session(data) as connection:
        return await runs.run_detail(connection, run, thread)


async def _follow(data: Path | None, run: str, thread: str | None, as_json: bool) -> None:
    settings, tell = context.resolve(data), _tell_lines if as_json else _tell_text
    async with open_session(data) as connection:
        found = await runs.run_detail(connection, run, thread)
        async with aclosing(following.pieces(connection, settings, found)) as pieces:
            await tell(found, pieces)
        ended = await runs.run_detail(connection, run, found.thread)
    if as_json:
        context.print_json({"run": flat(ended)})
    else:
        typer.echo(f"\nThe run is {ended.run.status}.")


async def _tell_lines(found: RunDetail, pieces: Pieces) -> None:
    context.print_json({"run": flat(found)})
    async for events in pieces:
        for event in events:
            context.print_json({"event": document(event)})


async def _tell_text(found: RunDetail, pieces: Pieces) -> None:
    tables.show_run(found)
    transcript = Transcript()
    async for events in pieces:
        typer.echo(context.plain("".join(map(transcript.event, events))), nl=False)


async def _act(data: Path | None, act: Callable[[Operator, Actor], Awaitable[Done]]) -> tuple[RunDetail | None, Done]:
    """What the deed came to, and the run that it names then; None where it is not applied yet."""
    async with open_session(data) as connection, operator.opened(context.resolve(data)) as who:
        done = await act(who, audit.command_line())
        return None if done.run is None else await runs.run_detail(connection, done.run, done.thread), done


def _tell(verb: str, said: str, found: RunDetail | None, done: Done, as_json: bool) -> None:
    """`said` has a place for the run. What is accepted and not applied yet is no failure: it can't be lost."""
    if as_json:
        run = None if found is None else flat(found)
        verb = "accepted" if done.came is Came.LATER else verb
        context.print_json({"done": verb, "result": done.came, "run": run, "warnings": done.warnings})
        return
    if found is None:
        typer.echo("It is accepted, and not applied yet: a worker will apply it. Sent again before, it adds nothing.")
        return
    typer.echo(said.format(found.run.id))
    if done.came is Came.BEFORE:
        typer.echo("That was asked before: nothing was added.")
    for warning in done.warnings:
        typer.echo(warning["message"])
    typer.echo(found.next_step)


def flat(one: ListedRun | RunDetail) -> dict[str, Any]:
    """A run as one JSON object, with all else that is known of it beside its own fields."""
    plain = document(one)
    return {**plain.pop("run"), **plain}
