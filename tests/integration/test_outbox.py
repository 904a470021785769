"""What webhooks are told is written with the run's move, for agents that have one, and costs the others nothing."""

import json

import pytest
from pydantic import TypeAdapter

from api.dialects.mosoo import encode
from api.dialects.mosoo.answers import Told
from shared import ids, reads
from shared.events import ThreadArchived, ThreadDeleted, UserInterrupt
from shared.ids import RequestId
from shared.models import RunError
from shared.reports import Ask, RunExpired, RunFinished, RunLeased, RunResumed, RunWaits
from tests.driver import Driver, report_all
from tests.pipeline import PARTITIONS, message
from tests.telling import finished, told


async def test_a_failed_run_is_told_with_its_error(driver: Driver, secret: str) -> None:
    await finished(driver, RunError("runtime.error", 'It said "no".', retryable=False))
    (row,) = await told(driver)
    assert row["type"] == "run.failed"
    assert json.loads(row["body"])["data"]["run"]["error"] == {
        "code": "runtime.error",
        "message": 'It said "no".',
        "retryable": False,
    }


async def test_an_expired_run_is_told_as_failed(driver: Driver, secret: str) -> None:
    thread, run = await driver.executing(message())
    await driver.report(thread, RunExpired(run))
    (row,) = await told(driver)
    assert row["type"] == "run.failed"
    assert json.loads(row["body"])["data"]["run"]["status"] == "expired"


async def test_a_cancelled_run_is_told_by_the_drain_that_cancels_it(driver: Driver, secret: str) -> None:
    thread, run = await driver.executing(message())
    queued = message()
    await driver.send(thread, queued)
    await driver.send(thread, UserInterrupt(queued.run))
    await driver.send(thread, UserInterrupt())
    rows = await told(driver)
    assert [(row["type"], row["run"]) for row in rows] == [("run.cancelled", queued.run), ("run.cancelled", run)]


@pytest.mark.parametrize("event", [ThreadArchived(), ThreadDeleted()])
async def test_an_archive_and_a_delete_tell_of_every_run_they_end(
    driver: Driver, secret: str, event: ThreadArchived | ThreadDeleted
) -> None:
    thread, _ = await driver.executing(message())
    await driver.send(thread, message(), message())
    await driver.send(thread, event)
    assert {row["run"] for row in await told(driver)} == {run["id"] for run in await driver.runs(thread)}
    assert {row["type"] for row in await told(driver)} == {"run.cancelled"}


async def test_a_run_that_was_made_and_cancelled_in_one_drain_is_told(driver: Driver, secret: str) -> None:
    asked = message()
    await driver.create(asked, UserInterrupt())
    assert [(row["type"], row["run"]) for row in await told(driver)] == [("run.cancelled", asked.run)]


async def test_a_run_is_told_as_get_shows_it_but_for_its_place(driver: Driver, secret: str) -> None:
    thread, run, _ = await driver.asking(Ask(RequestId(ids.mint()), "Send?"))
    view = await reads.run(driver.pool, ids.partition_of(thread, PARTITIONS), thread, run)
    assert view is not None
    shown = json.loads(encode.run(view))
    (row,) = await told(driver)
    assert shown.pop("queuePosition") == 0
    assert json.loads(row["body"])["data"]["run"] == shown


async def test_a_waiting_run_is_told_once_with_its_open_requests(driver: Driver, secret: str) -> None:
    asks = (Ask(RequestId(ids.mint()), 'Delete "all"?'), Ask(RequestId(ids.mint()), "Send?"))
    thread, run, requests = await driver.asking(*asks)
    await driver.send(thread, message())  # queued behind it: nothing new is asked
    (row,) = await told(driver)
    TypeAdapter(Told).validate_json(row["body"])
    data = json.loads(row["body"])["data"]
    assert (row["type"], data["run"]["status"]) == ("run.waiting_input", "waiting_input")
    assert data["requests"] == [{"id": one, "title": ask.title} for one, ask in zip(requests, asks, strict=True)]
    await driver.pool.execute("update permission_requests set state = 'allowed', decided_at = now()")
    await driver.report(thread, RunLeased(run))  # waits still, in a worker's hands
    assert len(await told(driver)) == 1
    await driver.report(thread, RunResumed(run), RunWaits(run, (Ask(RequestId(ids.mint()), "And now?"),)))
    assert [row["type"] for row in await told(driver)] == ["run.waiting_input"] * 2


async def test_what_did_not_commit_is_not_told(driver: Driver, secret: str) -> None:
    thread, run = await driver.executing(message())
    connection = await driver.line.get()
    transaction = connection.transaction()
    await transaction.start()
    try:
        await report_all(connection, {thread: [RunFinished(run)]})
        assert await connection.fetchval("select count(*) from outbox") == 1
    finally:
        await transaction.rollback()
    assert await driver.pool.fetchval("select count(*) from outbox") == 0
    assert (await driver.runs(thread))[0]["status"] == "running"


async def test_an_agent_without_a_webhook_writes_nothing_and_runs_no_further_statement(driver: Driver) -> None:
    thread, run = await driver.executing(message())
    await driver.pool.execute("drop table outbox")  # whoever so much as asked it would fail
    await driver.report(thread, RunFinished(run))
    await driver.create(message(), UserInterrupt())
    assert (await driver.runs(thread))[0]["status"] == "completed"


async def test_a_message_that_moves_no_run_to_its_end_costs_an_agent_with_a_webhook_nothing(
    driver: Driver, secret: str
) -> None:
    await driver.pool.execute("drop table outbox")
    thread, _ = await driver.executing(message())
    await driver.send(thread, message())
    assert [run["status"] for run in await driver.runs(thread)] == ["running", "queued"]
