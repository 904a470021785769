"""Runs that are queued, over HTTP: their text edited; every refusal, and what it leaves as it was."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from api.dialects.mosoo import answers, models
from shared import ids
from shared.audit import command_line
from shared.events import RunRetried, UserInterrupt, dump
from shared.ids import BatchId, RunId, ThreadId, Ulid
from shared.inspect.actions import dead
from shared.inspect.deadletters import Selection
from shared.reports import RunLeased
from tests.contract.queueing import queue
from tests.contract.shapes import differences
from tests.driver import report
from tests.pipeline import PARTITIONS
from tests.service import Client, Reply, Service, message
from tests.watch import until

STARTED = (409, "readiness_blocked", "The run has started: its text can't be edited any more.")
ASYNC = {"Prefer": "respond-async"}
GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "golden" / "edit_run.json").read_text(encoding="utf-8"))


async def edit(client: Client, thread: str, run: str, text: str = "edited", **headers: str) -> Reply:
    return await client.call("PATCH", f"/threads/{thread}/runs/{run}", {"text": text}, **headers)


async def said(client: Client, thread: str) -> list[tuple[str, str, str]]:
    """Id, run and text of each message of a user in the log."""
    log = (await client.call("GET", f"/threads/{thread}/events")).json["events"]
    return [(entry["id"], entry["runId"], entry["content"]) for entry in log if entry["type"] == "user.message"]


async def batches(service: Service) -> int:
    count: int = await service.pool.fetchval("select count(*) from batches")
    return count


async def pause(service: Service, *, paused: bool) -> None:
    await service.pool.execute("update partitions set paused = $1", paused)


async def test_an_edit_is_answered_with_the_run_field_by_field(client: Client) -> None:
    thread, (_, run) = await queue(client, "a", "b")
    reply = await client.call("PATCH", f"/threads/{thread}/runs/{run}", GOLDEN["request"])
    assert reply.status == GOLDEN["status"]
    assert differences(reply.json, GOLDEN["answer"], {"run": run}) == []
    TypeAdapter(answers.EditedRun).validate_json(reply.body)
    read = (await client.call("GET", f"/threads/{thread}/runs/{run}")).json
    assert read == {**reply.json["run"], "queuePosition": 1}


async def test_an_edit_changes_the_log_in_place_and_every_cursor_stays_valid(client: Client) -> None:
    thread, (first, second, third) = await queue(client, "a", "b", "c")
    before = (await client.call("GET", f"/threads/{thread}")).json
    log = await said(client, thread)
    reply = await edit(client, thread, second, "b, edited")
    assert await said(client, thread) == [log[0], (log[1][0], second, "b, edited"), log[2]]
    behind = (await client.call("GET", f"/threads/{thread}/events?after={log[1][0]}")).json["events"]
    assert [entry["runId"] for entry in behind if entry["type"] == "user.message"] == [third]
    after = (await client.call("GET", f"/threads/{thread}")).json["thread"]
    assert after == {**before["thread"], "updated_at": reply.json["run"]["updatedAt"]}
    assert after["updated_at"] > before["thread"]["updated_at"]
    runs = (await client.call("GET", f"/threads/{thread}/runs")).json["runs"]
    assert {run["id"]: run["queuePosition"] for run in runs} == {first: 0, second: 1, third: 2}


async def test_a_title_that_came_from_the_old_text_stays(client: Client) -> None:
    made = (await client.create("the old text")).json
    thread = made["thread"]["id"]
    assert (await edit(client, thread, made["run"]["id"], "the new text")).status == 200
    assert (await client.call("GET", f"/threads/{thread}")).json["thread"]["title"] == "the old text"


async def test_of_two_edits_the_later_one_counts_and_the_same_one_twice_is_one(client: Client) -> None:
    thread, (run,) = await queue(client, "a")
    for text in ("b", "c", "c"):
        assert (await edit(client, thread, run.lower(), text)).json["run"]["id"] == run
    assert [text for _, _, text in await said(client, thread)] == ["c"]


@pytest.mark.parametrize("status", ["booting", "running", "waiting_input"])
async def test_a_run_that_executes_keeps_its_text(service: Service, client: Client, status: str) -> None:
    thread, (run,) = await queue(client, "a")
    await service.pool.execute("update runs set status = $2, started_at = created_at where id = $1", run, status)
    reply = await edit(client, thread, run)
    assert (reply.status, reply.json) == (GOLDEN["status_once_started"], GOLDEN["answer_once_started"])
    assert [text for _, _, text in await said(client, thread)] == ["a"]


async def test_edit_and_interrupt_in_either_order(client: Client) -> None:
    thread, (_, edited_first, interrupted_first) = await queue(client, "a", "b", "c")
    assert (await edit(client, thread, edited_first)).status == 200
    for run in (edited_first, interrupted_first):
        await client.send(thread, {"type": "user_interrupt", "runId": run})
        assert (await edit(client, thread, run, "too late")).error == STARTED
    assert [text for _, _, text in await said(client, thread)] == ["a", "edited", "c"]


async def test_a_retry_has_the_message_of_its_first_run_which_is_not_edited(service: Service, client: Client) -> None:
    thread, (run,) = await queue(client, "a")
    retry, of = RunId(ids.mint()), RunId(Ulid(run))
    await service.pool.execute(
        "insert into batches (partition, id, ref, thread, account, token, events)"
        " values ($1, nextval('batch_ids'), $2, $3, $4, $5, $6)",
        *(ids.partition_of(ThreadId(Ulid(thread)), PARTITIONS), ids.mint(), thread),
        *(client.account, client.token_id, dump([UserInterrupt(of), RunRetried(retry, of)])),
    )
    path = f"/threads/{thread}/runs/{retry}"

    async def made() -> bool:
        return (await client.call("GET", path)).status == 200

    await until(made)
    assert (await client.call("GET", path)).json["trigger"] == "retry"
    assert (await edit(client, thread, retry)).error == STARTED


async def test_an_unknown_run_is_404_also_where_another_thread_has_it(client: Client) -> None:
    thread, (run,) = await queue(client, "a")
    other = await client.new_thread()
    unknown = await client.call("GET", f"/threads/{thread}/runs/{ids.mint()}")
    for place, name in ((thread, ids.mint()), (other, run), (ids.mint(), run)):
        reply = await edit(client, place, name)
        assert (reply.status, reply.body) == (404, unknown.body)
    assert [text for _, _, text in await said(client, thread)] == ["a"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "text is required."),
        ({"text": ""}, "text must not be blank."),
        ({"text": " \n\t"}, "text must not be blank."),
        ({"text": "x" * (models.TEXT_LIMIT + 1)}, "text is longer than 262144 bytes."),
        ({"text": "€" * (models.TEXT_LIMIT // 3 + 1)}, "text is longer than 262144 bytes."),
        ({"text": None}, "text "),
        ({"text": 7}, "text "),
        ({"text": ["a"]}, "text "),
        ({"text": "a", "status": "completed"}, "status is not a known key."),
        ([], "The body "),
        ("a", "The body "),
    ],
)
async def test_a_body_that_can_t_be_is_refused_by_its_field_and_stores_nothing(
    service: Service, client: Client, body: Any, words: str
) -> None:
    thread, (run,) = await queue(client, "a")
    before = await batches(service)
    reply = await client.call("PATCH", f"/threads/{thread}/runs/{run}", body)
    assert reply.error[:2] == (400, "invalid_request")
    assert reply.error[2].startswith(words)
    assert await batches(service) == before


@pytest.mark.parametrize("body", [b"", b"{", b'{"text":"a","text":"b"}', b'{"text":"\\u0000"}', b'{"text":"\xff"}'])
async def test_a_body_that_is_no_strict_json_is_refused(client: Client, body: bytes) -> None:
    thread, (run,) = await queue(client, "a")
    reply = await client.call("PATCH", f"/threads/{thread}/runs/{run}", body)
    assert reply.error[:2] == (400, "invalid_json")
    assert [text for _, _, text in await said(client, thread)] == ["a"]


async def test_a_text_of_the_greatest_length_is_taken(client: Client) -> None:
    thread, (run,) = await queue(client, "a")
    assert (await edit(client, thread, run, "x" * models.TEXT_LIMIT)).status == 200
    assert [len(text) for _, _, text in await said(client, thread)] == [models.TEXT_LIMIT]


async def test_a_closed_or_held_thread_takes_no_edit(service: Service, client: Client) -> None:
    thread, (run,) = await queue(client, "a")
    await service.pool.execute("update threads set held = true where id = $1", thread)
    assert (await edit(client, thread, run)).error[:2] == (409, "readiness_blocked")
    await service.pool.execute("update threads set held = false where id = $1", thread)
    await client.call("POST", f"/threads/{thread}/archive")
    assert (await edit(client, thread, run)).error == (409, "readiness_blocked", "The thread is archived.")
    await client.call("DELETE", f"/threads/{thread}")
    assert (await edit(client, thread, run)).error[:2] == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "error"),
    [
        ("POST", "/archive", (409, "readiness_blocked", "The thread is archived: the event had no effect.")),
        ("DELETE", "", (404, "not_found", "There is no such thing.")),
    ],
)
async def test_an_edit_that_is_applied_behind_an_end_of_its_thread_is_refused(
    service: Service, client: Client, method: str, path: str, error: tuple[int, str, str]
) -> None:
    thread, (run,) = await queue(client, "a")
    await pause(service, paused=True)
    assert (await client.call(method, f"/threads/{thread}{path}", **ASYNC)).status == 200
    sent = asyncio.create_task(edit(client, thread, run, Prefer="wait=10"))
    await until_waiting(service, 2)
    await pause(service, paused=False)
    assert (await sent).error == error


async def test_an_edit_that_an_operator_discards_had_no_effect(service: Service, client: Client) -> None:
    thread, (run,) = await queue(client, "a")
    await pause(service, paused=True)
    sent = asyncio.create_task(edit(client, thread, run, Prefer="wait=10"))
    await until_waiting(service, 1)
    async with service.pool.acquire() as db:
        batch = await db.fetchval(
            "update batches set blocked = true, attempts = 5, parked_at = now(), error = 'boom'"
            " where applied_at is null returning id"
        )
        await db.execute("update threads set held = true where id = $1", thread)
        await dead.discard(db, command_line(), Selection(ids=(BatchId(batch),)), "it was only a test")
    reply = await sent
    assert reply.error[:2] == (409, "readiness_blocked")
    assert [text for _, _, text in await said(client, thread)] == ["a"]


async def test_an_edit_whose_outcome_is_not_known_in_time_shows_the_run_as_it_is(
    service: Service, client: Client
) -> None:
    thread, (run,) = await queue(client, "a")
    await pause(service, paused=True)
    reply = await edit(client, thread, run, **ASYNC)
    assert reply.status == 200
    assert differences(reply.json, GOLDEN["answer_pending"], {"run": run}) == []
    TypeAdapter(answers.EditedRun).validate_json(reply.body)
    assert [text for _, _, text in await said(client, thread)] == ["a"]
    await pause(service, paused=False)

    async def edited() -> bool:
        return [text for _, _, text in await said(client, thread)] == ["edited"]

    await until(edited)


async def test_an_edit_may_be_sent_before_its_message_is_applied(service: Service, client: Client) -> None:
    thread = await client.new_thread()
    await pause(service, paused=True)
    run = (await client.send(thread, message("a"), **ASYNC)).json["events"][0]["run"]["id"]
    reply = await edit(client, thread, run, **ASYNC)
    assert (reply.status, reply.json["run"]) == (200, None)
    assert [warning["code"] for warning in reply.json["warnings"]] == ["apply_pending"]
    TypeAdapter(answers.EditedRun).validate_json(reply.body)
    sent = asyncio.create_task(edit(client, thread, run, "edited again", Prefer="wait=10"))
    await until_waiting(service, 3)
    await pause(service, paused=False)
    assert (await sent).status == 200
    assert [text for _, _, text in await said(client, thread)] == ["edited again"]


async def test_an_edit_that_races_the_lease_is_read_by_the_runner_or_refused(service: Service, client: Client) -> None:
    for _ in range(30):
        thread, (run,) = await queue(client, "a")
        async with service.pool.acquire() as db:
            sent = asyncio.create_task(edit(client, thread, run))
            async with asyncio.timeout(10):
                await report(db, ThreadId(Ulid(thread)), RunLeased(RunId(Ulid(run))))
            read = await said(client, thread)  # what a runner reads that has the run now
        reply = await sent
        assert [text for _, _, text in read] == ["edited" if reply.status == 200 else "a"]
        assert await said(client, thread) == read
        assert reply.status == 200 or reply.error == STARTED


async def until_waiting(service: Service, count: int) -> None:
    """Waits until so many batches are accepted and not applied."""

    async def there() -> bool:
        found: int = await service.pool.fetchval("select count(*) from batches where applied_at is null")
        return found >= count

    await until(there)
