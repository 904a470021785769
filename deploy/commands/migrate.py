"""`threadmill migrate`: brings the database to this version."""

import asyncio

from deploy import context
from shared.db.migrate import Migration, migrate
from shared.settings import Settings


def command(data: context.DataOption = None, as_json: context.JsonOption = False) -> None:
    """Apply the migrations that the database lacks. Safe to run twice, and by two processes at once."""
    applied = asyncio.run(_migrate(context.resolve(data)))
    if as_json:
        context.print_json({"applied": [{"version": one.version, "name": one.name} for one in applied]})
    elif applied:
        context.print_table(["version", "applied"], [(one.version, one.name) for one in applied])
    else:
        context.print_table(["nothing to do: the database is of this version"], [])


async def _migrate(settings: Settings) -> list[Migration]:
    async with context.connected(settings) as connection:
        return await migrate(connection)
