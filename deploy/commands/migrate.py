"""`threadmill migrate`: brings the database to this version, and parts its tables where that is asked for."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer

from deploy import context
from deploy.errors import SetupError
from shared.db.migrate import Migration, migrate
from shared.db.partitioned import NotParted, Parted, part
from shared.settings import Settings

app = typer.Typer(add_completion=False)

PartedOption = Annotated[
    int | None,
    typer.Option(
        "--partitioned",
        help="Then part the tables of thread data into so many each (2, 4, 8 … 64). For good, and while nothing runs:"
        " see docs/partitioning.md.",
        show_default=False,
    ),
]


@app.command()
def command(
    data: context.DataOption = None, partitioned: PartedOption = None, as_json: context.JsonOption = False
) -> None:
    """Apply the migrations that the database lacks. Safe to run twice, and by two processes at once."""
    applied, parted = asyncio.run(_migrate(context.resolve(data), partitioned))
    if as_json:
        document = {"applied": [{"version": one.version, "name": one.name} for one in applied]}
        if partitioned is not None:
            document["partitioned"] = [{"table": one.table, "rows": one.rows} for one in parted]
        context.print_json(document)
        return
    if applied:
        context.print_table(["version", "applied"], [(one.version, one.name) for one in applied])
    elif not parted:
        context.print_table(["nothing to do: the database is of this version"], [])
    if parted:
        context.print_table([f"in {partitioned} parts", "rows copied"], [(one.table, one.rows) for one in parted])


async def _migrate(settings: Settings, children: int | None) -> tuple[list[Migration], Sequence[Parted]]:
    async with context.connected(settings) as connection:
        applied = await migrate(connection)
        try:
            return applied, [] if children is None else await part(connection, children)
        except NotParted as error:
            raise SetupError(str(error)) from error
