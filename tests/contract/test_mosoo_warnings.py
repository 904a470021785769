"""Every warning of Mosoo v1 over HTTP: its code, its event, the run that it names, and what `run` is then."""

from pathlib import Path
from typing import Any

import pytest

from shared import ids
from shared.audit import command_line
from shared.effects import WarningCode
from shared.ids import BatchId
from shared.inspect.actions import dead
from shared.inspect.deadletters import Selection
from shared.models import BusyPolicy
from shared.settings import Settings
from tests.pipeline import PARTITIONS, running_crew
from tests.service import Client, Reply, Service, message, running_service

INTERRUPT = {"type": "user_interrupt"}
KEY = {"Idempotency_Key": "k"}
ASYNC = {"Prefer": "respond-async"}


def decision(request: str) -> dict[str, Any]:
    return {"type": "permission_decision", "requestId": request, "decision": "allow_once"}


def runs(reply: Reply) -> list[str | None]:
    """The run of each event's result."""
    return [event["run"] and event["run"]["id"] for event in reply.json["events"]]


def warned(reply: Reply) -> list[tuple[str, int, str | None]]:
    """Code, event and run of each warning; each has a message, and no other field."""
    assert all(warning["message"] for warning in reply.json["warnings"])
    fields = {"code", "message", "eventIndex", "runId"}
    assert all(set(warning) | {"runId"} == fields for warning in reply.json["warnings"])
    return [(w["code"], w["eventIndex"], w.get("runId")) for w in reply.json["warnings"]]


async def test_a_message_on_a_busy_thread_is_queued_behind_its_current_run(client: Client) -> None:
    thread = await client.new_thread()
    reply = await client.send(thread, message("a"), message("b"), message("c"))
    first, second, third = runs(reply)
    assert warned(reply) == [("queued_behind", 1, first), ("queued_behind", 2, first)]
    assert len({first, second, third}) == 3


async def test_a_message_that_would_rather_be_rejected_starts_nothing(client: Client) -> None:
    thread = await client.new_thread()
    reply = await client.send(thread, message("a"), message("b", on_busy="reject"))
    first, second = runs(reply)
    assert (second, warned(reply)) == (None, [("run_active", 1, first)])


async def test_the_agent_s_policy_holds_where_a_message_names_none(service: Service) -> None:
    client = await service.client("strict", busy_policy=BusyPolicy.REJECT)
    reply = await client.send(await client.new_thread(), message("a"), message("b"), message("c", on_busy="queue"))
    first, second, third = runs(reply)
    assert warned(reply) == [("run_active", 1, first), ("queued_behind", 2, first)]
    assert second is None
    assert third is not None


async def test_an_interrupt_without_a_run_to_stop_is_told_so(client: Client) -> None:
    reply = await client.send(await client.new_thread(), INTERRUPT)
    assert (runs(reply), warned(reply)) == ([None], [("no_active_run", 0, None)])


async def test_an_interrupt_of_a_finished_run_names_it(client: Client) -> None:
    thread = await client.new_thread()
    (run,) = runs(await client.send(thread, message("a")))
    await client.send(thread, INTERRUPT)
    reply = await client.send(thread, {**INTERRUPT, "runId": run})
    assert (runs(reply), warned(reply)) == ([run], [("run_already_finished", 0, run)])
    assert reply.json["events"][0]["run"]["status"] == "cancelled"


async def test_an_interrupt_of_an_unknown_run_finds_none(client: Client) -> None:
    unknown = ids.mint()
    reply = await client.send(await client.new_thread(), {**INTERRUPT, "runId": unknown})
    assert (runs(reply), warned(reply)) == ([None], [("run_not_found", 0, unknown)])


async def test_a_decision_on_an_unknown_request_is_a_warning_whatever_its_form(client: Client) -> None:
    thread = await client.new_thread()
    reply = await client.send(thread, decision(ids.mint()), decision("'; drop table runs; --"), decision("x" * 255))
    assert runs(reply) == [None] * 3
    assert warned(reply) == [("permission_not_found", n, None) for n in range(3)]


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ("allowed", "permission_already_decided"),
        ("rejected", "permission_already_decided"),
        ("expired", "permission_expired"),
    ],
)
async def test_a_decision_that_comes_too_late_names_the_run(
    service: Service, client: Client, state: str, code: str
) -> None:
    thread = await client.new_thread()
    (run,) = runs(await client.send(thread, message("a")))
    request = await waiting(service, thread, str(run), state)
    reply = await client.send(thread, decision(request))
    assert (runs(reply), warned(reply)) == ([run], [(code, 0, run)])


async def test_a_decision_on_an_open_request_has_no_warning(service: Service, client: Client) -> None:
    thread = await client.new_thread()
    (run,) = runs(await client.send(thread, message("a")))
    reply = await client.send(thread, decision(await waiting(service, thread, str(run), "pending")))
    assert (runs(reply), warned(reply)) == ([run], [])


async def test_a_message_that_interrupts_a_question_is_told_that_it_is_superseded(
    service: Service, client: Client
) -> None:
    thread = await client.new_thread()
    (asking,) = runs(await client.send(thread, message("a")))
    await waiting(service, thread, str(asking), "pending")
    reply = await client.send(thread, message("never mind", on_busy="interrupt"))
    assert warned(reply) == [("permission_superseded", 0, asking)]
    assert runs(reply) != [asking]


async def test_the_hundred_and_first_queued_message_is_not_taken(client: Client) -> None:
    thread = await client.new_thread()
    await client.send(thread, *[message(f"m{n}") for n in range(100)])
    reply = await client.send(thread, message("one too many"))
    assert (runs(reply), warned(reply)) == ([None], [("queue_full", 0, None)])


async def test_a_request_seen_before_returns_its_first_run(client: Client) -> None:
    thread = await client.new_thread()
    (first,) = runs(await client.send(thread, message("a", clientRequestId="r-1")))
    reply = await client.send(thread, message("b", requestId="r-1"))
    assert (runs(reply), warned(reply)) == ([first], [("duplicate_request", 0, first)])
    assert reply.json["events"][0]["clientRequestId"] == reply.json["events"][0]["requestId"] == "r-1"


@pytest.mark.parametrize(
    ("method", "path", "code"), [("POST", "/archive", "thread_archived"), ("DELETE", "", "thread_deleted")]
)
async def test_a_batch_accepted_before_an_end_and_applied_behind_it_is_told(
    settings: Settings, method: str, path: str, code: str
) -> None:
    async with running_service(settings, worker=False) as service:
        client = await service.client("acme")
        thread = (await client.create(None, **ASYNC)).json["thread"]["id"]
        assert (await client.call(method, f"/threads/{thread}{path}", **ASYNC)).status == 200
        assert (await client.send(thread, message("too late"), **ASYNC, **KEY)).status == 200
        async with running_crew(settings):
            reply = await outcome(client, thread, message("too late"))
    assert (runs(reply), warned(reply)) == ([None], [(code, 0, None)])


async def test_a_discarded_batch_says_so_to_its_sender(settings: Settings) -> None:
    async with running_service(settings, worker=False) as service:
        client = await service.client("acme")
        thread = (await client.create(None, **ASYNC)).json["thread"]["id"]
        await client.send(thread, message("poison"), **ASYNC, **KEY)
        batch = await park(service, thread)
        parked = await client.send(thread, message("poison"), **KEY)
        assert parked.error[:2] == (409, "idempotency_conflict")
        assert "parked as a dead letter" in parked.error[2]
        async with service.pool.acquire() as db:
            await dead.discard(db, command_line(), Selection(ids=(BatchId(batch),)), "it was only a test")
        reply = await outcome(client, thread, message("poison"))
    assert (runs(reply), [code for code, _, _ in warned(reply)]) == ([None], ["batch_discarded"])


async def test_an_outcome_that_is_not_known_in_time_is_pending(settings: Settings) -> None:
    async with running_service(settings, worker=False) as service:
        client = await service.client("acme")
        created = await client.create("hello", Prefer="wait=0")
        assert created.status == 201
        assert created.json["run"]["status"] == "queued"
        assert created.json["run"]["createdAt"] is None
        assert [w["code"] for w in created.json["warnings"]] == ["apply_pending"]
        events = [
            message("a"),
            message("b", on_busy="interrupt"),
            message("c", on_busy="reject"),
            message("d", on_busy="steer"),
            message("e", clientRequestId="r-1"),
            INTERRUPT,
        ]
        reply = await client.send(created.json["thread"]["id"], *events, **ASYNC)
    assert reply.status == 200
    assert [run is not None for run in runs(reply)] == [True, True, False, False, False, False]
    assert warned(reply) == [("apply_pending", 0, None)]


def test_every_code_of_a_batch_is_met_in_this_file() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    # Of an edit, an error there; of an operator; of other dialects.
    edits = {WarningCode.RUN_STARTED, WarningCode.RUN_NOT_FINISHED}
    dialects = {WarningCode.AGENT_BOUND, WarningCode.MESSAGE_NOT_FOUND, WarningCode.MESSAGE_IN_USE}
    dialects |= {WarningCode.METADATA_FULL, WarningCode.UNANSWERED_FULL}
    assert {code for code in WarningCode if f'"{code.value}"' not in text} == edits | dialects


async def outcome(client: Client, thread: str, *events: dict[str, Any]) -> Reply:
    """The outcome of a batch sent with KEY: asked for until it is there."""
    while (reply := await client.send(thread, *events, **KEY)).status == 409:
        assert reply.headers["retry-after"] == "2"
    assert reply.headers["idempotency-replayed"] == "true"
    return reply


async def park(service: Service, thread: str) -> int:
    """Makes a dead letter of a thread's last batch, as a worker does after five tries."""
    async with service.pool.acquire() as db:
        batch: int = await db.fetchval(
            "update batches set blocked = true, attempts = 5, parked_at = now(), error = 'boom'"
            " where id = (select max(id) from batches where thread = $1) returning id",
            thread,
        )
        await db.execute("update threads set held = true where id = $1", thread)
    return batch


async def waiting(service: Service, thread: str, run: str, state: str) -> str:
    """Lets a run wait for a permission whose request is in a state; returns the request's id."""
    request = ids.mint()
    partition = ids.partition_of(thread, PARTITIONS)
    async with service.pool.acquire() as db:
        await db.execute(
            "update runs set status = 'waiting_input', started_at = created_at, updated_at = now()"
            " where partition = $1 and thread = $2 and id = $3",
            *(partition, thread, run),
        )
        await db.execute(
            "insert into permission_requests (partition, thread, id, run, state, title, created_at, decided_at)"
            " values ($1, $2, $3, $4, $5, 'May I?', now(), case when $5 <> 'pending' then now() end)",
            *(partition, thread, request, run, state),
        )
    return request
