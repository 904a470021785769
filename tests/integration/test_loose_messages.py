"""What other dialects do with messages and with what is kept beside them: change, remove, page through them."""

import json
from functools import partial

from shared import ids, messages
from shared.events import (
    MessageDeleted,
    MessageEdited,
    RunRetried,
    ThreadEdited,
)
from shared.ids import EventId, MessageId, RunId
from shared.reports import Entry as Said
from shared.reports import RunFinished, RunLeased, RunOutput, RunStarted, Spoken
from tests.driver import Driver, codes
from tests.loose import added, requested
from tests.pipeline import message


async def test_a_message_that_waited_long_for_its_run_leaves_no_trace_in_the_log(driver: Driver) -> None:
    """The run may begin long after its message was said."""
    said = added("secret")
    thread = await driver.create(said)
    earlier = "update {} set {} = {} - interval '1 hour' where thread = $1"
    await driver.pool.execute(earlier.format("messages", "created_at", "created_at"), thread)
    hour = 3_600_000
    events = await driver.pool.fetch("select id from thread_events where thread = $1", thread)
    for row in events:
        moved = ids.from_bytes((int.from_bytes(ids.to_bytes(row["id"]), "big") - (hour << 80)).to_bytes(16, "big"))
        await driver.pool.execute(
            "update thread_events set id = $2 where thread = $1 and id = $3", thread, moved, row["id"]
        )
    run = requested()
    await driver.send(thread, run)
    await driver.report(thread, RunLeased(run.run), RunStarted(run.run), RunFinished(run.run))
    assert codes(await driver.send(thread, MessageDeleted(said.message))) == []
    assert not await driver.pool.fetchval("select count(*) from thread_events where content = 'secret'")


async def test_what_a_retry_answers_stays_until_that_is_over(driver: Driver) -> None:
    question = added("one")
    first = requested(question)
    thread = await driver.create(first)
    await driver.report(thread, RunLeased(first.run), RunStarted(first.run), RunFinished(first.run))
    again = RunRetried(RunId(ids.mint()), first.run)
    await driver.send(thread, again)
    await driver.report(thread, RunLeased(again.run), RunStarted(again.run))
    assert codes(await driver.send(thread, MessageDeleted(question.message))) == ["message_in_use"]


async def test_a_message_of_a_run_at_work_is_removed_when_that_is_over(driver: Driver) -> None:
    """Another worker may have to go on from what it said, and must not say it anew."""
    thread, run = await driver.executing(message("hello"))
    spoken = MessageId(ids.mint())
    await driver.report(thread, RunOutput(run, (), (Spoken(spoken, "Hello"),)))
    assert codes(await driver.send(thread, MessageDeleted(spoken))) == ["message_in_use"]
    await driver.report(thread, RunFinished(run))
    assert codes(await driver.send(thread, MessageDeleted(spoken))) == []


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


async def test_edits_that_meet_leave_at_most_sixteen_pairs(driver: Driver) -> None:
    """Each of them alone would be fine: what is left is judged where they are applied, in their order."""
    note = added("hello", metadata={"a": "1"})
    thread = await driver.create(note)
    tens: list[dict[str, str | None]] = [{f"{letter}{n}": "x" for n in range(10)} for letter in "bc"]
    for kind in (MessageEdited, partial(lambda _, metadata: ThreadEdited(None, metadata))):
        outcome = await driver.send(thread, *(kind(note.message, ten) for ten in tens))
        assert codes(outcome) == ["metadata_full"]
        assert codes(await driver.send(thread, kind(note.message, tens[1]))) == ["metadata_full"]
    kept = await driver.pool.fetchval("select metadata from messages where thread = $1", thread)
    assert json.loads(kept) == {"a": "1"} | tens[0]
    assert json.loads((await driver.thread(thread))["metadata"]) == tens[0]


async def test_a_message_that_was_removed_meanwhile_is_edited_no_more(driver: Driver) -> None:
    note = added("hello")
    thread = await driver.create(note)
    outcome = await driver.send(thread, MessageDeleted(note.message), MessageEdited(note.message, {"a": "1"}))
    assert codes(outcome) == ["message_not_found"]


async def test_a_message_is_removed_with_what_the_log_holds_of_it(driver: Driver) -> None:
    said, spoken = added("mine"), EventId(ids.mint())
    thread, run = await driver.executing(message("hello"))
    deltas = tuple(Said("agent.message.delta", text, message=spoken) for text in ("Hel", "lo"))
    await driver.report(thread, RunOutput(run, deltas, (Spoken(MessageId(spoken), "Hello"),)))
    await driver.report(thread, RunFinished(run))
    await driver.send(thread, said)
    for removed in (said.message, MessageId(spoken)):
        assert codes(await driver.send(thread, MessageDeleted(removed))) == []
        assert codes(await driver.send(thread, MessageDeleted(removed))) == ["message_not_found"]
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


async def test_a_page_has_fewer_messages_where_they_are_large_and_the_next_one_goes_on(driver: Driver) -> None:
    thread = await driver.create(*(added("x" * (900 << 10), "assistant") for _ in range(12)))
    place = (await driver.thread(thread))["partition"], thread
    for descending in (True, False):
        seen: list[int] = []
        pages = 0
        above, below = messages.FIRST, messages.LAST
        while True:
            page = await messages.page(driver.pool, *place, 100, descending=descending, above=above, below=below)
            seen += [one.num for one in page.messages]
            pages += 1
            assert 0 < len(page.messages) < 6
            if page.next is None:
                break
            above, below = (above, seen[-1]) if descending else (seen[-1], below)
        assert (len(seen), pages) == (12, 3)
        assert seen == sorted(set(seen), reverse=descending)
