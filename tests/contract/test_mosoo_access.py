"""Who may do what: tokens in every form, and another account's things, of which `test_isolation` has all."""

from typing import Any

import pytest

from api.dialects.mosoo.operations import OPERATIONS
from api.dialects.operations import Operation
from shared import accounts, ids
from shared.settings import Settings
from tests.service import FORM, Client, Reply, Service, form_of, message, running_service

GUARDED = [operation for operation in OPERATIONS if operation.token]
UNAUTHENTICATED = (
    401,
    "unauthenticated",
    "The token is missing, unknown or revoked: send `Authorization: Bearer <token>`.",
)


def body(operation: Operation) -> Any:
    """A body that its route takes."""
    if operation.upload:
        return form_of(b"hello")
    if operation.body is None:
        return None
    if operation.method == "patch":
        return {"text": "hello"}
    return {"events": [message()]} if operation.path.endswith("/events") else {}


async def call(client: Client, operation: Operation, **names: str) -> Reply:
    given = {"agentId": client.agent, "threadId": ids.mint(), "runId": ids.mint(), "fileId": ids.mint()} | names
    path, fields = operation.path.format(**given), FORM if operation.upload else {}
    return await client.call(operation.method.upper(), path, body(operation), **fields)


async def test_every_route_wants_a_token(client: Client) -> None:
    for operation in GUARDED:
        reply = await call(client.using(""), operation)
        assert reply.error == UNAUTHENTICATED
        assert reply.headers["www-authenticate"] == "Bearer"


async def test_the_token_is_looked_at_before_path_and_body(client: Client) -> None:
    nobody = client.using("mst_" + "A" * 43)
    assert (await nobody.call("GET", "/threads/x")).status == 401
    assert (await nobody.call("POST", f"/threads/{ids.mint()}/events", b"{")).status == 401


async def test_a_token_may_come_in_these_forms(client: Client) -> None:
    thread = await client.new_thread()
    bearer = ["Bearer {0}", "bearer {0}", "BEARER   {0}"]
    for form in [*bearer, 'Snowflake Token="{0}"', 'snowflake token="{0}"']:
        header = form.format(client.token)
        assert (await client.call("GET", f"/threads/{thread}", Authorization=header)).status == 200


async def test_a_token_in_another_form_is_none(client: Client) -> None:
    thread = await client.new_thread()
    forms = ["{0}", "Basic {0}", "Bearer {0} x", "Bearer", 'Bearer "{0}"', "Token {0}", "Bearer {0}x", "Bearer {1}"]
    for form in [*forms, 'Snowflake Token="{0}', "Bearer ", "Bearer \u00e9{0}"]:
        header = form.format(client.token, client.token[:-1])
        reply = await client.call("GET", f"/threads/{thread}", Authorization=header)
        assert (form, reply.error) == (form, UNAUTHENTICATED)
    url = f"/threads/{thread}?token={client.token}&access_token={client.token}"
    assert (await client.using("").call("GET", url)).status == 401


async def test_imported_tokens_are_taken(service: Service, client: Client) -> None:
    thread = await client.new_thread()
    async with service.pool.acquire() as db:
        for secret in ("grt_pat_" + "a" * 32, "grt_svc_" + "b" * 32):
            await accounts.import_token(db, client.account, secret)
            assert (await client.using(secret).call("GET", f"/threads/{thread}")).status == 200


async def test_a_revoked_token_ends_within_the_time_it_is_trusted(settings: Settings) -> None:
    async with running_service(settings.model_copy(update={"token_cache": 0.2}), worker=False) as service:
        client = await service.client("acme")
        path = f"/agents/{client.agent}/threads"
        assert (await client.call("GET", path)).status == 200
        async with service.pool.acquire() as db:
            await accounts.revoke_token(db, client.token_id)
        while (reply := await client.call("GET", path)).status == 200:
            pass
    assert reply.error == UNAUTHENTICATED


def test_a_token_is_never_trusted_longer_than_the_contract_allows() -> None:
    assert Settings().token_cache <= 30
    with pytest.raises(ValueError, match="less than or equal to 30"):
        Settings(token_cache=31)


async def test_a_token_works_as_soon_as_it_is_made(service: Service, client: Client) -> None:
    made = "grt_pat_" + "c" * 32
    path = f"/agents/{client.agent}/threads"
    assert (await client.using(made).call("GET", path)).status == 401
    async with service.pool.acquire() as db:
        await accounts.import_token(db, client.account, made)
    while (reply := await client.using(made).call("GET", path)).status == 401:
        pass
    assert reply.status == 200


async def test_another_account_s_run_is_unknown_in_one_s_own_thread(client: Client, stranger: Client) -> None:
    run = (await client.create("mine")).json["run"]["id"]
    thread = await stranger.new_thread()
    unknown = await stranger.call("GET", f"/threads/{thread}/runs/{ids.mint()}")
    theirs = await stranger.call("GET", f"/threads/{thread}/runs/{run}")
    assert (theirs.status, theirs.body) == (404, unknown.body)
    reply = await stranger.send(thread, {"type": "user_interrupt", "runId": run})
    assert reply.json["warnings"][0]["code"] == "run_not_found"


async def test_another_account_s_agent_is_forbidden_and_a_random_one_unknown(client: Client, stranger: Client) -> None:
    path = f"/agents/{client.agent}/threads"
    for method in ("POST", "GET"):
        sent: dict[str, Any] | None = {} if method == "POST" else None
        assert (await stranger.call(method, path, sent)).error[:2] == (403, "forbidden")
        random = await stranger.call(method, f"/agents/{ids.mint()}/threads", sent)
        assert random.error == (404, "not_found", "There is no such agent.")


async def test_another_account_s_thread_is_no_cursor(client: Client, stranger: Client) -> None:
    thread = await client.new_thread()
    reply = await stranger.call("GET", f"/agents/{stranger.agent}/threads?after={thread}")
    random = await stranger.call("GET", f"/agents/{stranger.agent}/threads?after={ids.mint()}")
    assert (reply.status, reply.body) == (404, random.body)


async def test_a_malformed_id_is_named_on_every_route(client: Client) -> None:
    for operation in GUARDED:
        for name in ("agentId", "threadId", "runId", "fileId"):
            if name in operation.path:
                reply = await call(client, operation, **{name: "not-an-id"})
                assert reply.error[:2] == (400, "invalid_request")
                assert reply.error[2].startswith(name)
