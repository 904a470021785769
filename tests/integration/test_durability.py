"""Accepted is durable, and so is applied, whatever the database's defaults are."""

import pytest

from shared.db.connect import connect
from shared.settings import Settings
from tests.driver import running_driver
from tests.pipeline import message

_WITNESS = """
create table witnessed (what text, synchronous_commit text);
create function witness() returns trigger language plpgsql as $$
begin
    insert into witnessed values (tg_op, current_setting('synchronous_commit'));
    return null;
end $$;
create trigger witness after insert or update on batches for each statement execute function witness();
"""


@pytest.mark.parametrize("default", ["off", "local"])
async def test_accept_and_apply_wait_for_the_disk_where_the_database_would_not(
    settings: Settings, default: str
) -> None:
    connection = await connect(settings.database_url)
    await connection.execute(_WITNESS)
    name = await connection.fetchval("select current_database()")
    await connection.execute(f'alter database "{name}" set synchronous_commit = {default}')
    async with running_driver(settings) as driver:
        await driver.send(await driver.create(message()), message())
    seen = {tuple(row) for row in await connection.fetch("select what, synchronous_commit from witnessed")}
    await connection.close()
    assert seen == {("INSERT", "on"), ("UPDATE", "on")}
