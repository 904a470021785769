"""Room under a cap: what is written and what is counted, over looks that see some of it; in bounded memory."""

import asyncio

import asyncpg
import pytest

from api import room
from api.postgres import Postgres
from api.room import Room, Stay
from shared import ids
from shared.ids import AccountId
from tests.rows import Owner, add_batch, add_owner, add_thread
from tests.watch import until

WAITING = """
select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
"""


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request has a look of its own."""
    monkeypatch.setattr(room, "FRESH", 0.0)


async def enter(entered: Room, owner: Owner, cap: int = 3) -> Stay:
    stay = await entered.enter(owner.account, cap)
    assert isinstance(stay, Stay)
    return stay


async def test_what_is_being_written_takes_room_however_often_one_looks(pool: asyncpg.Pool) -> None:
    owner, entered = await add_owner(pool), Room(Postgres(pool))
    stays = [await enter(entered, owner) for _ in range(3)]
    assert await entered.enter(owner.account, 3) == 3
    stays[0].leave()
    stays[0].leave()
    assert isinstance(await entered.enter(owner.account, 3), Stay)
    assert await entered.enter(owner.account, 3) == 3, "one that leaves twice makes room once"


async def test_what_is_committed_counts_once_and_what_goes_lowers_no_look_that_it_was_not_in(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, entered = await add_owner(pool), Room(Postgres(pool))
    thread = await add_thread(pool, owner)
    first = await enter(entered, owner)
    await add_batch(pool, owner, thread)
    first.commit()
    await enter(entered, owner)  # a look that has counted the first
    monkeypatch.setattr(room, "FRESH", 3600.0)
    first.leave()
    await enter(entered, owner)
    assert await entered.enter(owner.account, 3) == 3


async def test_what_is_committed_while_one_looks_is_not_forgotten(pool: asyncpg.Pool) -> None:
    """The look sees neither batch: it began before them."""
    owner, entered = await add_owner(pool), Room(Postgres(pool))
    stays = [await enter(entered, owner) for _ in range(2)]
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("lock table batches in access exclusive mode")
        asked = asyncio.create_task(entered.enter(owner.account, 2))

        async def is_looking() -> bool:
            return bool(await pool.fetchval(WAITING))

        await until(is_looking)
        for stay in stays:
            stay.commit()
    assert await asked == 2


async def test_whose_client_is_gone_while_one_looks_takes_no_room(pool: asyncpg.Pool) -> None:
    owner, entered = await add_owner(pool), Room(Postgres(pool))
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("lock table batches in access exclusive mode")
        asked = asyncio.create_task(entered.enter(owner.account, 1))
        await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
    assert isinstance(await entered.enter(owner.account, 1), Stay)
    await entered.close()


async def test_accounts_are_forgotten_but_for_those_with_a_batch_that_is_written(
    pool: asyncpg.Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "KEPT", 4)
    owner, entered = await add_owner(pool), Room(Postgres(pool))
    await enter(entered, owner, 1)
    for _ in range(20):
        stay = await entered.enter(AccountId(ids.mint()), 1)
        assert isinstance(stay, Stay)
        stay.leave()
    assert len(entered._fills) <= 4
    assert await entered.enter(owner.account, 1) == 1
