"""What is common to all routes: unknown ones, methods, request ids, waiting, and health."""

import asyncio

from pydantic import TypeAdapter

from api.dialects.mosoo import answers
from shared import ids
from shared.ids import AccountId, AgentId, TokenId
from shared.settings import Settings
from tests.service import Client, Reply, Service, message, running_service

ASYNC = {"Prefer": "respond-async"}
NOWHERE = "postgresql://localhost:1/nowhere"


async def test_unknown_routes_and_methods_answer_in_the_envelope(client: Client) -> None:
    for method, path in [
        ("GET", "/nothing"),
        ("POST", "/files"),
        ("GET", f"/nothing/{ids.mint()}"),
        ("GET", "/threads/"),
    ]:
        assert (await client.call(method, path)).error == (404, "not_found", "There is no such route.")
    reply = await client.call("PUT", f"/threads/{ids.mint()}")
    assert reply.error == (405, "invalid_request", "This path does not take that method.")
    assert set(reply.headers["allow"].split(",")) == {"DELETE", "GET", "HEAD"}
    assert (await client.call("PURGE", f"/threads/{ids.mint()}")).status == 405


async def test_a_sane_request_id_is_taken_over(client: Client) -> None:
    for given in ["abc-123", "a" * 128, "01J00000000000000000000009"]:
        for path in (f"/threads/{ids.mint()}", "/nothing"):
            assert (await client.call("GET", path, X_Request_Id=given)).headers["x-request-id"] == given


async def test_another_request_id_is_minted(client: Client) -> None:
    given = ["", "a" * 129, "two words", "<script>", "é"]
    replies = [await client.call("GET", "/nothing", X_Request_Id=text) for text in given]
    replies += [await client.call("GET", "/nothing") for _ in range(3)]
    minted = [reply.headers["x-request-id"] for reply in replies]
    assert not set(minted) & set(given)
    assert len(set(minted)) == len(minted)


async def test_a_post_waits_for_its_outcome_unless_it_would_rather_not(client: Client) -> None:
    thread = await client.new_thread()
    for prefer, codes in {
        "wait=5": [],
        "WAIT=5": [],
        "wait=nonsense": [],
        "handling=lenient, wait=5": [],
        "respond-async, wait=5": [],
        "respond-async": ["apply_pending"],
        "Respond-Async": ["apply_pending"],
        "wait=0": ["apply_pending"],
        "wait=0, respond-async": ["apply_pending"],
    }.items():
        reply = await client.send(
            thread, {"type": "permission_decision", "requestId": "r", "decision": "allow_once"}, Prefer=prefer
        )
        given = [warning["code"] for warning in reply.json["warnings"]]
        assert (prefer, [code for code in given if code == "apply_pending"]) == (prefer, codes)


async def test_a_wait_ends_when_its_time_is_up(settings: Settings) -> None:
    quick = settings.model_copy(update={"wait_default": 0.2, "wait_limit": 0.4})
    async with running_service(quick, worker=False) as service:
        client = await service.client("acme")
        loop = asyncio.get_running_loop()
        started = loop.time()
        created = await client.create("hello")
        default = loop.time() - started
        assert [warning["code"] for warning in created.json["warnings"]] == ["apply_pending"]
        assert default >= 0.2
        archived = await client.call("POST", f"/threads/{created.json['thread']['id']}/archive", Prefer="wait=30")
        limited = loop.time() - started - default
        assert archived.json["ok"] is True
        assert [warning["code"] for warning in archived.json["warnings"]] == ["apply_pending"]
        assert 0.4 <= limited < 10
        TypeAdapter(answers.Done).validate_json(archived.body)
        TypeAdapter(answers.CreatedThread).validate_json(created.body)


async def test_an_answer_is_as_the_document_says(client: Client) -> None:
    created = await client.create("hello")
    TypeAdapter(answers.CreatedThread).validate_json(created.body)
    sent = await client.send(created.json["thread"]["id"], message("a"), {"type": "user_interrupt"})
    TypeAdapter(answers.SentEvents).validate_json(sent.body)
    assert sent.headers["content-type"] == "application/json; charset=utf-8"
    assert sent.headers["server"] == "threadmill"


async def health(service: Service, path: str) -> Reply:
    async with service.session.get(f"{service.url}{path}") as response:
        return Reply(response.status, await response.read(), dict(response.headers))


async def test_a_healthy_api_says_so(service: Service, client: Client) -> None:
    assert (await health(service, "/healthz")).json == {"status": "ok"}
    ready = await health(service, "/readyz")
    assert (ready.status, ready.json) == (200, {"status": "ready", "postgres": "ok", "redis": "ok"})
    await client.new_thread()
    metrics = (await health(service, "/metrics")).body.decode()
    assert 'threadmill_requests_total{status="201"}' in metrics
    assert "threadmill_accepted_batches_total" in metrics


async def test_an_api_without_redis_is_degraded_and_accepts(settings: Settings) -> None:
    lost = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"})
    async with running_service(lost, worker=False) as service:
        ready = await health(service, "/readyz")
        assert (ready.status, ready.json) == (200, {"status": "degraded", "postgres": "ok", "redis": "away"})
        client = await service.client("acme")
        assert (await client.create("hello", **ASYNC)).status == 201


async def test_an_api_that_starts_without_postgres_answers_503(settings: Settings) -> None:
    lost = settings.model_copy(update={"database_url": NOWHERE})
    async with running_service(lost, worker=False) as service:
        assert (await health(service, "/healthz")).status == 200
        ready = await health(service, "/readyz")
        assert (ready.status, ready.json["status"], ready.json["postgres"]) == (503, "unavailable", "away")
        account, token, agent = AccountId(ids.mint()), TokenId(ids.mint()), AgentId(ids.mint())
        client = Client(service.session, service.url, account, token, "mst_" + "A" * 43, agent)
        for reply in (await client.create("hello"), await client.call("GET", f"/threads/{ids.mint()}")):
            assert reply.error[:2] == (503, "service_inactive")
            assert reply.headers["retry-after"] == "1"
