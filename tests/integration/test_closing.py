"""Threads that are archived, deleted or held, partitions that are paused. Accounts: `test_paused_accounts`."""

from api.submission import Archived, Held, Missing, Passes
from shared import ids
from shared.events import PermissionDecision, ThreadArchived, ThreadDeleted, ThreadUnarchived, UserInterrupt
from shared.ids import ThreadId
from tests.driver import Driver, codes
from tests.pipeline import PARTITIONS, message

EVERYTHING = Passes.ARCHIVED | Passes.HELD


async def test_an_archive_cancels_every_run_and_supersedes_what_was_asked(driver: Driver) -> None:
    thread, run, (request,) = await driver.asking()
    await driver.send(thread, message("queued"))
    outcome = await driver.send(thread, ThreadArchived())
    assert codes(outcome) == []
    assert outcome["thread"]["status"] == "IDLE"
    runs = await driver.runs(thread)
    assert [row["status"] for row in runs] == ["cancelled", "cancelled"]
    assert ["session.archived" in row["error"] for row in runs] == [True, True]
    assert runs[0]["id"] == run
    assert (await driver.requests(thread))[request]["state"] == "superseded"
    assert (await driver.thread(thread))["archived_at"] is not None


async def test_batches_accepted_before_an_archive_are_applied_before_it(driver: Driver) -> None:
    thread = await driver.create()
    refs = [
        await driver.accept(thread, message("before")),
        await driver.accept(thread, ThreadArchived()),
        await driver.accept(thread, message("behind"), UserInterrupt()),
        await driver.accept(thread, ThreadUnarchived()),
        await driver.accept(thread, message("open again")),
    ]
    await driver.drain()
    outcomes = [await driver.outcome(ref) for ref in refs]
    assert [codes(outcome) for outcome in outcomes] == [[], [], ["thread_archived"] * 2, [], []]
    assert [row["status"] for row in await driver.runs(thread)] == ["cancelled", "queued"]


async def test_archiving_twice_changes_nothing_the_second_time(driver: Driver) -> None:
    thread = await driver.create(ThreadArchived())
    before = await driver.thread(thread)
    await driver.send(thread, ThreadArchived(), passes=Passes.ARCHIVED)
    assert await driver.thread(thread) == before


async def test_everything_behind_a_delete_is_answered_thread_deleted(driver: Driver) -> None:
    thread, _ = await driver.executing(message())
    refs = [
        await driver.accept(thread, ThreadDeleted()),
        await driver.accept(thread, message("behind"), PermissionDecision("x", allow=True)),
        await driver.accept(thread, ThreadArchived()),
        await driver.accept(thread, ThreadDeleted()),
    ]
    await driver.drain()
    outcomes = [await driver.outcome(ref) for ref in refs]
    assert [codes(outcome) for outcome in outcomes] == [[], *[["thread_deleted"] * n for n in (2, 1, 1)]]
    assert [row["status"] for row in await driver.runs(thread)] == ["cancelled"]
    row = await driver.thread(thread)
    assert (row["deleted_at"] is not None, row["archived_at"], row["status"]) == (True, None, "IDLE")


async def test_a_batch_whose_thread_row_is_gone_reads_as_deleted(driver: Driver) -> None:
    thread = await driver.create()
    ref = await driver.accept(thread, message(), UserInterrupt())
    await driver.pool.execute("delete from threads where id = $1", thread)
    await driver.drain()
    outcome = await driver.outcome(ref)
    assert codes(outcome) == ["thread_deleted"] * 2
    assert [result["run"] for result in outcome["events"]] == [None, None]
    assert (outcome["thread"]["id"], outcome["thread"]["status"]) == (thread, "TERMINATED")
    assert await driver.runs(thread) == []


async def test_a_batch_that_meets_a_held_thread_is_blocked_and_met_by_no_drain_again(driver: Driver) -> None:
    thread = await driver.create()
    ref = await driver.accept(thread, message())
    await driver.pool.execute("update threads set held = true where id = $1", thread)
    (drained,) = await driver.drain()
    row = await driver.batch(ref)
    assert [batch.id for batch in drained.blocked] == [row["id"]]
    assert (row["blocked"], row["applied_at"], row["parked_at"]) == (True, None, None)
    assert [again.blocked for again in await driver.drain()] == [()]


async def test_a_delete_passes_a_hold_and_lifts_it_for_those_that_were_blocked(driver: Driver) -> None:
    thread = await driver.create(message())
    blocked = await driver.accept(thread, message("before the delete"))
    await driver.pool.execute("update threads set held = true where id = $1", thread)
    await driver.drain()
    waiting = await driver.accept(thread, message("just before"), passes=Passes.HELD)
    delete = await driver.accept(thread, ThreadDeleted(), passes=EVERYTHING)
    behind = await driver.accept(thread, UserInterrupt(), passes=Passes.HELD)
    await driver.drain()
    assert codes(await driver.outcome(delete)) == []
    for ref in (blocked, waiting, behind):
        assert codes(await driver.outcome(ref)) == ["thread_deleted"]
    assert not (await driver.thread(thread))["held"]
    assert [row["status"] for row in await driver.runs(thread)] == ["cancelled"]


async def test_a_delete_leaves_a_parked_batch_to_its_operator(driver: Driver) -> None:
    thread = await driver.create()
    parked = await driver.accept(thread, message())
    await driver.pool.execute("update batches set blocked = true, parked_at = now() where ref = $1", parked)
    await driver.pool.execute("update threads set held = true where id = $1", thread)
    await driver.send(thread, ThreadDeleted(), passes=EVERYTHING)
    row = await driver.batch(parked)
    assert (row["blocked"], row["applied_at"]) == (True, None)


async def test_a_paused_partition_is_left_out_until_it_goes_on(driver: Driver) -> None:
    paused, other = await driver.create(), await driver.create()
    while ids.partition_of(other, PARTITIONS) == ids.partition_of(paused, PARTITIONS):
        other = await driver.create()
    refs = [await driver.accept(thread, message()) for thread in (paused, other)]
    await driver.pool.execute("update partitions set paused = id = $1", ids.partition_of(paused, PARTITIONS))
    await driver.drain()
    assert [(await driver.batch(ref))["applied_at"] is None for ref in refs] == [True, False]
    await driver.pool.execute("update partitions set paused = false")
    await driver.drain()
    assert codes(await driver.outcome(refs[0])) == []


async def test_a_thread_says_what_it_takes(driver: Driver) -> None:
    async def verdict(thread: ThreadId, passes: Passes = Passes.NOTHING) -> type:
        submission = driver.caller.submission(thread, [ThreadDeleted()], reply=False, passes=passes)
        return type(await driver.caller.inbox.submit(submission, 0))

    async def state(**columns: object) -> ThreadId:
        thread = await driver.create()
        for name, value in columns.items():
            await driver.pool.execute(f"update threads set {name} = {value} where id = $1", thread)  # noqa: S608 - names of ours
        return thread

    assert await verdict(ThreadId(ids.mint())) is Missing
    assert await verdict(await state(deleted_at="now()"), EVERYTHING) is Missing
    assert await verdict(await state(account="gen_random_uuid()"), EVERYTHING) is Missing
    archived, held = await state(archived_at="now()"), await state(held="true")
    both = await state(archived_at="now()", held="true")
    assert [await verdict(thread) for thread in (archived, held, both)] == [Archived, Held, Archived]
    assert [await verdict(both, passes) for passes in (Passes.ARCHIVED, Passes.HELD)] == [Held, Archived]
    accepted = [await verdict(archived, Passes.ARCHIVED), await verdict(held, Passes.HELD)]
    assert accepted == [await verdict(both, EVERYTHING)] * 2
