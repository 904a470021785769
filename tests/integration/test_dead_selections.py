"""Dead letters are found, counted and paged by what operators know of them, however many there are."""

import asyncpg
import pytest

from shared import ids
from shared.db.connect import BY_INDEX, connect
from shared.errors import InvalidRequest
from shared.failures import kind_of
from shared.ids import AccountId, BatchId, ThreadId
from shared.inspect import deadletters
from shared.inspect.counts import COUNTED, Count
from shared.inspect.deadletters import Selection
from shared.settings import Settings
from tests.driver import Driver
from tests.plans import explained, rows_read
from tests.prepared import execute, prepare
from tests.rows import Owner, Row, a_message, add_batch, add_owner, add_thread
from worker.upkeep import Upkeep

MANY = 30_000  # a plan that reads them all is as far from one that reads a page as with millions
# Two accounts, a hundred threads, four kinds of errors; the last kind is of ten letters of the first account.
FILL = """
insert into batches (partition, id, ref, thread, account, token, events, accepted_at, attempts, blocked, parked_at,
                     error, error_kind)
select n % 64, nextval('batch_ids'), gen_random_uuid(), lpad(to_hex(n % 100), 32, '0')::uuid,
       case when n % 2 = 0 or n > $1 - 10 then $2::uuid else $3::uuid end, gen_random_uuid(), '[]', now(), 5, true,
       now() - make_interval(secs => $1 - n / 3), 'ValueError(1)',
       case when n > $1 - 10 then 'rare' else 'kind ' || n % 3 end
from generate_series(1, $1::int) n
"""


async def walk(pool: asyncpg.Pool, selection: Selection, limit: int) -> list[BatchId]:
    found: list[BatchId] = []
    after = None
    while True:
        page = await deadletters.page(pool, selection, limit, after)
        found += [letter.id for letter in page.items]
        after = page.after
        if after is None:
            return found


async def test_a_selection_is_what_matches_all_that_it_says(pool: asyncpg.Pool) -> None:
    one, other = await add_owner(pool), await add_owner(pool, "globex")
    threads = [await add_thread(pool, owner) for owner in (one, one, other)]
    letters = [
        await parked(pool, owner, thread, error)
        for owner, thread in zip((one, one, other), threads, strict=True)
        for error in ("ValueError('row 1')", "ValueError('row 2')", "KeyError('x')")
    ]
    await add_batch(pool, one, threads[0], blocked=True)
    kind, account, thread = "ValueError: row #", one.account, threads[1].id
    cases = {
        Selection(): letters,
        Selection(error=kind): [letters[n] for n in (0, 1, 3, 4, 6, 7)],
        Selection(account=account): letters[:6],
        Selection(error=kind, account=account): [letters[n] for n in (0, 1, 3, 4)],
        Selection(thread=thread): letters[3:6],
        Selection(error=kind, thread=thread): letters[3:5],
        Selection(account=other.account, thread=thread): [],
        Selection(ids=(letters[8], letters[0], BatchId(999_999))): [letters[0], letters[8]],
        Selection(ids=tuple(letters), error=kind, thread=thread): letters[3:5],
        Selection(ids=()): [],
    }
    for selection, wanted in cases.items():
        assert await walk(pool, selection, 2) == wanted, selection
        assert await deadletters.count(pool, selection) == Count(len(wanted)), selection
    groups = await deadletters.groups(pool, 10)
    assert [(group.error, group.letters.value) for group in groups] == [("KeyError", 3), (kind, 6)]
    assert [group.error for group in await deadletters.groups(pool, 10, "KeyError")] == [kind]
    assert await deadletters.held_up(pool, threads[0].partition, threads[0].id) == Count(1)


async def test_a_selection_of_too_many_ids_and_a_broken_cursor_are_refused(pool: asyncpg.Pool) -> None:
    with pytest.raises(InvalidRequest, match="`ids` names 1,001"):
        Selection(ids=tuple(BatchId(n) for n in range(1_001)))
    with pytest.raises(InvalidRequest, match="`after`"):
        await deadletters.page(pool, Selection(), 10, "nonsense")


async def test_a_parked_batch_keeps_where_it_failed_but_not_what_was_said(driver: Driver) -> None:
    thread = await driver.create()
    ref = await driver.accept(thread)
    await driver.pool.execute("update batches set events = $2 where ref = $1", ref, '[{"type":"their secret"}]')
    for _ in range(5):
        await driver.drain()
        await driver.pool.execute("update batches set next_try_at = null where ref = $1", ref)
    letter = (await deadletters.page(driver.pool, Selection(thread=thread), 1, None)).items[0]
    assert letter.kind == kind_of(letter.error)
    assert letter.stack is not None
    assert "worker/apply.py" in letter.stack
    assert "their secret" not in letter.stack


async def test_what_an_older_worker_parked_is_sorted_by_the_next_upkeep(
    pool: asyncpg.Pool, settings: Settings, redis: object
) -> None:
    owner = await add_owner(pool)
    thread = await add_thread(pool, owner)
    await add_batch(pool, owner, thread, parked=True)
    assert [group.error for group in await deadletters.groups(pool, 10)] == [deadletters.UNSORTED]
    upkeep = Upkeep(settings, redis, 64)  # type: ignore[arg-type]  # forgetting asks Postgres alone
    await upkeep.forget_once()
    await upkeep.close()
    assert [group.error for group in await deadletters.groups(pool, 10)] == ["ValueError: boom"]


async def test_what_a_big_letter_holds_is_left_out_of_lists_and_nothing_is_not_big(pool: asyncpg.Pool) -> None:
    owner = await add_owner(pool)
    for stored in (a_message("x" * 40_000), "null"):
        await add_batch(pool, owner, await add_thread(pool, owner), stored, parked=True)
    page = await deadletters.page(pool, Selection(), 10, None)
    assert [(letter.events, letter.left_out) for letter in page.items] == [(None, True), (None, False)]


@pytest.mark.slow
async def test_a_page_of_many_dead_letters_reads_what_it_shows(pool: asyncpg.Pool) -> None:
    one, other = await add_owner(pool), await add_owner(pool, "globex")
    await pool.execute(FILL, MANY, one.account, other.account)
    thread = ThreadId(ids.from_bytes((7).to_bytes(16, "big")))
    for state in ("planned by nothing", "analyzed"):
        if state == "analyzed":
            await pool.execute("analyze batches")
        for selection in selections(one.account, thread):
            statement, arguments = await deadletters._which(pool, selection)
            middle = await pool.fetchrow(
                "select parked_at, id from batches order by parked_at offset $1 limit 1", MANY // 2
            )
            for parked_at, last in ((None, None), (middle["parked_at"], middle["id"])):
                plan = await explained(pool, "letters", statement, parked_at, last, 51, *arguments)
                assert sum(rows_read(plan)) <= MOST.get(statement, 51), (state, statement, plan)
        plan = await explained(pool, "letters", "kinds", None, 50, COUNTED + 1)
        assert sum(rows_read(plan)) <= 5 * (COUNTED + 4), (state, plan)
        places = await pool.fetch("select partition, id from batches order by parked_at limit $1", COUNTED)
        plan = await explained(
            pool, "letters", "holding", *([row[key] for row in places] for key in ("partition", "id"))
        )
        assert sum(rows_read(plan)) <= COUNTED, (state, plan)


async def test_a_worker_that_looks_for_letters_without_a_kind_does_not_read_those_that_have_one(
    pool: asyncpg.Pool, settings: Settings
) -> None:
    one, other = await add_owner(pool), await add_owner(pool, "globex")
    connection = await connect(settings.database_url, command_timeout=None, **BY_INDEX)
    await prepare(connection, "letters")  # as it stands from the first day
    await connection.execute(FILL, MANY, one.account, other.account)
    plan = await execute(connection, "letters", "to_sort", 100)
    await connection.close()
    assert (plan.rows, plan.looked_at) == (0, 0), plan


MOST = {"of_thread": 300, "of_ids": 60}  # with a kind, a thread's letters are looked through; those named are few


def selections(account: AccountId, thread: ThreadId) -> list[Selection]:
    return [
        Selection(),
        Selection(error="kind 1"),
        Selection(error="rare"),
        Selection(account=account),
        Selection(account=account, error="rare"),
        Selection(thread=thread),
        Selection(thread=thread, error="kind 1"),
        Selection(ids=tuple(BatchId(n) for n in range(1, 61))),
    ]


async def parked(pool: asyncpg.Pool, owner: Owner, thread: Row, error: str) -> BatchId:
    batch = await add_batch(pool, owner, thread, parked=True)
    await pool.execute("update batches set error = $2, error_kind = $3 where id = $1", batch, error, kind_of(error))
    return batch
