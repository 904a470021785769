"""`threadmill thread`: threads of any account, and what is under way in one. Reads only."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from deploy import context, tables, words
from deploy.session import AccountOption, LimitOption, account_id, document, open_session
from shared import accounts
from shared.inspect import threads
from shared.inspect.threads import ThreadView
from shared.models import Thread

app = typer.Typer(no_args_is_help=True, help="Threads: what each is doing and what holds it up. Reads only.")


@app.command("list", epilog="Example:  threadmill thread list --agent echo --limit 10")
def list_(
    account: AccountOption = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Only threads of this agent, id or name.")] = None,
    limit: LimitOption = 50,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """List threads, the latest changed first. Deleted ones are left out."""
    found = asyncio.run(_list(data, account, agent, limit))
    if as_json:
        context.print_json({"threads": document(found)})
        return
    rows = [(t.id, t.agent, t.status, _state(t), words.short(t.title, 40), words.moment(t.updated_at)) for t in found]
    context.print_table(["id", "agent", "status", "state", "title", "updated (UTC)"], rows)


@app.command(epilog="Example:  threadmill thread show 01K5XAMPLE0000000000000000")
def show(
    thread: Annotated[str, typer.Argument(help="The id of the thread, or its number in Cortex.")],
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


async def _list(data: Path | None, account: str | None, agent: str | None, limit: int) -> list[Thread]:
    async with open_session(data) as connection:
        owner = await account_id(connection, account)
        wanted = None if agent is None else (await accounts.find_agent(connection, agent, owner)).id
        return await threads.list_threads(connection, limit, owner, wanted)


async def _show(data: Path | None, thread: str) -> ThreadView:
    async with open_session(data) as connection:
        return await threads.find_thread(connection, thread)


def _state(thread: Thread) -> str:
    facts = {"held": thread.held, "archived": thread.archived_at, "deleted": thread.deleted_at}
    return ", ".join(name for name, fact in facts.items() if fact)
