"""`threadmill file`: what clients uploaded and runs made, and how to get rid of it."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import asyncpg
import typer

from deploy import context, tables, words
from deploy.errors import SetupError
from deploy.session import (
    AfterOption,
    LimitOption,
    OfAccountOption,
    YesOption,
    account_id,
    confirm,
    document,
    open_session,
)
from shared import accounts, audit, ids
from shared.errors import InvalidRequest
from shared.ids import FileId
from shared.inspect import files, threads
from shared.inspect.actions import files as actions
from shared.inspect.files import AccountUsage, FileDetail, FileRecord, Removals
from shared.inspect.page import Page

app = typer.Typer(no_args_is_help=True, help="Files that clients uploaded and runs made.")


@app.command("list", epilog="Example:  threadmill file list --account acme")
def list_(
    account: OfAccountOption = None,
    thread: Annotated[str | None, typer.Option("--thread", help="Only those of this thread, by its id.")] = None,
    limit: LimitOption = 50,
    after: AfterOption = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """List files, account by account, the oldest first; and how many are still to be removed from the storage."""
    if account is not None and thread is not None:
        raise SetupError("say one of --account and --thread")
    found, removals = asyncio.run(_list(data, account, thread, limit, after))
    if as_json:
        context.print_json({"files": document(found.items), "after": found.after, "removals": document(removals)})
        return
    rows = [
        (f.id, f.name, f.size, f.mime_type, f.kind, f.state, f.account, f.thread, words.age(f.age)) for f in found.items
    ]
    columns = ["file", "name", "bytes", "type", "kind", "state", "account", "thread", "age"]
    since = f", the oldest for {words.age(removals.age)}" if removals.waiting.some else ""
    context.print_table(columns, rows, title=f"to be removed from the storage: {removals.waiting}{since}")
    tables.show_more(found.after)


@app.command(epilog="Example:  threadmill file usage --account acme")
def usage(
    account: OfAccountOption = None,
    limit: LimitOption = 50,
    after: AfterOption = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Show how many files accounts have, and what they come to: of those that have or had some, or of one."""
    found = asyncio.run(_usage(data, account, limit, after))
    if as_json:
        context.print_json({"accounts": document(found.items), "after": found.after})
        return
    rows = [(one.account, one.name, one.usage.files, one.usage.size) for one in found.items]
    context.print_table(["account", "name", "files", "bytes"], rows)
    tables.show_more(found.after)


@app.command(epilog="Example:  threadmill file show 01K5XAMPLE0000000000000000")
def show(
    file: Annotated[str, typer.Argument(help="The id of the file.")],
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Show what is known of one file: who sent it, or which run made it; what brought it. Not what it holds."""
    found = asyncio.run(_show(data, _file_id(file)))
    if as_json:
        context.print_json(document(found))
        return
    tables.show_fields(document(found))


@app.command(epilog="Example:  threadmill file delete 01K5XAMPLE0000000000000000 --yes")
def delete(
    named: Annotated[list[str], typer.Argument(metavar="FILE...", help="Ids of files.")],
    yes: YesOption = False,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """Delete files, for everybody and for good; their bytes go within seconds."""
    wanted = list(dict.fromkeys(_file_id(text) for text in named))
    confirm(f"Delete {len(wanted)} file{'' if len(wanted) == 1 else 's'} for good?", yes)
    done = asyncio.run(_delete(data, wanted))
    if as_json:
        context.print_json({"deleted": done})
    else:
        typer.echo(f"{done} deleted")


async def _list(
    data: Path | None, account: str | None, thread: str | None, limit: int, after: str | None
) -> tuple[Page[FileRecord], Removals]:
    async with open_session(data) as connection:
        return await _page(connection, account, thread, limit, after), await files.removals(connection)


async def _usage(data: Path | None, account: str | None, limit: int, after: str | None) -> Page[AccountUsage]:
    async with open_session(data) as connection:
        of = await account_id(connection, account)
        if of is None:
            return await files.usages(connection, limit, after)
        found = await accounts.find_account(connection, of)
        return Page([AccountUsage(of, found.name, await files.usage(connection, of))], None)


async def _page(
    connection: asyncpg.Connection, account: str | None, thread: str | None, limit: int, after: str | None
) -> Page[FileRecord]:
    if thread is None:
        return await files.list_files(connection, limit, await account_id(connection, account), after)
    of = await threads.own_row(connection, thread)
    return await files.files_of_thread(connection, limit, of.partition, of.id, after)


async def _show(data: Path | None, file: FileId) -> FileDetail:
    async with open_session(data) as connection:
        return await files.find_detail(connection, file)


async def _delete(data: Path | None, wanted: Sequence[FileId]) -> int:
    async with open_session(data) as connection:
        found = [await files.find_file(connection, file) for file in wanted]
        actor = audit.command_line()
        return sum([await actions.delete(connection, actor, file) for file in found])


def _file_id(text: str) -> FileId:
    found = ids.parse(text)
    if found is None:
        raise InvalidRequest(f"{text[:100]!r} is not the id of a file.")
    return FileId(found)
