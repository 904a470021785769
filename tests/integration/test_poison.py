"""Batches that cannot be applied: found, tried alone, parked, while all others go on."""

import asyncio
import json
from collections.abc import Sequence

import asyncpg
import pytest

from shared import holds, ids
from shared.db.connect import connect
from shared.events import UserInterrupt, dump
from shared.ids import BatchRef, ThreadId
from shared.settings import Settings
from tests.driver import ALL, Driver, codes, drain_all
from tests.locks import waiters
from tests.pipeline import PARTITIONS, message
from tests.watch import until
from worker import poison
from worker.apply import Drainer
from worker.poison import MOST_TRIES


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch is tried again at once."""
    monkeypatch.setattr(poison, "FIRST_PAUSE", 0.0)


STATES = ["40001", "40P01", "53100", "53300", "55P03", "57014", "57P01", "25006", "25P02", "25P03", "25P04", "08006"]
UNREADABLE = ["null", "7", '"text"', "[7]", '[{"type":"nonsense"}]', '[{"type":"user_message"}]', "[{}]"]
UNWRITABLE = [
    '[{"type":"user_message","run":"not an id","text":"x"}]',
    '[{"type":"user_message","run":7,"text":"x"}]',
    '[{"type":"message_added","message":"01K00000000000000000000000","role":"nobody","parts":[]}]',
    '[{"type":"user_message","run":"01K00000000000000000000000","text":"a\\u0000b"}]',
]


async def poisoned(driver: Driver, thread: ThreadId, stored: str = "null") -> BatchRef:
    """A batch of the thread that says something else than what was accepted."""
    ref = await driver.accept(thread, message())
    await driver.pool.execute("update batches set events = $2::text::json where ref = $1", ref, stored)
    return ref


async def drain_out(driver: Driver) -> None:
    """Drains as often as a batch may fail."""
    for _ in range(MOST_TRIES + 1):
        await driver.drain()


async def test_batches_that_cannot_be_applied_become_dead_letters_and_their_neighbours_do_not(driver: Driver) -> None:
    other = await driver.create()
    elsewhere = await driver.accept(other, message("elsewhere"))
    cases = {}
    for stored in (*UNREADABLE, *UNWRITABLE):
        thread = await driver.create()
        before = await driver.accept(thread, message("before"))
        dead = await poisoned(driver, thread, stored)
        cases[stored] = (thread, before, dead, await driver.accept(thread, message("behind")))
    await drain_out(driver)
    assert codes(await driver.outcome(elsewhere)) == []
    for stored, (thread, before, dead, behind) in cases.items():
        row = await driver.batch(dead)
        assert (row["attempts"], row["blocked"], row["applied_at"]) == (MOST_TRIES, True, None), stored
        assert row["parked_at"] is not None
        assert row["error"]
        assert (await driver.thread(thread))["held"]
        assert codes(await driver.outcome(before)) == []
        row = await driver.batch(behind)
        assert (row["blocked"], row["parked_at"], row["attempts"]) == (True, None, 0)
        assert len(await driver.runs(thread)) == 1


async def test_what_a_dead_letter_did_before_it_failed_is_undone(driver: Driver) -> None:
    thread = await driver.create(message())
    stored = json.loads(dump([UserInterrupt(), message("two")]))
    dead = await poisoned(driver, thread, json.dumps([*stored, {"type": "nonsense"}]))
    await drain_out(driver)
    assert (await driver.batch(dead))["parked_at"] is not None
    assert [run["status"] for run in await driver.runs(thread)] == ["queued"]


async def test_a_thread_goes_on_past_its_dead_letter_where_that_is_the_setting(
    driver: Driver, settings: Settings
) -> None:
    thread = await driver.create()
    dead = await poisoned(driver, thread)
    behind = await driver.accept(thread, message("behind"))
    skipping = Drainer(settings.model_copy(update={"on_poison": "skip"}))
    for _ in range(MOST_TRIES + 1):
        await drain_all(skipping)
    await skipping.close()
    assert (await driver.batch(dead))["parked_at"] is not None
    assert not (await driver.thread(thread))["held"]
    assert codes(await driver.outcome(behind)) == []
    place = ids.partition_of(thread, PARTITIONS), thread
    await holds.hold(driver.pool, *place, "anna@host", "to look at it")
    await holds.release(driver.pool, *place)
    assert not (await driver.thread(thread))["held"], "the letter did not hold it before, nor does it now"


async def test_a_batch_behind_one_that_failed_never_overtakes_it(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poison, "FIRST_PAUSE", 60.0)
    thread, other = await driver.create(), await driver.create()
    failing = await poisoned(driver, thread)
    behind = await driver.accept(thread, message("behind"))
    elsewhere = await driver.accept(other, message("elsewhere"))
    await driver.drain()
    assert (await driver.batch(failing))["attempts"] == 1
    assert (await driver.batch(behind))["applied_at"] is None
    assert codes(await driver.outcome(elsewhere)) == []


async def leave_note(driver: Driver, refs: Sequence[BatchRef], *, alone: bool = False) -> None:
    """What a worker leaves that dies with these batches in hand."""
    rows = await driver.pool.fetch("select partition, id from batches where ref = any($1::uuid[])", list(refs))
    await driver.pool.execute(
        "insert into drains (owner, partitions, batches, alone) values ($1, $2, $3, $4)",
        ids.mint(),
        [row["partition"] for row in rows],
        [row["id"] for row in rows],
        alone,
    )


async def test_what_a_dead_worker_had_in_hand_is_tried_alone_and_not_held_against_it(driver: Driver) -> None:
    threads = [await driver.create() for _ in range(3)]
    refs = [await driver.accept(thread, message()) for thread in threads]
    await leave_note(driver, refs)
    drains = await driver.drain()
    assert [len(drained.outcomes) for drained in drains] == [3, 0]
    assert [(await driver.batch(ref))["attempts"] for ref in refs] == [0, 0, 0]


async def test_a_batch_that_a_worker_had_by_chance_as_its_only_one_is_not_charged_with_its_death(
    driver: Driver,
) -> None:
    ref = await driver.accept(await driver.create(), message())
    await leave_note(driver, [ref])
    await driver.drain()
    row = await driver.batch(ref)
    assert (row["attempts"], row["applied_at"] is None) == (0, False)


async def test_a_batch_that_killed_the_worker_which_tried_it_alone_is_counted(driver: Driver) -> None:
    thread = await driver.create()
    ref = await driver.accept(thread, message())
    for death in range(1, MOST_TRIES + 1):
        await leave_note(driver, [ref], alone=True)
        await driver.drainer.drain([ids.partition_of(thread, PARTITIONS)])
        assert (await driver.batch(ref))["attempts"] == death
    row = await driver.batch(ref)
    assert row["parked_at"] is not None
    assert "died" in row["error"]


async def test_a_death_that_two_drains_learn_of_at_once_is_counted_once(driver: Driver, settings: Settings) -> None:
    """Both read the note before either counts: whoever waits for a partition gets it before who comes back for it."""
    thread, other = await driver.create(), Drainer(settings)
    ref, partition = await driver.accept(thread, message()), ids.partition_of(thread, PARTITIONS)
    await leave_note(driver, [ref], alone=True)
    holder = await connect(settings.database_url)
    async with holder.transaction():
        await holder.execute("select pg_advisory_xact_lock(1, $1)", partition)
        drains = [asyncio.create_task(drainer.drain([partition])) for drainer in (driver.drainer, other)]
        await until(lambda: _are_in_line(driver.pool, len(drains)))
    await asyncio.gather(*drains)
    await holder.close()
    await other.close()
    assert (await driver.batch(ref))["attempts"] == 1


async def _are_in_line(pool: asyncpg.Pool, count: int) -> bool:
    """Whether so many wait for a partition of this database."""
    return len(await waiters(pool)) == count


async def test_a_batch_behind_one_that_killed_a_worker_never_overtakes_it(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poison, "FIRST_PAUSE", 60.0)
    thread = await driver.create()
    first, second = await driver.accept(thread, message("first")), await driver.accept(thread, message("second"))
    await leave_note(driver, [first, second])
    await leave_note(driver, [first], alone=True)
    await driver.drain()
    assert (await driver.batch(first))["attempts"] == 1
    assert (await driver.batch(second))["applied_at"] is None


async def test_what_a_dead_worker_had_in_hand_stays_suspect_until_it_is_settled(driver: Driver) -> None:
    one = await driver.create()
    other = await driver.create()
    while ids.partition_of(other, PARTITIONS) == ids.partition_of(one, PARTITIONS):
        other = await driver.create()
    refs = [await driver.accept(thread, message()) for thread in (one, other)]
    await leave_note(driver, refs)
    await driver.drain([ids.partition_of(one, PARTITIONS)])
    left = await driver.pool.fetchval("select batches from drains where owner <> $1", driver.drainer.owner)
    assert left == [(await driver.batch(refs[1]))["id"]]
    await driver.drain()
    assert await driver.pool.fetchval("select count(*) from drains where batches <> '{}'") == 0


async def test_a_drain_that_lost_its_connection_leaves_no_suspicion_behind(driver: Driver, settings: Settings) -> None:
    ref = await driver.accept(await driver.create(), message())
    locker = await connect(settings.database_url)
    async with locker.transaction():
        await locker.execute("select from batches where ref = $1 for update", ref)
        drain = asyncio.create_task(driver.drain())
        await until(lambda: _terminated(driver.pool))
    await drain
    await locker.close()
    row = await driver.batch(ref)
    assert (row["attempts"], row["applied_at"] is None) == (0, False)
    assert await driver.pool.fetchval("select count(*) from drains where batches <> '{}'") == 0


async def _terminated(pool: asyncpg.Pool) -> bool:
    """Ends the drain that waits to mark its batch, once there is one."""
    ended = await pool.fetch(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where application_name like 'threadmill drain%' and wait_event_type = 'Lock'"
        " and datname = current_database()"
    )
    return bool(ended)


async def test_a_failed_batch_in_a_thread_that_somebody_holds_keeps_nobody_waiting(
    driver: Driver, settings: Settings
) -> None:
    """It is to be tried alone, and can't be: the others of the same drain go on."""
    thread, other = await driver.create(), await driver.create()
    ref, neighbour = await driver.accept(thread, message()), await driver.accept(other, message())
    await driver.pool.execute("update batches set attempts = 1 where ref = $1", ref)
    locker = await connect(settings.database_url)
    async with locker.transaction():
        await locker.execute("select from threads where id = $1 for no key update", thread)
        await driver.drain()
        assert (await driver.batch(neighbour))["applied_at"] is not None
        assert (await driver.batch(ref))["applied_at"] is None
    await locker.close()
    await driver.drain()
    assert (await driver.batch(ref))["applied_at"] is not None


async def test_a_drain_that_fails_before_it_reads_says_so_and_is_not_repeated_for_ever(driver: Driver) -> None:
    await driver.accept(await driver.create(), message())
    await driver.pool.execute("alter table drains rename to elsewhere")
    with pytest.raises(asyncpg.UndefinedTableError):
        await driver.drain()


async def test_an_error_of_the_databases_state_never_counts(driver: Driver) -> None:
    thread = await driver.create()
    ref = await driver.accept(thread, message())
    for sqlstate in STATES:
        await driver.pool.execute(
            "create or replace function refuse() returns trigger language plpgsql as"
            f" $$ begin raise exception 'not now' using errcode = '{sqlstate}'; end $$;"
            " create or replace trigger refuse before insert on runs for each row execute function refuse()"
        )
        with pytest.raises(asyncpg.PostgresError):
            await driver.drain(ALL)
        row = await driver.batch(ref)
        assert (row["attempts"], row["error"], row["blocked"]) == (0, None, False), sqlstate
    await driver.pool.execute("drop trigger refuse on runs")
    await driver.drain()
    row = await driver.batch(ref)
    assert (row["attempts"], row["applied_at"] is None) == (0, False)
