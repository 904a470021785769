"""Runs that another dialect requests: what they answer, when they are refused, what they keep."""

import json

from shared import ids
from shared.events import (
    MessageDeleted,
    RunEdited,
    RunRetried,
    UserInterrupt,
)
from shared.ids import AgentId, RunId
from shared.models import UNANSWERED_SIZE
from shared.reports import RunFinished, RunLeased, RunStarted
from tests.driver import Driver, codes
from tests.loose import added, requested
from tests.pipeline import message


async def test_a_requested_run_answers_what_no_run_has_answered_yet(driver: Driver) -> None:
    first, aside, second, with_it = added("one"), added("so far", "assistant"), added("two"), added("three")
    thread = await driver.create(first, aside)
    run = requested(with_it)
    outcome = await driver.send(thread, second, run)
    assert [result["run"] and result["run"]["id"] for result in outcome["events"]] == [None, run.run]
    (row,) = await driver.runs(thread)
    # What stands before an assistant's message that somebody added is history.
    assert row["input"] == [second.message, with_it.message]
    assert (row["status"], row["trigger"]) == ("queued", "user_prompt")
    rows = await driver.pool.fetch("select id, run from messages where thread = $1 order by num", thread)
    assert [(row["id"], row["run"]) for row in rows] == [
        (first.message, run.run),
        (aside.message, None),
        (second.message, run.run),
        (with_it.message, run.run),
    ]


async def test_what_is_added_behind_a_request_waits_for_the_next_run(driver: Driver) -> None:
    """All of it is applied in one drain: what a run answers is not what is there at its end."""
    before, after = added("one"), added("two")
    cancelled, last = requested(), requested()
    thread = await driver.create(before, cancelled, after, UserInterrupt(), last)
    rows = {row["id"]: row for row in await driver.runs(thread)}
    assert rows[cancelled.run]["input"] == [before.message]
    assert (rows[last.run]["input"], rows[last.run]["status"]) == ([after.message], "queued")
    said = await driver.pool.fetch("select id, run from messages where thread = $1", thread)
    assert {row["id"]: row["run"] for row in said} == {before.message: cancelled.run, after.message: last.run}


async def test_a_message_that_is_removed_in_the_drain_of_a_request_is_as_if_it_never_was(driver: Driver) -> None:
    question, draft, gone, run = added("q"), added("draft", "assistant"), added("gone"), requested()
    thread = await driver.create(question, draft)
    await driver.send(thread, MessageDeleted(draft.message), gone, MessageDeleted(gone.message), run)
    assert (await driver.runs(thread))[0]["input"] == [question.message]
    full = await driver.create(*(added("x" * (UNANSWERED_SIZE // 4 - 100)) for _ in range(3)))
    last = added("x" * (UNANSWERED_SIZE // 4 - 100))
    assert codes(await driver.send(full, last, added("z" * 1_000))) == ["unanswered_full"]
    assert codes(await driver.send(full, MessageDeleted(last.message), added("z" * 1_000))) == []


async def test_a_requested_run_that_is_queued_can_be_edited(driver: Driver) -> None:
    """Another dialect's message is edited like a native one; of several the last."""
    first = requested(added("one"), added("two"))
    thread = await driver.create(first)
    outcome = await driver.send(thread, RunEdited(first.run, "changed"))
    assert codes(outcome) == []
    log = "select content from thread_events where thread = $1 and type = 'user.message' order by id"
    assert [row["content"] for row in await driver.pool.fetch(log, thread)] == ["one", "changed"]
    rows = await driver.pool.fetch("select parts from messages where thread = $1 order by num", thread)
    assert [json.loads(row["parts"])[0]["text"] for row in rows] == ["one", "changed"]


async def test_a_run_that_goes_on_from_a_message_is_not_kept_from_it_by_what_waits(driver: Driver) -> None:
    thread = await driver.create(*(added("x" * (UNANSWERED_SIZE // 4 - 100)) for _ in range(4)))
    assert codes(await driver.send(thread, requested(added("hello"), parent=0))) == []


async def test_too_much_that_waits_for_a_run_is_refused_and_a_run_makes_room(driver: Driver) -> None:
    large = "x" * (UNANSWERED_SIZE // 4 - 100)
    thread = await driver.create(*(added(large) for _ in range(4)))
    assert codes(await driver.send(thread, added("y" * 1_000))) == ["unanswered_full"]
    assert codes(await driver.send(thread, added("y", "assistant"))) == []
    assert codes(await driver.send(thread, requested(added("y" * 1_000)))) == ["unanswered_full"]
    run = requested()
    assert codes(await driver.send(thread, run)) == []
    await driver.report(thread, RunLeased(run.run), RunStarted(run.run), RunFinished(run.run))
    assert codes(await driver.send(thread, added(large), requested(added("y")))) == []


async def test_the_next_one_answers_only_what_came_since(driver: Driver) -> None:
    thread, run = await driver.executing(message("hello"))
    await driver.report(thread, RunFinished(run))
    first, second = added("one"), requested()
    await driver.send(thread, first, second)
    assert (await driver.runs(thread))[1]["input"] == [first.message]
    nothing = await driver.create()
    await driver.send(nothing, requested())
    assert (await driver.runs(nothing))[0]["input"] == []


async def test_a_busy_thread_refuses_it_with_its_messages(driver: Driver) -> None:
    thread, _ = await driver.executing(message())
    outcome = await driver.send(thread, requested(added("not taken")))
    assert (codes(outcome), outcome["events"][0]["run"]) == (["run_active"], None)
    assert await driver.pool.fetchval("select count(*) from messages where thread = $1", thread) == 1


async def test_the_first_run_binds_the_agent_of_a_thread_that_has_none(driver: Driver) -> None:
    thread = await driver.create()
    await driver.pool.execute("update threads set agent = null where id = $1", thread)
    agent, other = AgentId(ids.mint()), AgentId(ids.mint())
    first = requested(added("hello"), agent=agent)
    outcome = await driver.send(thread, first)
    assert outcome["thread"]["agent_id"] == agent
    assert (await driver.thread(thread))["agent"] == agent
    await driver.report(thread, RunLeased(first.run), RunStarted(first.run), RunFinished(first.run))
    assert codes(await driver.send(thread, requested(agent=other))) == ["agent_bound"]
    assert codes(await driver.send(thread, requested(agent=agent))) == []


async def test_the_number_of_the_message_that_a_run_goes_on_from_is_kept(driver: Driver) -> None:
    thread = await driver.create()
    await driver.send(thread, requested(added("root"), parent=0))
    assert await driver.pool.fetchval("select parent from messages where thread = $1", thread) == 0


async def test_a_run_keeps_the_metadata_that_it_was_requested_with(driver: Driver) -> None:
    first, second, third = requested(added("one"), metadata={"a": "1"}), requested(added("two")), message("three")
    thread = await driver.create(first)
    await driver.report(thread, RunLeased(first.run), RunStarted(first.run), RunFinished(first.run))
    await driver.send(thread, second)
    await driver.report(thread, RunLeased(second.run), RunStarted(second.run), RunFinished(second.run))
    await driver.send(thread, third)
    kept = [row["metadata"] for row in await driver.runs(thread)]
    assert [text and json.loads(text) for text in kept] == [{"a": "1"}, None, None]


async def test_a_run_that_is_made_and_over_in_one_drain_keeps_its_metadata(driver: Driver) -> None:
    run = requested(added("one"), metadata={"a": "1"})
    thread = await driver.create(run, UserInterrupt())
    (row,) = await driver.runs(thread)
    assert (row["status"], json.loads(row["metadata"])) == ("cancelled", {"a": "1"})


async def test_a_retry_is_a_run_of_its_own_without_the_metadata_of_the_first(driver: Driver) -> None:
    run = requested(added("one"), metadata={"a": "1"})
    thread = await driver.create(run, UserInterrupt(), RunRetried(RunId(ids.mint()), run.run))
    first, second = await driver.runs(thread)
    assert (first["input"], second["metadata"]) == (second["input"], None)


async def test_a_message_of_the_native_dialect_is_for_the_default_agent_where_there_is_none(driver: Driver) -> None:
    thread = await driver.create()
    await driver.pool.execute("update threads set agent = null where id = $1", thread)
    agents = await driver.pool.fetch("select id, account from agents where account = $1", driver.caller.account)
    await driver.send(thread, message("hello"))
    assert (await driver.thread(thread))["agent"] == agents[0]["id"]
    closed = await driver.create()
    await driver.pool.execute("update threads set agent = null where id = $1", closed)
    await driver.pool.execute("update agents set published = false")
    await driver.send(closed, message("hello"))
    assert (await driver.thread(closed))["agent"] is None
