"""`threadmill queue accounts`: whose batches wait, and who is paused. Reads only."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from deploy import context, tables, words
from deploy.session import AfterOption, LimitOption, document, open_session
from shared.inspect.page import Page
from shared.inspect.partitions import AccountWork, accounts_with_work, paused_accounts


def accounts(
    *,
    paused: Annotated[
        bool, typer.Option("--paused", help="Those that are paused instead, whether anything waits or not.")
    ] = False,
    limit: LimitOption = 50,
    after: AfterOption = None,
    data: context.DataOption = None,
    as_json: context.JsonOption = False,
) -> None:
    """List accounts with batches that wait: how many, for how long. The oldest account is the first one.

    Everything is counted up to a bound; more shows as "1,000+".
    """
    found = asyncio.run(_list(data, paused, limit, after))
    if as_json:
        context.print_json({"accounts": document(found.items), "after": found.after})
        return
    rows = [(one.id, one.name, one.waiting, words.age(one.age), "paused" if one.paused else "") for one in found.items]
    context.print_table(["account", "name", "waiting", "oldest", "state"], rows)
    tables.show_more(found.after)


async def _list(data: Path | None, paused: bool, limit: int, after: str | None) -> Page[AccountWork]:
    async with open_session(data) as connection:
        return await (paused_accounts if paused else accounts_with_work)(connection, limit, after)
