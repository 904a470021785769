"""What a repetition meets before its first request is settled, or where that was refused; and OpenAI's own client,
which repeats by itself what gets lost.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai
import pytest

from shared import accounts, agents, ids
from shared.models import TokenKind
from shared.settings import Settings
from tests.agents import Stage
from tests.contract.openai_calls import post
from tests.contract.openai_client import call, refusal, sdk
from tests.pipeline import running_crew
from tests.proxy import Wire, wire_to
from tests.service import Client, Reply, running_service
from tests.watch import until

pytestmark = [
    pytest.mark.filterwarnings("ignore:The Assistants API is deprecated"),
    pytest.mark.slow,
    pytest.mark.dialect,
]

KEY = {"Idempotency_Key": "order-1"}
SAME = {"Idempotency-Key": "order-1"}
HELLO = {"role": "user", "content": "hello"}
ASYNC = {"Prefer": "respond-async"}


@pytest.fixture
async def client(stage: Stage) -> Client:
    return stage.client


@pytest.fixture
async def wire(client: Client) -> AsyncIterator[Wire]:
    async with wire_to(client.url) as wire:
        yield wire


@pytest.fixture
async def lossy(client: Client, wire: Wire) -> AsyncIterator[Any]:
    """`beta.threads` of a client whose answers get lost on the way; it repeats its requests by itself, as it comes."""
    async with sdk(replace(client, url=f"http://127.0.0.1:{urlsplit(wire.url).port}")) as made:
        yield made.beta.threads


async def settled(client: Client, path: str, body: Any, **headers: str) -> Reply:
    """The first answer that is not that the first request is under way."""

    async def there() -> Reply | None:
        reply = await post(client, path, body, **headers)
        return None if reply.status == 409 else reply

    return await until(there)


async def test_a_message_whose_answer_was_lost_is_added_once_by_the_clients_own_repetition(
    lossy: Any, wire: Wire, threads: Any
) -> None:
    thread = await threads.create()
    wire.lose_answer_to(b"/messages")
    made = await lossy.messages.create(thread.id, **HELLO, extra_headers=SAME)
    assert (wire.lost, (await threads.messages.list(thread.id)).data) == (1, [made])


async def test_without_a_key_the_clients_own_repetition_is_another_message(
    lossy: Any, wire: Wire, threads: Any
) -> None:
    """What the test above would see if nothing were done about it."""
    thread = await threads.create()
    wire.lose_answer_to(b"/messages")
    await lossy.messages.create(thread.id, **HELLO)
    assert (wire.lost, len((await threads.messages.list(thread.id)).data)) == (1, 2)


async def test_a_run_whose_answer_was_lost_is_started_once(
    lossy: Any, wire: Wire, threads: Any, client: Client
) -> None:
    thread = await threads.create(messages=[HELLO])
    wire.lose_answer_to(b"/runs")
    run = await lossy.runs.create(thread.id, assistant_id=client.agent, extra_headers=SAME)
    assert (wire.lost, run.status) == (1, "queued")
    done = await threads.runs.poll(run.id, thread_id=thread.id)
    assert (await threads.runs.list(thread.id)).data == [done]


async def test_a_stream_that_was_lost_before_it_began_is_followed_by_the_repetition(
    lossy: Any, wire: Wire, threads: Any, client: Client
) -> None:
    wire.lose_answer_to(b"/v1/threads/runs")
    given = {"assistant_id": client.agent, "thread": {"messages": [HELLO]}}
    async with lossy.create_and_run_stream(**given, extra_headers=SAME) as stream:
        events = [event.event async for event in stream]
        run = await stream.get_final_run()
    assert (wire.lost, events[0], events[-1]) == (1, "thread.created", "thread.run.completed")
    assert (await threads.runs.list(run.thread_id)).data == [run]


async def test_edits_and_ends_whose_answers_were_lost_are_not_missing_to_the_repetition(
    lossy: Any, wire: Wire, threads: Any
) -> None:
    thread = await threads.create(messages=[HELLO])
    (message,) = (await threads.messages.list(thread.id)).data
    wire.lose_answer_to(b"POST /v1/threads/")
    edited = await lossy.messages.update(
        message.id, thread_id=thread.id, metadata={"a": "1"}, extra_headers={"Idempotency-Key": "edit"}
    )
    wire.lose_answer_to(b"DELETE ")
    removed = await lossy.messages.delete(message.id, thread_id=thread.id, extra_headers={"Idempotency-Key": "gone"})
    wire.lose_answer_to(b"DELETE ")
    gone = await lossy.delete(thread.id, extra_headers={"Idempotency-Key": "all"})
    assert (wire.lost, edited.metadata, removed.deleted, gone.deleted) == (3, {"a": "1"}, True, True)


async def test_while_the_first_request_is_under_way_the_client_comes_back_by_itself(settings: Settings) -> None:
    """The one 409 of this dialect: the first request is accepted, and a worker comes once the client was told so."""
    told = asyncio.Event()

    async def look(response: httpx2.Response) -> None:
        if response.status_code == 409:
            assert response.headers["retry-after"] == "2"
            told.set()

    async with running_service(settings, worker=False) as service:
        client = await service.client("acme")
        thread = (await post(client, "/v1/threads", None, **ASYNC)).json["id"]
        pending = await post(client, f"/v1/threads/{thread}/messages", HELLO, **KEY, **ASYNC)
        async with (
            httpx2.AsyncClient(event_hooks={"response": [look]}) as http,
            sdk(client, http_client=http) as repeating,
            asyncio.timeout(20),
        ):
            messages: Any = repeating.beta.threads.messages
            asked = asyncio.create_task(messages.create(thread, **HELLO, extra_headers=SAME))
            await told.wait()
            async with running_crew(settings):
                made = await asked
    assert (pending.json["status"], pending.json["id"]) == ("in_progress", made.id)
    assert made.status == "completed"


async def test_what_was_answered_before_it_was_applied_is_told_again_as_it_was_applied(settings: Settings) -> None:
    async with running_service(settings, worker=False) as service:
        client = await service.client("acme")
        thread = (await post(client, "/v1/threads", {"messages": [HELLO]}, **ASYNC)).json["id"]
        path = f"/v1/threads/{thread}"
        routes: list[tuple[str, Any]] = [
            (f"/threads/{thread}/messages", HELLO),
            (f"{path}/runs", {"assistant_id": client.agent}),
            ("/v1/threads/runs", {"assistant_id": client.agent}),
            ("/v1/threads", {"metadata": {"a": "1"}}),
        ]
        first = [await post(client, route, body, Idempotency_Key=route, Prefer="wait=0") for route, body in routes]
        edit = await post(client, path, {"metadata": {"b": "2"}}, **KEY, **ASYNC)
        assert (refusal(edit)[0], edit.headers["retry-after"]) == (503, "2")
        for route, body in routes:
            reply = await post(client, route, body, Idempotency_Key=route)
            assert (refusal(reply)[0], reply.json["error"]["code"]) == (409, "idempotency_conflict")
            assert reply.headers["retry-after"] == "2"
        async with running_crew(settings):
            again = [await settled(client, route, body, Idempotency_Key=route) for route, body in routes]
            edited = await settled(client, path, {"metadata": {"b": "2"}}, **KEY)
    assert [reply.headers["idempotency-replayed"] for reply in (*again, edited)] == ["true"] * 5
    assert [reply.json["id"] for reply in again] == [reply.json["id"] for reply in first]
    assert [reply.json.get("status") for reply in first] == ["in_progress", "queued", "queued", None]
    assert [reply.json.get("status") for reply in again] == ["completed", "queued", "queued", None]
    assert again[2].json["thread_id"] == first[2].json["thread_id"]
    assert edited.json["metadata"] == {"b": "2"}


async def test_a_refusal_of_the_threads_order_is_told_again_by_its_key(threads: Any, client: Client) -> None:
    thread = await threads.create(messages=[{"role": "user", "content": "/slow 30"}])
    run = await threads.runs.create(thread.id, assistant_id=client.agent)
    path, body = f"/v1/threads/{thread.id}/runs", {"assistant_id": client.agent}
    busy = await post(client, path, body, **KEY)
    assert refusal(busy)[0] == 400
    await threads.runs.cancel(run.id, thread_id=thread.id)
    again = await post(client, path, body, **KEY)
    assert (again.status, again.body) == (400, busy.body)
    assert ["idempotency-replayed" in reply.headers for reply in (busy, again)] == [False, True]
    assert (await post(client, path, body, Idempotency_Key="order-2")).status == 200
    with pytest.raises(openai.BadRequestError):  # of which the client makes no second try
        await threads.runs.create(thread.id, **body, extra_headers=SAME)


async def test_what_was_refused_at_the_door_reserves_nothing(stage: Stage, threads: Any, client: Client) -> None:
    async with stage.service.pool.acquire() as db:
        closed = await agents.create_agent(db, client.account, "closed", "echo")
    thread = (await threads.create()).id
    path = f"/v1/threads/{thread}"
    await client.call("POST", f"/threads/{thread}/archive")
    for status, route, body in (
        (400, f"{path}/messages", HELLO),
        (400, f"{path}/messages", {"role": "nobody", "content": "hello"}),
        (404, f"/v1/threads/{ids.mint()}/messages", HELLO),
        (404, f"{path}/messages/{ids.mint()}", {"metadata": {"a": "1"}}),
        (404, f"{path}/runs/{ids.mint()}/cancel", None),
        (400, "/v1/threads/runs", {"assistant_id": closed.id}),
        (404, "/v1/threads/runs", {"assistant_id": ids.mint()}),
    ):
        reply = await post(client, route, body, **KEY)
        assert (refusal(reply)[0], reply.json["error"]["code"] != "idempotency_conflict") == (status, True)
    await client.call("POST", f"/threads/{thread}/unarchive")
    made = await post(client, f"{path}/messages", HELLO, **KEY)
    assert (made.status, "idempotency-replayed" in made.headers) == (200, False)


async def test_a_key_belongs_to_its_token_and_is_trimmed(stage: Stage, client: Client) -> None:
    async with stage.service.pool.acquire() as db:
        token = await accounts.create_token(db, client.account, TokenKind.SERVICE_TOKEN)
    first = await post(client, "/v1/threads", None, **KEY)
    assert (await post(client, "/v1/threads", None, Idempotency_Key="  order-1 ")).body == first.body
    for other in (client.using(token.secret.text), await stage.service.client("globex")):
        made = await post(other, "/v1/threads", None, **KEY)
        assert (made.status, made.json["id"] != first.json["id"]) == (200, True)


async def test_a_key_that_is_none_is_refused_and_nothing_done(client: Client, threads: Any) -> None:
    thread = (await threads.create()).id
    path = f"/v1/threads/{thread}"
    for key in ("", "   ", "k" * 129, "a\u00a0b"):
        for method, route, body in (
            ("POST", f"{path}/messages", HELLO),
            ("POST", "/v1/threads", {}),
            ("POST", path, {"metadata": {"a": "1"}}),
            ("POST", f"{path}/runs", {"assistant_id": client.agent}),
            ("DELETE", path, None),
        ):
            reply = await call(client, method, route, body, Idempotency_Key=key)
            assert refusal(reply)[0] == 400
            assert "Idempotency-Key" in reply.json["error"]["message"]
    assert (await threads.retrieve(thread)).metadata == {}
    assert (await threads.messages.list(thread)).data == []
