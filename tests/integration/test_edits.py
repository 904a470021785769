"""Edits and retries, from the inbox through to the tables."""

import json

import pytest

from shared import ids
from shared.events import RunEdited, RunRetried, UserInterrupt
from shared.ids import FileId, RunId, ThreadId
from shared.models import BusyPolicy
from shared.reports import RunFinished, RunLeased
from tests.driver import Driver, codes
from tests.pipeline import message


async def texts(driver: Driver, thread: ThreadId, run: RunId) -> tuple[str, str]:
    """What the run answers: as its message has it, and as the log says it."""
    row = await driver.pool.fetchrow(
        "select m.parts, e.content from runs r"
        " join messages m on m.partition = r.partition and m.thread = r.thread and m.id = r.input[1]"
        " join thread_events e on e.partition = m.partition and e.thread = m.thread and e.id = m.id"
        " where r.thread = $1 and r.id = $2",
        *(thread, run),
    )
    (part,) = json.loads(row["parts"])
    assert part["type"] == "text"
    return part["text"], row["content"]


async def log_of(driver: Driver, thread: ThreadId) -> list[tuple[object, ...]]:
    """The log without what an edit changes."""
    rows = await driver.pool.fetch(
        "select id, run, type, occurred_at from thread_events where thread = $1 order by id", thread
    )
    return [tuple(row) for row in rows]


async def test_an_edit_changes_one_message_and_its_event_in_place(driver: Driver) -> None:
    thread, current = await driver.executing(message("first"))
    second, third = message("second"), message("third")
    await driver.send(thread, second, third)
    before, log, row = await driver.runs(thread), await log_of(driver, thread), await driver.thread(thread)
    outcome = await driver.send(thread, RunEdited(second.run, 'an "edited" text'))
    after = await driver.runs(thread)
    assert (codes(outcome), outcome["events"][0]["run"]["status"]) == ([], "queued")
    assert await texts(driver, thread, second.run) == ('an "edited" text',) * 2
    assert await texts(driver, thread, current) == ("first", "first")
    assert await texts(driver, thread, third.run) == ("third", "third")
    assert await log_of(driver, thread) == log
    assert [dict(run) | {"updated_at": None} for run in after] == [dict(run) | {"updated_at": None} for run in before]
    assert [run["updated_at"] > old["updated_at"] for run, old in zip(after, before, strict=True)] == [
        False,
        True,
        False,
    ]
    changed = await driver.thread(thread)
    assert changed["updated_at"] == after[1]["updated_at"]
    assert (changed["title"], changed["last_event_id"]) == (row["title"], row["last_event_id"])


async def test_a_message_is_made_edited_and_edited_again_in_one_drain(driver: Driver) -> None:
    thread = await driver.create(message("first"))
    sent = message("second")
    refs = [
        await driver.accept(thread, event)
        for event in (sent, RunEdited(sent.run, "better"), RunEdited(sent.run, "best"))
    ]
    await driver.drain()
    assert [codes(await driver.outcome(ref)) for ref in refs] == [["queued_behind"], [], []]
    assert await texts(driver, thread, sent.run) == ("best", "best")
    assert (await driver.thread(thread))["title"] == "first"


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "batch by batch"])
async def test_an_edited_message_keeps_its_files(driver: Driver, together: bool) -> None:
    thread = await driver.create(message("current"))
    files = (FileId(ids.mint()), FileId(ids.mint()))
    sent = message("first", files=files)
    events = (sent, RunEdited(sent.run, "better"))
    for some in [events] if together else [(event,) for event in events]:
        await driver.send(thread, *some)
    assert json.loads(
        await driver.pool.fetchval("select parts from messages where thread = $1 and run = $2", thread, sent.run)
    ) == [{"type": "text", "text": "better"}, *({"type": "file", "file": file} for file in files)]


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "batch by batch"])
async def test_edit_and_interrupt_in_either_order_leave_the_queue_in_order(driver: Driver, together: bool) -> None:
    thread = await driver.create(message("current"))
    edited, withdrawn = message("a"), message("b")
    await driver.send(thread, edited, withdrawn)
    events = (
        *(RunEdited(edited.run, "a, edited"), UserInterrupt(edited.run)),
        *(UserInterrupt(withdrawn.run), RunEdited(withdrawn.run, "b, edited")),
    )
    sent = [events] if together else [(event,) for event in events]
    assert [code for some in sent for code in codes(await driver.send(thread, *some))] == ["run_started"]
    assert await texts(driver, thread, edited.run) == ("a, edited", "a, edited")
    assert await texts(driver, thread, withdrawn.run) == ("b", "b")
    assert [run["status"] for run in await driver.runs(thread)] == ["queued", "cancelled", "cancelled"]


async def test_an_edit_that_was_accepted_before_a_lease_and_applied_after_it_is_refused(driver: Driver) -> None:
    first = message("first")
    thread = await driver.create(first)
    ref = await driver.accept(thread, RunEdited(first.run, "too late"))
    await driver.report(thread, RunLeased(first.run))
    await driver.drain()
    assert codes(await driver.outcome(ref)) == ["run_started"]
    assert await texts(driver, thread, first.run) == ("first", "first")


async def test_what_a_steering_message_became_is_edited(driver: Driver) -> None:
    thread, current = await driver.executing(message("first"))
    steer = message("steer", on_busy=BusyPolicy.STEER)
    await driver.send(thread, steer)
    assert codes(await driver.send(thread, RunEdited(steer.run, "too soon"))) == ["run_not_found"]
    await driver.report(thread, RunFinished(current))
    assert codes(await driver.send(thread, RunEdited(steer.run, "edited"))) == []
    assert await texts(driver, thread, steer.run) == ("edited", "edited")


async def test_a_retry_answers_the_messages_of_its_first_run(driver: Driver) -> None:
    thread, of = await driver.executing(message("hello"))
    await driver.report(thread, RunFinished(of))
    retry = RunRetried(RunId(ids.mint()), of)
    outcome = await driver.send(thread, retry)
    first, second = await driver.runs(thread)
    assert (codes(outcome), outcome["events"][0]["run"]["id"]) == ([], retry.run)
    assert (second["id"], second["seq"], second["trigger"], second["status"]) == (retry.run, 2, "retry", "queued")
    assert second["input"] == first["input"] != []
    assert (await driver.thread(thread))["last_run_id"] == retry.run
    assert await driver.pool.fetchval("select count(*) from messages where thread = $1", thread) == 1
    again = await driver.send(thread, RunRetried(RunId(ids.mint()), retry.run))
    assert codes(again) == ["run_not_finished"]


async def test_a_run_is_made_cancelled_and_retried_twice_in_one_drain(driver: Driver) -> None:
    thread = await driver.create(message("current"))
    first, second, third = message("again"), RunId(ids.mint()), RunId(ids.mint())
    for event in (
        *(first, UserInterrupt(first.run), RunRetried(second, first.run)),
        *(UserInterrupt(second), RunRetried(third, second)),
    ):
        await driver.accept(thread, event)
    await driver.drain()
    current, *runs = await driver.runs(thread)
    assert [(run["id"], run["status"], run["trigger"]) for run in runs] == [
        (first.run, "cancelled", "user_prompt"),
        (second, "cancelled", "retry"),
        (third, "queued", "retry"),
    ]
    assert runs[0]["input"] == runs[1]["input"] == runs[2]["input"] != current["input"]
    assert await texts(driver, thread, third) == ("again", "again")


async def test_an_interrupted_retry_of_a_finished_run_is_stored_in_one_drain(driver: Driver) -> None:
    thread, of = await driver.executing(message("hello"))
    await driver.report(thread, RunFinished(of))
    retry = RunRetried(RunId(ids.mint()), of)
    outcome = await driver.send(thread, retry, UserInterrupt(retry.run))
    first, second = await driver.runs(thread)
    assert (codes(outcome), second["status"]) == ([], "cancelled")
    assert second["input"] == first["input"]
