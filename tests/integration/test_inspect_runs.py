"""One run as an operator sees it: each thing that it can wait for, and where each field comes from."""

from datetime import timedelta

import asyncpg
import pytest

from shared import ids
from shared.errors import InvalidRequest, NotFound
from shared.events import RunEdited, RunRetried, UserInterrupt
from shared.ids import RequestId, RunId, ThreadId, Ulid
from shared.inspect import running, runs, threads
from shared.models import RunError, RunStatus
from shared.reports import Ask, RunFinished, RunLeased, RunStarted, RunWaits
from tests.driver import Driver
from tests.pipeline import PARTITIONS, message
from tests.plans import explained, rows_read

MANY = 20_000


async def lease(pool: asyncpg.Pool, thread: ThreadId, run: RunId, expires_in: float = 6) -> Ulid:
    """A live worker that has the run."""
    worker = ids.mint()
    await pool.execute(
        "insert into workers (id, host, pid, roles, version) values ($1, 'host-7', 4711, 'all', '0.1.0')", worker
    )
    await pool.execute(
        "insert into leases (partition, thread, run, owner, expires_at, deadline)"
        " values ($1, $2, $3, $4, clock_timestamp() + make_interval(secs => $5), clock_timestamp() + interval '1 h')",
        *(ids.partition_of(thread, PARTITIONS), thread, run, worker, expires_in),
    )
    return worker


async def test_a_queued_run_shows_its_place_and_the_beginning_of_its_text(driver: Driver) -> None:
    thread, _ = await driver.executing(message("first"))
    second, third = message("second"), message("x" * 10_000)
    await driver.send(thread, second, third)
    found = await runs.run_detail(driver.pool, third.run, thread)
    assert (found.thread, found.run.id, found.place) == (thread, third.run, 2)
    assert found.input == "x" * runs.SHOWN
    assert found.next_step == "Waits in the queue: 2 of its thread go before it."
    assert (found.lease, found.requests, found.checkpoint_bytes, found.usage) == (None, [], None, None)
    await driver.send(thread, RunEdited(second.run, "edited"))
    assert (await runs.run_detail(driver.pool, second.run)).input == "edited"


async def test_a_run_that_nobody_has_waits_for_a_worker_since_it_may_be_taken(driver: Driver) -> None:
    thread = await driver.create(message())
    (run,) = await driver.runs(thread)
    await driver.pool.execute("update threads set ready_at = '2026-03-01 12:00:00Z' where id = $1", thread)
    found = await runs.run_detail(driver.pool, run["id"])
    assert found.place == 0
    assert found.next_step == "Waits for a worker since 2026-03-01 12:00:00 UTC."
    await driver.pool.execute("update threads set ready_at = null where id = $1", thread)
    assert (await runs.run_detail(driver.pool, run["id"])).next_step == "Waits for a worker."


async def test_an_executing_run_shows_who_has_it_and_for_how_long(driver: Driver) -> None:
    thread, run = await driver.executing(message())
    worker = await lease(driver.pool, thread, run)
    await driver.pool.execute("update runs set checkpoint = '{\"n\": 1}', usage = '{\"total_tokens\": 7}'")
    found = await runs.run_detail(driver.pool, run, thread)
    assert found.lease is not None
    assert (found.lease.owner, found.lease.run, found.lease.host, found.lease.pid) == (worker, run, "host-7", 4711)
    assert 0 < found.lease.expires_in <= 6
    assert found.lease.epoch == await driver.pool.fetchval("select epoch from leases")
    assert found.deadline_in is not None
    assert 3_500 < found.deadline_in <= 3_600
    assert (found.checkpoint_bytes, found.usage) == (len('{"n": 1}'), {"total_tokens": 7})
    assert found.next_step == f"Executed by worker {worker} (host-7, pid 4711)."
    assert [one.worker for one in (await running.active(driver.pool, 10, None)).items] == [worker]
    assert [one.owner for one in (await threads.find_thread(driver.pool, thread)).runs] == [worker]


async def test_a_run_whose_lease_ran_out_says_since_when(driver: Driver) -> None:
    thread, run = await driver.executing(message())
    worker = await lease(driver.pool, thread, run, expires_in=-30)
    await driver.pool.execute("delete from workers")
    found = await runs.run_detail(driver.pool, run)
    assert found.next_step.startswith(f"Waits for a worker: the lease of worker {worker} ran out 3")
    assert found.lease is not None
    assert (found.lease.host, found.lease.pid) == (None, None)


async def test_a_run_behind_an_interrupted_one_waits_until_its_runner_lets_go(driver: Driver) -> None:
    thread, run = await driver.executing(message())
    worker, behind = await lease(driver.pool, thread, run), message()
    await driver.send(thread, behind, UserInterrupt(run))
    found = await runs.run_detail(driver.pool, behind.run)
    assert found.next_step.startswith(f"Waits for worker {worker} (host-7, pid 4711) to let go of the run before it, ")
    ended = await runs.run_detail(driver.pool, run)
    assert (ended.place, ended.lease) == (None, None)


async def test_a_waiting_run_shows_each_open_request(driver: Driver) -> None:
    thread, run = await driver.executing(message())
    now = await driver.pool.fetchval("select clock_timestamp()")
    first, second = RequestId(ids.mint()), RequestId(ids.mint())
    asks = (Ask(first, "May I?", "shell"), Ask(second, "And then?", expires_at=now + timedelta(minutes=5)))
    await driver.report(thread, RunWaits(run, asks))
    await driver.pool.execute("update permission_requests set key = 'step-1' where id = $1", first)
    found = await runs.run_detail(driver.pool, run)
    assert [(one.id, one.key, one.title, one.tool_name) for one in found.requests] == [
        (first, "step-1", "May I?", "shell"),
        (second, None, "And then?", None),
    ]
    assert found.requests[0].expires_in is None
    assert 0 <= found.requests[0].age < 60
    assert found.requests[1].expires_in is not None
    assert 200 < found.requests[1].expires_in <= 300
    assert found.next_step.startswith(f"Waits for a decision: 'May I?' ({first}), 'And then?' ({second}, expires in ")
    await driver.pool.execute("update permission_requests set state = 'allowed', decided_at = now()")
    decided = await runs.run_detail(driver.pool, run)
    assert (decided.requests, decided.next_step) == ([], "Waits for a worker.")


async def test_a_failed_run_shows_its_error_and_how_to_go_on(driver: Driver) -> None:
    thread, run = await driver.executing(message("why?"))
    error = RunError("runner.failed", "It failed.", retryable=False)
    await driver.report(thread, RunFinished(run, error))
    found = await runs.run_detail(driver.pool, run)
    assert (found.run.error, found.place, found.deadline_in, found.input) == (error, None, None, "why?")
    assert "threadmill run retry" in found.next_step
    retry = RunRetried(RunId(ids.mint()), run)
    await driver.send(thread, retry)
    assert (await runs.run_detail(driver.pool, retry.run)).input == "why?"
    await driver.report(thread, RunLeased(retry.run), RunStarted(retry.run), RunFinished(retry.run))
    assert (await runs.run_detail(driver.pool, retry.run)).next_step == "Nothing: it is over."


async def test_an_unknown_run_is_not_found(driver: Driver) -> None:
    thread = await driver.create(message())
    for run, place in ((ids.mint(), None), ("x", None), (ids.mint(), thread), (ids.mint(), "x")):
        with pytest.raises(NotFound):
            await runs.run_detail(driver.pool, run, place)


async def test_runs_are_listed_by_their_status(driver: Driver) -> None:
    executing, run = await driver.executing(message())
    queued = message()
    await driver.send(executing, queued)
    asking, waits, _ = await driver.asking()
    wanted: dict[RunStatus | None, set[str]] = {
        None: {run, queued.run, waits},
        RunStatus.RUNNING: {run},
        RunStatus.QUEUED: {queued.run},
        RunStatus.WAITING_INPUT: {waits},
        RunStatus.BOOTING: set(),
    }
    for status, names in wanted.items():
        assert {one.run.id for one in (await running.active(driver.pool, 10, None, status)).items} == names
    assert len((await running.active(driver.pool, 1, None)).items) == 1
    await driver.send(asking, UserInterrupt())
    place = ids.partition_of(asking, PARTITIONS), asking
    over = await running.of_thread(driver.pool, *place, 10, None, RunStatus.CANCELLED)
    assert ([one.run.id for one in over.items], over.after) == ([waits], None)
    assert (await running.of_thread(driver.pool, *place, 10, None, RunStatus.QUEUED)).items == []
    for ended in (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.EXPIRED):
        with pytest.raises(InvalidRequest, match="--thread"):
            await running.active(driver.pool, 10, None, ended)


async def test_runs_of_a_thread_and_a_status_are_listed_page_by_page(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread, _ = await driver.executing(message())
    place = ids.partition_of(thread, PARTITIONS), thread
    await driver.pool.execute(
        "insert into runs (partition, thread, id, seq, status, trigger, created_at, started_at, updated_at,"
        " completed_at)"
        " select $1, $2, gen_random_uuid(), n, (array['failed', 'completed', 'cancelled'])[n % 3 + 1], 'system',"
        "  now(), now(), now(), now() from generate_series(100, 129) n",
        *place,
    )
    wanted = await driver.pool.fetch("select id from runs where status = 'failed' order by id desc")
    for limit, looked in ((3, 2_000), (3, 4), (10, 2_000), (10, 7), (50, 31)):
        monkeypatch.setattr(running, "LOOKED", looked)
        found: list[RunId] = []
        after: str | None = None
        while not found or after is not None:
            page = await running.of_thread(driver.pool, *place, limit, after, RunStatus.FAILED)
            assert len(page.items) <= limit
            found += [one.run.id for one in page.items]
            after = page.after
        assert found == [row["id"] for row in wanted], (limit, looked)


@pytest.mark.parametrize("analyzed", [True, False], ids=["analyzed", "never analyzed"])
async def test_what_an_operator_asks_of_runs_goes_by_their_indexes(driver: Driver, analyzed: bool) -> None:
    thread, run, _ = await driver.asking()
    partition = ids.partition_of(thread, PARTITIONS)
    await driver.pool.execute(
        "insert into runs (partition, thread, id, seq, status, trigger, created_at, started_at, updated_at,"
        " completed_at) select $1, $2, gen_random_uuid(), n, 'completed', 'system', now(), now(), now(), now()"
        " from generate_series(1000, $3) n",
        *(partition, thread, MANY),
    )
    await driver.pool.execute(
        "insert into runs (partition, thread, id, seq, status, trigger, created_at, updated_at)"
        " select $1, gen_random_uuid(), gen_random_uuid(), 1, 'queued', 'system', now(), now()"
        " from generate_series(1, $2) n",
        *(partition, MANY),
    )
    await driver.pool.execute(
        "insert into messages (partition, thread, id, role, parts, created_at)"
        " select $1, $2, gen_random_uuid(), 'user', '[]', now() from generate_series(1, $3) n",
        *(partition, thread, MANY),
    )
    if analyzed:
        await driver.pool.execute("analyze")
    asked: dict[tuple[str, str], tuple[object, ...]] = {
        ("inspect", "run_detail"): (partition, thread, run, 500),
        ("inspect", "run_requests"): (partition, thread, run),
        ("inspect", "runs"): (partition, thread, 50),
        ("running", "of_status"): (partition, thread, None, 51, "expired", 100),
        ("running", "executing"): (partition, thread, 1, 51, "waiting_input"),
        ("running", "active"): (None, None, None, 51, None),
    }
    for (noun, name), arguments in asked.items():
        plan = await explained(driver.pool, noun, name, *arguments)
        read = [rows for table in ("runs", "messages", "threads") for rows in rows_read(plan, table)]
        assert sum(read) <= 150, (name, read)
