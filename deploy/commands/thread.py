"""`threadmill thread`: threads of any account, what is under way in one; one held by hand, and let go."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import typer

from deploy import context, tables, words
from deploy.session import AfterOption, LimitOption, OfAccountOption, account_id, document, open_session
from shared import agents, audit, holds
from shared.ids import ThreadId
from shared.inspect import search, threads
from shared.inspect import timeline as timelines
from shared.inspect.actions import threads as actions
from shared.inspect.page import Page
from shared.inspect.search import Found, Wanted
from shared.inspect.threads import ThreadView
from shared.inspect.timeline import Asked, Entry, Logged, Ran, Sent, Step
from shared.models import Thread, ThreadStatus

ThreadArgument = Annotated[str, typer.Argument(help="The id of the thread, or its number in Cortex.")]

app = typer.Typer(no_args_is_help=True, help="Threads: what each is doing and what holds it up; hold one by hand.")


@app.command(epilog="Example:  threadmill thread show 01K5XAMPLE0000000000000000")
def show(
    thread: ThreadArgument,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Show one thread: its latest runs, open permission requests, and batches that are not applied."""
    found = asyncio.run(_show(data, thread))
    if as_json:
        context.print_json(document(found))
        return
    by_hand = found.hold and f"by {found.hold.by} since {words.moment(found.hold.at)}: {found.hold.reason}"
    tables.show_fields({**document(found.thread), "hold": by_hand})
    if found.runs:
        tables.show_runs(found.runs)
    if found.requests:
        rows = [(r.id, r.run, r.title, words.moment(r.created_at), words.moment(r.expires_at)) for r in found.requests]
        context.print_table(["permission request", "run", "title", "created (UTC)", "expires (UTC)"], rows)
    if found.batches:
        tables.show_batches(found.batches)
    if found.batches_after is not None:
        typer.echo(f"more: threadmill queue list --thread {found.thread.id} --after {found.batches_after}", err=True)


@app.command(epilog='Example:  threadmill thread hold 01K5XAMPLE0000000000000000 --reason "asked by legal"')
def hold(
    thread: ThreadArgument,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why: shown with the thread, and in the audit log.")],
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Keep a thread from taking events: new ones are refused, what waits is blocked. Its current run goes on."""
    reached = asyncio.run(_act(data, thread, lambda db, of: actions.hold(db, audit.command_line(), of, reason)))
    _tell("held", reached, thread, as_json)


@app.command(epilog="Example:  threadmill thread release 01K5XAMPLE0000000000000000")
def release(thread: ThreadArgument, data: context.DataOption = None, as_json: context.JsonOption = False) -> None:
    """Let a thread go on that was held by hand. One that a dead letter holds is let go with `threadmill dead`."""
    reached = asyncio.run(_act(data, thread, lambda db, of: actions.release(db, audit.command_line(), of)))
    _tell("released", reached, thread, as_json)


async def _act(
    data: Path | None, thread: str, act: Callable[[asyncpg.Connection, ThreadId], Awaitable[int]]
) -> tuple[int, bool]:
    """How many it reached, and whether the thread is held then."""
    async with open_session(data) as connection:
        found = await threads.own_row(connection, thread)
        done = await act(connection, found.id)
        return done, await holds.is_held(connection, found.partition, found.id)


def _tell(done: str, reached: tuple[int, bool], thread: str, as_json: bool) -> None:
    number, held = reached
    if as_json:
        context.print_json({"done": done, "reached": number, "held": held})
        return
    typer.echo(f"The thread {thread} is {done}{'.' if number else ' already: nothing was done.'}")
    if held and done == "released":
        typer.echo("A dead letter holds it still (`threadmill dead list`).")


@app.command("list", epilog="Example:  threadmill thread list --agent echo --account acme")
@app.command(epilog="Example:  threadmill thread find --title refund --account acme")
def find(
    title: Annotated[str | None, typer.Option("--title", help="A part of the title, in upper or lower case.")] = None,
    external_ref: Annotated[str | None, typer.Option("--external-ref", help="The client's own name, exactly.")] = None,
    account: OfAccountOption = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Only threads of this agent, id or name.")] = None,
    status: Annotated[ThreadStatus | None, typer.Option("--status", "-s", help="Only those of this status.")] = None,
    archived: Annotated[bool | None, typer.Option("--archived/--not-archived", help="Only these.")] = None,
    held: Annotated[bool, typer.Option("--held", help="Only threads that are held.")] = False,
    limit: LimitOption = 50,
    after: AfterOption = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Find threads by what they are called, whose they are, and how they are. `list` and `find` are one command.

    All threads, and held ones, come the newest first, an account's the latest changed first. Deleted ones are left out.

    A part of a title, or a status, is looked for among some thousand threads at a time: go on with --after.
    """
    fields = {"title": title, "external_ref": external_ref, "status": status, "archived": archived, "held": held}
    found, names = asyncio.run(_find(data, account, agent, fields, limit, after))
    if as_json:
        context.print_json({"threads": document(found.page.items), "after": found.page.after, "looked": found.looked})
        return
    rows = [
        (t.id, names[t.account], names.get(t.agent or "", ""), t.status, _state(t), t.client_external_ref, _title(t))
        for t in found.page.items
    ]
    context.print_table(["id", "account", "agent", "status", "state", "external ref", "title"], rows)
    tables.show_more(found.page.after)


@app.command(epilog="Example:  threadmill thread timeline 01K5XAMPLE0000000000000000")
def timeline(
    thread: Annotated[str, typer.Argument(help="The id of the thread, or its number in Cortex.")],
    limit: LimitOption = 50,
    after: AfterOption = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Show what happened to a thread, the newest first: batches, runs, its log, permission requests."""
    found = asyncio.run(_timeline(data, thread, limit, after))
    if as_json:
        steps = [{"kind": _kind(entry.step), **document(entry)} for entry in found.items]
        context.print_json({"timeline": steps, "after": found.after})
        return
    rows = [
        (words.clock(entry.step.at), words.took(entry.behind), _kind(entry.step), *_told(entry.step))
        for entry in found.items
    ]
    context.print_table(["at (UTC)", "after", "what", "which", "how", "times"], rows)
    tables.show_more(found.after)


async def _find(
    data: Path | None, account: str | None, agent: str | None, fields: dict[str, Any], limit: int, after: str | None
) -> tuple[Found, dict[str, str]]:
    async with open_session(data) as connection:
        owner = await account_id(connection, account)
        wanted = None if agent is None else await agents.find_agent(connection, agent, owner)
        sought = Wanted(
            account=owner if wanted is None else wanted.account, agent=None if wanted is None else wanted.id, **fields
        )
        found = await search.find(connection, sought, limit, after)
        return found, await search.names(connection, found.page.items)


async def _timeline(data: Path | None, thread: str, limit: int, after: str | None) -> Page[Entry]:
    async with open_session(data) as connection:
        row = await threads.own_row(connection, thread)
        return await timelines.page(connection, row, limit, after)


def _title(thread: Thread) -> str:
    return words.short(thread.title, 40)


def _kind(step: Step) -> str:
    match step:
        case Sent():
            return "batch"
        case Ran():
            return "run"
        case Asked():
            return "permission"
        case Logged():
            return "event"


def _told(step: Step) -> tuple[object, object, str]:
    """Which one, how it is, how long it took."""
    match step:
        case Sent(batch=batch):
            done = f"applied after {words.took(step.took)}" if step.took is not None else f"for {words.age(batch.age)}"
            return batch.id, f"{batch.state}: {tables.held_by(batch)}", done
        case Ran(run=run):
            error = "" if run.error is None else f": {words.short(run.error.message)}"
            return run.id, f"{run.status}{error}", _times(step)
        case Asked():
            return step.id, f"{step.state}: {words.short(step.title)}", f"waited {words.age(step.waited)}"
        case Logged():
            size = f"{step.pieces} pieces, {step.size} characters" if step.pieces > 1 else ""
            return step.type, words.short(step.text), words.took(step.duration) or size


async def _show(data: Path | None, thread: str) -> ThreadView:
    async with open_session(data) as connection:
        return await threads.find_thread(connection, thread)


def _times(step: Ran) -> str:
    """What goes on has not taken its time yet: it says for how long so far."""
    over = step.run.completed_at is not None
    if step.took is None:
        return "never started" if over else f"queued for {words.took(step.waited)}"
    return f"queued {words.took(step.waited)}, {'took' if over else 'for'} {words.took(step.took)}"


def _state(thread: Thread) -> str:
    facts = {"held": thread.held, "archived": thread.archived_at, "deleted": thread.deleted_at}
    return ", ".join(name for name, fact in facts.items() if fact)
