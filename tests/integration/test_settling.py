"""Dead letters settled by the selection: each once, counted truly, whoever else is at it and whatever ends it."""

import asyncio
import signal
import sys
from dataclasses import replace

import asyncpg
import pytest

from shared.audit import Actor, Via
from shared.errors import InvalidRequest, ServiceInactive
from shared.ids import BatchId
from shared.inspect import auditlog, deadletters
from shared.inspect.actions import dead
from shared.inspect.auditlog import Wanted
from shared.inspect.clock import moment
from shared.inspect.deadletters import Selection
from shared.settings import Settings
from tests.rows import Owner, Row, add_batch, add_owner, add_thread
from tests.watch import until

ANNA, BEN = Actor("anna@host", Via.CLI), Actor("ben@host", Via.CONSOLE)
ALL = Selection()


@pytest.fixture
async def owner(pool: asyncpg.Pool) -> Owner:
    return await add_owner(pool)


async def add_letters(pool: asyncpg.Pool, owner: Owner, number: int) -> list[tuple[Row, BatchId]]:
    """Dead letters of as many threads."""
    threads = [await add_thread(pool, owner, held=True) for _ in range(number)]
    return [(thread, await add_batch(pool, owner, thread, parked=True)) for thread in threads]


async def left(pool: asyncpg.Pool) -> int:
    found: int = await pool.fetchval("select count(*) from batches where parked_at is not null and applied_at is null")
    return found


async def touched(pool: asyncpg.Pool) -> list[tuple[int | None, str | None]]:
    return [(entry.touched, entry.result) for entry in (await auditlog.page(pool, 10, Wanted())).items]


async def test_a_selection_is_settled_page_by_page_and_its_threads_go_on(
    pool: asyncpg.Pool, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await add_owner(pool, "other")
    await add_letters(pool, owner, 5)
    await add_letters(pool, other, 1)
    monkeypatch.setattr(dead, "PAGE", 2)
    told: list[int] = []
    assert (await dead.replay(pool, ANNA, Selection(account=owner.account), told.append)).done == 5
    assert told == [2, 4, 5]
    assert (await left(pool), await pool.fetchval("select count(*) from threads where held")) == (1, 1)
    (entry,) = (await auditlog.page(pool, 10, Wanted())).items
    assert (entry.action, entry.target) == ("dead.replay", f"dead letters: account {owner.account}")
    assert (entry.account, entry.touched, entry.result) == (owner.account, 5, "done")


async def test_one_letter_is_logged_with_its_account_and_the_reason_of_a_discard(
    pool: asyncpg.Pool, owner: Owner
) -> None:
    ((_, batch),) = await add_letters(pool, owner, 1)
    with pytest.raises(InvalidRequest):
        await dead.discard(pool, ANNA, Selection(ids=(batch,)), "two\nlines")
    assert (await dead.skip(pool, ANNA, Selection(ids=(batch,)))).done == 1
    assert (await dead.skip(pool, ANNA, Selection(ids=(batch,)))).done == 0, "its thread goes on already"
    assert (await dead.discard(pool, ANNA, Selection(ids=(batch,)), " broken client ")).done == 1
    entries = (await auditlog.page(pool, 10, Wanted())).items
    assert [(e.action, e.target, e.account, e.touched, e.reason) for e in entries] == [
        ("dead.discard", f"batch {batch}", owner.account, 1, "broken client"),
        ("dead.skip", f"batch {batch}", owner.account, 0, None),
        ("dead.skip", f"batch {batch}", owner.account, 1, None),
    ]


async def test_of_two_operators_who_press_replay_each_is_told_what_he_reached(pool: asyncpg.Pool, owner: Owner) -> None:
    await add_letters(pool, owner, 20)
    reached = await asyncio.gather(dead.replay(pool, ANNA, ALL), dead.discard(pool, BEN, ALL, "both at once"))
    done = [one.done for one in reached]
    assert sum(done) == 20
    assert sorted(await touched(pool)) == sorted((number, "done") for number in done)
    discarded = await pool.fetchval("select count(*) from batches where applied_at is not null")
    assert (await left(pool), discarded) == (0, done[1])


async def test_what_fails_again_meanwhile_is_not_replayed_again(
    pool: asyncpg.Pool, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_letters(pool, owner, 4)
    monkeypatch.setattr(dead, "PAGE", 2)
    await pool.execute(  # whatever is replayed is parked again at once
        "create function park() returns trigger language plpgsql as"
        " 'begin new.parked_at = clock_timestamp(); new.blocked = true; return new; end';"
        "create trigger park before update on batches for each row when (new.parked_at is null)"
        " execute function park()"
    )
    async with asyncio.timeout(10):
        assert (await dead.replay(pool, ANNA, ALL)).done == 4
    assert await left(pool) == 4


async def test_what_dies_while_somebody_is_asked_is_no_part_of_what_was_chosen(
    pool: asyncpg.Pool, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead, "PAGE", 2)
    await add_letters(pool, owner, 4)
    asked = replace(ALL, parked_before=await moment(pool))
    late = {batch for _, batch in await add_letters(pool, owner, 3)}
    assert (await deadletters.count(pool, asked)).value == 4
    assert (await dead.discard(pool, ANNA, asked, "they are four")).done == 4
    assert {row["id"] for row in await pool.fetch("select id from batches where applied_at is null")} == late
    named = Selection(ids=tuple(late), parked_before=asked.parked_before)
    assert (await dead.replay(pool, BEN, named)).done == 0, "dead again of something else, as far as anybody knows"


async def test_what_ends_it_half_way_leaves_a_true_entry(
    pool: asyncpg.Pool, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_letters(pool, owner, 6)
    monkeypatch.setattr(dead, "PAGE", 1)
    begun = asyncio.Event()

    def tell(done: int) -> None:
        if done == 2:
            begun.set()
            raise ServiceInactive("the console is gone")

    with pytest.raises(ServiceInactive):
        await dead.replay(pool, ANNA, ALL, tell)
    assert await touched(pool) == [(2, "failed: the console is gone 2 were settled before that.")]
    task = asyncio.create_task(dead.replay(pool, BEN, ALL))
    await until(lambda: _fewer(pool, 4))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    newest = (await auditlog.page(pool, 1, Wanted())).items[0]
    assert newest.touched == 4 - await left(pool)


async def _fewer(pool: asyncpg.Pool, than: int) -> bool:
    return await left(pool) < than


KILLED = """
import asyncio, sys
from shared.audit import command_line
from shared.db.connect import open_pool
from shared.inspect.actions import dead
from shared.inspect.deadletters import Selection

async def main():
    pool = await open_pool(sys.argv[1], size=1)
    await dead.replay(pool, command_line(), Selection(), lambda done: print(done, flush=True))

dead.PAGE = 1
asyncio.run(main())
"""


@pytest.mark.slow
async def test_a_kill_in_the_middle_leaves_a_true_entry_and_the_rest_is_settled_by_the_next_one(
    pool: asyncpg.Pool, owner: Owner, settings: Settings
) -> None:
    await add_letters(pool, owner, 300)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", KILLED, settings.database_url), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    while int(await process.stdout.readline()) < 20:
        pass
    process.send_signal(signal.SIGKILL)
    await process.wait()
    await until(lambda: _quiet(pool))
    ((done, result),) = await touched(pool)
    assert (done, result) == (300 - await left(pool), None), "what it reached, and that it never ended"
    assert done is not None
    assert 20 <= done < 300
    assert (await dead.replay(pool, BEN, ALL)).done == 300 - done
    assert await pool.fetchval("select count(*) from threads where held") == 0


async def _quiet(pool: asyncpg.Pool) -> bool:
    """Whether the killed process' transaction is over."""
    return not await pool.fetchval(
        "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
        " and state <> 'idle'"
    )


async def test_a_partition_that_is_long_in_hand_is_left_and_the_rest_is_settled(
    pool: asyncpg.Pool, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead, "PATIENCE_MS", 50)
    letters = await add_letters(pool, owner, 12)
    busy = letters[3][0].partition
    there = [batch for thread, batch in letters if thread.partition == busy]
    async with pool.acquire() as other, other.transaction():
        await other.execute("select pg_advisory_xact_lock(1, $1)", busy)
        reached = await dead.skip(pool, ANNA, ALL)
        assert (reached.done, reached.left) == (12 - len(there), {busy: len(there)})
        assert f"in partition {busy}, which is in hand" in reached.rest
        with pytest.raises(ServiceInactive, match="Nothing was done"):
            await dead.replay(pool, ANNA, Selection(ids=(there[0],)))
    assert (await dead.skip(pool, ANNA, ALL)).done == len(there)
    logged = [(number, (result or "").split(":")[0]) for number, result in reversed(await touched(pool))]
    assert logged == [(12 - len(there), f"done, but {reached.rest.split(':')[0]}"), (0, "failed"), (len(there), "done")]
