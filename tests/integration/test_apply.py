"""Each kind of event, from the inbox through to the tables."""

import json
from datetime import timedelta

import pytest

from shared import ids
from shared.events import MessageAdded, UserInterrupt
from shared.ids import MessageId, RunId
from shared.models import BusyPolicy, RunError, RunStatus
from shared.reports import RunFinished, SteerAcknowledged
from shared.settings import Settings
from tests.driver import Driver, codes, running_driver
from tests.pipeline import message

REJECT, INTERRUPT, STEER = BusyPolicy.REJECT, BusyPolicy.INTERRUPT, BusyPolicy.STEER


async def test_a_message_on_an_idle_thread_starts_a_run(driver: Driver) -> None:
    first = message("  Hello \t world \n\n and more")
    thread = await driver.create(first)
    (run,) = await driver.runs(thread)
    row = await driver.thread(thread)
    (said,) = await driver.pool.fetch("select * from messages where thread = $1", thread)
    assert (run["id"], run["seq"], run["status"], run["trigger"]) == (first.run, 1, "queued", "user_prompt")
    assert (run["started_at"], run["completed_at"], run["error"], run["attempt"]) == (None, None, None, 0)
    assert run["created_at"] == run["updated_at"] == row["updated_at"]
    assert row["created_at"] < row["updated_at"]
    assert (row["status"], row["active_runs"], row["last_run_id"]) == ("RUNNING", 1, first.run)
    assert row["title"] == "Hello world"
    assert (said["role"], said["run"], json.loads(said["parts"])) == (
        "user",
        first.run,
        [{"type": "text", "text": first.text}],
    )
    assert run["input"] == [said["id"]]
    assert await driver.log(thread) == [("user.message", first.run), ("session.status", None)]
    assert row["last_event_id"] == await driver.pool.fetchval("select max(id::text)::uuid from thread_events")


async def test_the_outcome_says_what_the_tables_say(driver: Driver) -> None:
    thread = await driver.create()
    sent = message("hello", client_request_id="r-1")
    outcome = await driver.send(thread, sent)
    (run,) = await driver.runs(thread)
    (result,) = outcome["events"]
    assert (result["clientRequestId"], result["requestId"], result["type"]) == ("r-1", "r-1", "user_message")
    assert (result["run"]["id"], result["run"]["status"]) == (run["id"], "queued")
    assert result["run"]["createdAt"] == run["created_at"].isoformat(timespec="milliseconds")[:-6] + "Z"
    assert (outcome["thread"]["id"], outcome["thread"]["last_run_id"]) == (thread, run["id"])
    assert outcome["warnings"] == []


async def test_a_later_message_never_renames_the_thread_nor_moves_last_run_back(driver: Driver) -> None:
    thread = await driver.create(message("first"))
    second = message("second")
    outcome = await driver.send(thread, second, UserInterrupt(second.run))
    assert outcome["thread"]["title"] == "first"
    assert outcome["thread"]["last_run_id"] == second.run
    assert outcome["events"][1]["run"]["status"] == "cancelled"


async def test_messages_on_a_busy_thread_queue_behind_its_run(driver: Driver) -> None:
    thread, current = await driver.executing(message())
    outcome = await driver.send(thread, message("second"), message("third"))
    assert codes(outcome) == ["queued_behind", "queued_behind"]
    assert [warning["runId"] for warning in outcome["warnings"]] == [current, current]
    assert [(run["seq"], run["status"]) for run in await driver.runs(thread)] == [
        (1, "running"),
        (2, "queued"),
        (3, "queued"),
    ]


async def test_a_message_that_rejects_a_busy_thread_leaves_no_trace(driver: Driver) -> None:
    thread = await driver.create(message())
    before = [*await driver.runs(thread), await driver.thread(thread)]
    outcome = await driver.send(thread, message("second", on_busy=REJECT))
    assert codes(outcome) == ["run_active"]
    assert outcome["events"][0]["run"] is None
    assert [*await driver.runs(thread), await driver.thread(thread)] == before


async def test_a_message_that_interrupts_goes_before_the_queued_ones(driver: Driver) -> None:
    thread, current = await driver.executing(message())
    queued = [message("second"), message("third")]
    await driver.send(thread, *queued)
    urgent = message("now", on_busy=INTERRUPT)
    outcome = await driver.send(thread, urgent)
    assert codes(outcome) == []
    order = [(run["id"], run["status"]) for run in await driver.runs(thread)]
    assert order == [
        (current, "cancelled"),
        (urgent.run, "queued"),
        (queued[0].run, "queued"),
        (queued[1].run, "queued"),
    ]
    seqs = [run["seq"] for run in await driver.runs(thread)]
    assert seqs == sorted(set(seqs))
    assert outcome["thread"]["last_run_id"] == urgent.run


async def test_a_message_steers_the_running_runner_until_it_acknowledges(driver: Driver) -> None:
    thread, current = await driver.executing(message())
    steer = message("left", on_busy=STEER)
    outcome = await driver.send(thread, steer)
    assert outcome["events"][0]["run"]["id"] == current
    (offer,) = await driver.pool.fetch("select * from steers")
    assert (offer["run"], offer["target"], offer["text"], offer["settled"]) == (steer.run, current, "left", False)
    await driver.report(thread, SteerAcknowledged(steer.run), RunFinished(current))
    assert await driver.pool.fetchval("select settled from steers")
    assert [run["status"] for run in await driver.runs(thread)] == ["completed"]


async def test_a_steering_message_becomes_a_run_where_the_run_ends_first(driver: Driver) -> None:
    thread, current = await driver.executing(message())
    steer = message("left", on_busy=STEER)
    await driver.send(thread, steer)
    await driver.report(thread, RunFinished(current))
    assert [(run["id"], run["status"]) for run in await driver.runs(thread)] == [
        (current, "completed"),
        (steer.run, "queued"),
    ]
    assert (await driver.thread(thread))["last_run_id"] == steer.run


async def test_the_agents_policy_counts_where_the_message_names_none(settings: Settings) -> None:
    async with running_driver(settings, busy_policy=REJECT) as driver:
        thread = await driver.create(message())
        assert codes(await driver.send(thread, message())) == ["run_active"]
        assert codes(await driver.send(thread, message(on_busy=BusyPolicy.QUEUE))) == ["queued_behind"]


async def test_an_interrupt_ends_the_current_run_at_once(driver: Driver) -> None:
    thread, current = await driver.executing(message())
    outcome = await driver.send(thread, UserInterrupt())
    (run,) = await driver.runs(thread)
    assert outcome["events"][0]["run"]["id"] == current
    assert run["status"] == "cancelled"
    assert run["created_at"] < run["started_at"] < run["completed_at"] == run["updated_at"]
    assert outcome["thread"]["status"] == "IDLE"
    assert ("run.completed", current) in await driver.log(thread)


async def test_a_run_cancelled_from_the_queue_has_started_when_it_ended(driver: Driver) -> None:
    thread = await driver.create(message())
    await driver.send(thread, UserInterrupt())
    (run,) = await driver.runs(thread)
    assert run["started_at"] == run["completed_at"] > run["created_at"]


async def test_interrupts_that_find_nothing_warn(driver: Driver) -> None:
    sent = message()
    thread = await driver.create(sent)
    other = await driver.create(message())
    stranger = (await driver.runs(other))[0]["id"]
    outcome = await driver.send(
        thread,
        UserInterrupt(sent.run),
        UserInterrupt(sent.run),
        UserInterrupt(),
        UserInterrupt(RunId(stranger)),
    )
    assert codes(outcome) == ["run_already_finished", "no_active_run", "run_not_found"]
    assert [(await driver.runs(other))[0]["status"]] == ["queued"]


async def test_a_message_without_a_run_is_written_and_starts_nothing(driver: Driver) -> None:
    thread = await driver.create()
    added = MessageAdded(
        MessageId(ids.mint()), "assistant", [{"type": "text", "text": "By the way"}], {"source": "import"}, "q-1"
    )
    outcome = await driver.send(thread, added)
    (row,) = await driver.pool.fetch("select * from messages where thread = $1", thread)
    assert (row["id"], row["role"], row["run"], row["request_id"]) == (added.message, "assistant", None, "q-1")
    assert json.loads(row["metadata"]) == {"source": "import"}
    assert outcome["events"][0]["run"] is None
    assert await driver.runs(thread) == []


async def test_a_client_request_id_starts_one_run_in_a_thread_for_ever(driver: Driver) -> None:
    first, repeat = message(client_request_id="r-1"), message(client_request_id="r-1")
    thread = await driver.create(first, repeat)
    outcome = await driver.send(thread, message(client_request_id="r-1"))
    assert codes(outcome) == ["duplicate_request"]
    assert outcome["events"][0]["run"]["id"] == first.run
    assert [run["id"] for run in await driver.runs(thread)] == [first.run]
    elsewhere = await driver.create(message(client_request_id="r-1"))
    assert len(await driver.runs(elsewhere)) == 1


async def test_a_thread_queues_a_hundred_runs_and_no_more(driver: Driver) -> None:
    thread, _ = await driver.executing(message())
    outcome = await driver.send(thread, *[message(str(n)) for n in range(100)])
    assert codes(outcome) == ["queued_behind"] * 100
    full = await driver.send(thread, message("one more"), message("urgent", on_busy=STEER))
    assert codes(full) == ["queue_full", "queue_full"]
    assert [result["run"] for result in full["events"]] == [None, None]
    assert len(await driver.runs(thread)) == 101
    row = await driver.thread(thread)
    assert row["active_runs"] == 101


async def test_a_message_that_interrupts_a_full_thread_renumbers_all_of_it(driver: Driver) -> None:
    thread, current = await driver.executing(message())
    queued = [message(str(n)) for n in range(99)]
    await driver.send(thread, *queued)
    urgent = message("now", on_busy=INTERRUPT)
    await driver.send(thread, urgent)
    order = [run["id"] for run in await driver.runs(thread)]
    assert order == [current, urgent.run, *(sent.run for sent in queued)]


async def test_a_batch_of_a_hundred_events_is_applied_in_its_order(driver: Driver) -> None:
    thread = await driver.create()
    events = [event for n in range(50) for event in (message(f"text {n}"), UserInterrupt())]
    outcome = await driver.send(thread, *events)
    assert [result["run"]["status"] for result in outcome["events"]] == ["queued", "cancelled"] * 50
    assert [run["status"] for run in await driver.runs(thread)] == ["cancelled"] * 50
    texts = await driver.pool.fetch(
        "select content from thread_events where thread = $1 and type = 'user.message' order by id", thread
    )
    assert [row["content"] for row in texts] == [f"text {n}" for n in range(50)]


async def test_the_order_of_messages_is_the_order_of_their_numbers(driver: Driver) -> None:
    thread = await driver.create(*[message(str(n)) for n in range(20)])
    await driver.send(thread, *[message(str(n)) for n in range(20, 40)])
    rows = await driver.pool.fetch("select parts from messages where thread = $1 order by num", thread)
    assert [json.loads(row["parts"])[0]["text"] for row in rows] == [str(n) for n in range(40)]


async def test_messages_without_a_run_keep_their_place_among_the_others(driver: Driver) -> None:
    thread = await driver.create()
    added = [MessageAdded(MessageId(ids.mint()), "user", [{"type": "text", "text": text}]) for text in ("1", "3")]
    for event in (message("0"), added[0], message("2"), added[1]):
        await driver.accept(thread, event)
    await driver.drain()
    rows = await driver.pool.fetch("select parts from messages where thread = $1 order by num", thread)
    assert [json.loads(row["parts"])[0]["text"] for row in rows] == ["0", "1", "2", "3"]
    assert [row["status"] for row in await driver.runs(thread)] == ["queued", "queued"]


@pytest.mark.parametrize("error", [None, RunError("model.refused", "No.", retryable=False)])
async def test_a_runner_ends_its_run_once(driver: Driver, error: RunError | None) -> None:
    thread, run = await driver.executing(message())
    await driver.report(thread, RunFinished(run, error))
    (row,) = await driver.runs(thread)
    assert row["status"] == (RunStatus.FAILED if error else RunStatus.COMPLETED)
    assert codes(await driver.send(thread, UserInterrupt(run))) == ["run_already_finished"]
    await driver.report(thread, RunFinished(run))
    assert await driver.runs(thread) == [row]


async def test_times_never_run_backwards_where_the_databases_clock_does(driver: Driver) -> None:
    thread = await driver.create(message())
    ahead = timedelta(hours=1)
    await driver.pool.execute(
        "update threads set updated_at = updated_at + $2 where id = $1",
        thread,
        ahead,
    )
    await driver.pool.execute("update runs set updated_at = updated_at + $2 where thread = $1", thread, ahead)
    before = (await driver.thread(thread))["updated_at"]
    await driver.send(thread, UserInterrupt())
    (run,) = await driver.runs(thread)
    assert (await driver.thread(thread))["updated_at"] == before
    assert run["completed_at"] >= before
