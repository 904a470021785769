"""`threadmill audit`: what operators did, on the console and the command line. Reads only."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from deploy import context, tables
from deploy.session import AfterOption, LimitOption, document, open_session
from shared import words
from shared.audit import Record
from shared.inspect import auditlog
from shared.inspect.auditlog import Wanted
from shared.inspect.page import Page

app = typer.Typer(no_args_is_help=True, help="The audit log: who did what, to which thing, when, why, what came of it.")


@app.command("list", epilog="Example:  threadmill audit list --action dead.discard --limit 20")
def list_(
    action: Annotated[str | None, typer.Option("--action", help="Only this action, such as queue.pause.")] = None,
    target: Annotated[str | None, typer.Option("--target", help="Only of this thing, such as 'batch 4711'.")] = None,
    actor: Annotated[str | None, typer.Option("--actor", help="Only of this person, as the log has it.")] = None,
    limit: LimitOption = 50,
    after: AfterOption = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """List entries, the newest first. One without a result is under way, or its process died with it.

    Of several things asked for at once a page may be short, or empty, and have a next one: 2,000 entries are looked at.
    """
    found = asyncio.run(_list(data, limit, after, Wanted(target, actor, action)))
    if as_json:
        context.print_json({"entries": document(found.items), "after": found.after})
        return
    context.print_table(
        ["at (UTC)", "who", "by", "action", "target", "reached", "result", "reason"],
        [
            (words.moment(e.at), e.actor, e.via, e.action, e.target, e.touched, e.result, words.short(e.reason))
            for e in found.items
        ],
    )
    tables.show_more(found.after)


async def _list(data: Path | None, limit: int, after: str | None, wanted: Wanted) -> Page[Record]:
    async with open_session(data) as connection:
        return await auditlog.page(connection, limit, wanted, after)
