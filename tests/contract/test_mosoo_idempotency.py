"""Idempotency-Key over HTTP: replays, conflicts, retries under way, what a refusal reserves."""

import asyncio

import pytest

from shared import accounts, agents, ids
from shared.models import TokenKind
from shared.settings import Settings
from tests.pipeline import running_crew
from tests.service import Client, Service, message, running_api, running_service

INTERRUPT = {"type": "user_interrupt"}
KEY = {"Idempotency_Key": "order-1"}
ASYNC = {"Prefer": "respond-async"}


async def test_a_retried_create_is_the_original_answer_and_makes_one_thread(client: Client) -> None:
    first = await client.create("hello", **KEY)
    second = await client.create("hello", **KEY)
    assert (first.status, first.body) == (second.status, second.body) == (201, first.body)
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    threads = (await client.call("GET", f"/agents/{client.agent}/threads")).json["threads"]
    assert len(threads) == 1


async def test_a_create_without_an_input_can_be_retried(client: Client) -> None:
    assert (await client.create(None, **KEY)).body == (await client.create(None, **KEY)).body


async def test_a_retried_batch_is_the_original_answer_and_starts_one_run(client: Client) -> None:
    thread = await client.new_thread()
    first = await client.send(thread, message("a"), **KEY)
    await client.send(thread, message("b"))
    second = await client.send(thread, message("a"), **KEY)
    assert (second.status, second.body) == (200, first.body)
    assert len((await client.call("GET", f"/threads/{thread}/runs")).json["runs"]) == 2


async def test_neither_key_order_nor_white_space_nor_generation_make_another_request(client: Client) -> None:
    thread = await client.new_thread()
    path = f"/threads/{thread}/events"
    bodies = [
        b'{"events":[{"type":"user_message","text":"a","clientRequestId":"r"}]}',
        b'{ "events": [ { "clientRequestId": "r", "text": "\\u0061", "type": "user_message" } ] }\n',
        b'{"events":[{"type":"user_message","text":"a","requestId":"r","resources":null}]}',
    ]
    answers = [await client.call("POST", path, body, **KEY) for body in bodies]
    assert {answer.body for answer in answers} == {answers[0].body}
    lower = await client.call("POST", path.replace(thread, thread.lower()), bodies[0], **KEY)
    assert lower.body == answers[0].body


async def test_a_key_used_for_another_body_or_route_is_a_conflict(client: Client) -> None:
    thread, other = await client.new_thread(), await client.new_thread()
    await client.send(thread, message("a"), **KEY)
    for conflict in (
        await client.send(thread, message("b"), **KEY),
        await client.send(other, message("a"), **KEY),
        await client.create("a", **KEY),
    ):
        assert conflict.error == (409, "idempotency_conflict", "The Idempotency-Key was used for another request.")
        assert "retry-after" not in conflict.headers


async def test_a_key_belongs_to_its_token(service: Service, client: Client) -> None:
    async with service.pool.acquire() as db:
        made = await accounts.create_token(db, client.account, TokenKind.SERVICE_TOKEN)
    thread = await client.new_thread()
    first = await client.send(thread, message("a"), **KEY)
    second = await client.using(made.secret.text).send(thread, message("a"), **KEY)
    assert second.status == 200
    assert first.json["events"][0]["run"]["id"] != second.json["events"][0]["run"]["id"]


async def test_a_retry_while_the_original_is_under_way_is_told_to_come_back(settings: Settings) -> None:
    async with running_service(settings, worker=False) as service:
        client = await service.client("acme")
        pending = await client.create("hello", **KEY, **ASYNC)
        retry = await client.create("hello", **KEY, **ASYNC)
        assert retry.error[:2] == (409, "idempotency_conflict")
        assert retry.headers["retry-after"] == "2"
        async with running_crew(settings):
            while (replay := await client.create("hello", **KEY)).status == 409:
                pass
    assert replay.status == 201
    assert replay.json["thread"]["id"] == pending.json["thread"]["id"]
    assert replay.json["run"]["id"] == pending.json["run"]["id"]
    assert replay.json["run"]["createdAt"] is not None
    assert "warnings" not in replay.json


async def test_retries_at_the_same_moment_are_one_batch(client: Client) -> None:
    thread = await client.new_thread()
    replies = await asyncio.gather(*[client.send(thread, message("a"), **KEY) for _ in range(20)])
    assert {reply.status for reply in replies} <= {200, 409}
    taken = [reply for reply in replies if reply.status == 200]
    assert len({reply.body for reply in taken}) == 1
    assert len((await client.call("GET", f"/threads/{thread}/runs")).json["runs"]) == 1


async def test_a_replay_works_on_another_api_and_after_a_restart(settings: Settings) -> None:
    async with running_service(settings) as service:
        client = await service.client("acme")
        thread = await client.new_thread()
        first = await client.send(thread, message("a"), **KEY)
        async with running_api(settings) as url:
            other = Client(client.session, url, client.account, client.token_id, client.token, client.agent)
            assert (await other.send(thread, message("a"), **KEY)).body == first.body


@pytest.mark.parametrize("ending", [("POST", "/archive"), ("DELETE", "")])
async def test_a_replay_wins_over_an_archive_and_a_delete(client: Client, ending: tuple[str, str]) -> None:
    thread = await client.new_thread()
    first = await client.send(thread, message("a"), **KEY)
    await client.call(ending[0], f"/threads/{thread}{ending[1]}")
    assert (await client.send(thread, message("a"), **KEY)).body == first.body
    assert (await client.send(thread, message("b"), **KEY)).error[:2] == (409, "idempotency_conflict")


async def test_a_replayed_create_wins_over_an_agent_that_was_closed(service: Service, client: Client) -> None:
    first = await client.create("hello", **KEY)
    async with service.pool.acquire() as db:
        await agents.unpublish_agent(db, client.agent)
    async with running_api(service.settings) as url:  # one that does not remember the agent as it was
        late = Client(client.session, url, client.account, client.token_id, client.token, client.agent)
        assert (await late.create("hello", **KEY)).body == first.body
        assert (await late.create("other", **KEY)).error[:2] == (409, "idempotency_conflict")
        assert (await late.create("hello", Idempotency_Key="new")).error[:2] == (409, "agent_not_published")
        assert (await late.create("hello")).error[:2] == (409, "agent_not_published")


async def test_a_refused_request_reserves_nothing(client: Client) -> None:
    thread = await client.new_thread()
    await client.call("POST", f"/threads/{thread}/archive")
    assert (await client.send(thread, message("a"), **KEY)).error[:2] == (409, "readiness_blocked")
    assert (await client.send(thread, message(""), **KEY)).error[:2] == (400, "invalid_request")
    assert (await client.send(ids.mint(), message("a"), **KEY)).error[:2] == (404, "not_found")
    await client.call("POST", f"/threads/{thread}/unarchive")
    reply = await client.send(thread, message("a"), **KEY)
    assert reply.status == 200
    assert "idempotency-replayed" not in reply.headers


async def test_a_key_is_trimmed(client: Client) -> None:
    thread = await client.new_thread()
    first = await client.send(thread, INTERRUPT, Idempotency_Key="  k  ")
    assert (await client.send(thread, INTERRUPT, Idempotency_Key="k")).body == first.body


async def test_a_key_that_is_none_is_refused(client: Client) -> None:
    for key in ("", "   ", "k" * 129):
        reply = await client.create("a", Idempotency_Key=key)
        assert reply.error == (400, "invalid_request", "Idempotency-Key: one header of 1 to 128 printable characters.")
