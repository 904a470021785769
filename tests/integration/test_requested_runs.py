"""What dialects do whose messages start nothing: they add, change and remove messages, and request the run."""

import json
from typing import Any

from shared import ids
from shared.events import (
    MessageAdded,
    MessageDeleted,
    MessageEdited,
    RunRequested,
    RunRetried,
    ThreadEdited,
    UserInterrupt,
)
from shared.ids import AgentId, EventId, MessageId, RunId
from shared.reports import Entry as Said
from shared.reports import RunFinished, RunLeased, RunOutput, RunStarted, Spoken
from tests.driver import Driver, codes
from tests.pipeline import message


def added(text: str, role: str = "user", **given: Any) -> MessageAdded:
    return MessageAdded(MessageId(ids.mint()), role, [{"type": "text", "text": text}], **given)


def requested(*messages: MessageAdded, **given: Any) -> RunRequested:
    return RunRequested(RunId(ids.mint()), messages=messages, **given)


async def test_a_requested_run_answers_what_no_run_has_answered_yet(driver: Driver) -> None:
    first, aside, second, with_it = added("one"), added("so far", "assistant"), added("two"), added("three")
    thread = await driver.create(first, aside)
    run = requested(with_it)
    outcome = await driver.send(thread, second, run)
    assert [result["run"] and result["run"]["id"] for result in outcome["events"]] == [None, run.run]
    (row,) = await driver.runs(thread)
    assert row["input"] == [first.message, second.message, with_it.message]
    assert (row["status"], row["trigger"]) == ("queued", "user_prompt")
    rows = await driver.pool.fetch("select id, run from messages where thread = $1 order by num", thread)
    assert [(row["id"], row["run"]) for row in rows] == [
        (first.message, run.run),
        (aside.message, None),
        (second.message, run.run),
        (with_it.message, run.run),
    ]


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


async def test_metadata_are_merged_and_nulls_remove(driver: Driver) -> None:
    said = added("hello", metadata={"a": "1", "b": "2"})
    thread = await driver.create(said)
    await driver.send(thread, MessageEdited(said.message, {"a": None, "b": "3", "c": "4"}))
    await driver.send(thread, MessageEdited(MessageId(ids.mint()), {"a": "nobody's"}))
    text = await driver.pool.fetchval("select metadata from messages where thread = $1", thread)
    assert json.loads(text) == {"b": "3", "c": "4"}


async def test_a_thread_has_a_name_and_metadata_beside_its_title(driver: Driver) -> None:
    thread = await driver.create(message("the title"))
    before = (await driver.thread(thread))["updated_at"]
    await driver.send(thread, ThreadEdited("Support", {"a": "1", "b": "2"}))
    await driver.send(thread, ThreadEdited(None, {"a": None}))
    row = await driver.thread(thread)
    assert (row["name"], row["title"], json.loads(row["metadata"])) == ("Support", "the title", {"b": "2"})
    assert row["updated_at"] > before


async def test_a_message_is_removed_with_what_the_log_holds_of_it(driver: Driver) -> None:
    said, spoken = added("mine"), EventId(ids.mint())
    thread, run = await driver.executing(message("hello"))
    deltas = tuple(Said("agent.message.delta", text, message=spoken) for text in ("Hel", "lo"))
    await driver.report(thread, RunOutput(run, deltas, (Spoken(MessageId(spoken), "Hello"),)))
    await driver.report(thread, RunFinished(run))
    await driver.send(thread, said)
    for removed in (said.message, MessageId(spoken), MessageId(ids.mint())):
        assert codes(await driver.send(thread, MessageDeleted(removed))) == []
    left = await driver.pool.fetch("select run from messages where thread = $1", thread)
    assert [row["run"] for row in left] == [run]
    assert [kind for kind, _ in await driver.log(thread)] == [
        "user.message",
        "session.status",
        "run.started",
        "run.completed",
        "session.status",
    ]


async def test_a_removed_message_waits_for_no_run(driver: Driver) -> None:
    gone, kept = added("gone"), added("kept")
    thread = await driver.create(gone, kept)
    await driver.send(thread, MessageDeleted(gone.message))
    await driver.send(thread, requested())
    assert (await driver.runs(thread))[0]["input"] == [kept.message]
