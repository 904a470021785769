"""Limits over HTTP: rates by token and by account, in each dialect, on several apis."""

import asyncio
import json
import re
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from redis.asyncio import Redis

from api.dialects.operations import Dialect, Operation
from api.reference.files import DIALECTS
from shared.keys import Keys
from shared.settings import Settings
from tests.contract.cortex_client import RUN, THREADS, Cortex, asking
from tests.contract.limits import ASYNC, SLOW, is_refused, limit
from tests.contract.openai_client import call
from tests.service import FORM, Client, Reply, Service, form_of, message, running_api, running_service
from tests.watch import until

pytestmark = pytest.mark.usefixtures("patient")


async def test_every_dialect_refuses_in_its_words_and_only_what_was_not_refused_before(limited: Service) -> None:
    client = await limited.client("acme")
    thread, num = await client.new_thread(), await Cortex(client).new()
    body: Any
    await limit(limited, client, 1)
    assert (await client.call("GET", f"/threads/{thread}")).headers["ratelimit"] == '"account";r=0;t=1000'
    events: Any = {"events": [message()]}
    for method, path, body in (
        ("GET", f"/threads/{thread}", None),
        ("GET", f"/agents/{client.agent}/threads", None),
        ("GET", f"/threads/{thread}/events", None),
        ("GET", f"/threads/{thread}/events/stream", None),
        ("GET", f"/threads/{thread}/runs", None),
        ("POST", f"/threads/{thread}/events", events),
        ("POST", f"/agents/{client.agent}/threads", {}),
        ("POST", f"/threads/{thread}/archive", None),
        ("DELETE", f"/threads/{thread}", None),
        ("GET", "/threads/00000000000000000000000000", None),  # the rate comes before the thread
    ):
        reply = await client.call(method, path, body)
        assert is_refused(reply), (method, path, reply)
        code, said = "rate_limited", "The limit of this account is 0.001 requests a second, 1 at once: try again in "
        assert reply.error[:2] == (429, code)
        assert reply.error[2].startswith(said)
    for method, path, body in (
        ("POST", THREADS, {}),
        ("GET", THREADS, None),
        ("GET", f"{THREADS}/{num}", None),
        ("POST", f"{THREADS}/{num}", {"thread_name": "x"}),
        ("DELETE", f"{THREADS}/1", None),
        ("POST", RUN, asking("hello", stream=True)),
    ):
        reply = await Cortex(client).call(method, path, body)
        assert is_refused(reply), (method, path, reply)
        assert (reply.json["code"], reply.json["error_code"]) == ("399429", "rate_limited")
    for method, path, body in (
        ("POST", "/v1/threads", {}),
        ("GET", f"/v1/threads/{thread}", None),
        ("GET", f"/threads/{thread}/messages", None),
        ("POST", f"/v1/threads/{thread}/messages", {"role": "user", "content": "x"}),
        ("POST", f"/v1/threads/{thread}/runs", {"assistant_id": client.agent}),
        ("GET", f"/v1/threads/{thread}/runs", None),
    ):
        reply = await call(client, method, path, body)
        assert is_refused(reply), (method, path, reply)
        assert (reply.json["error"]["code"], reply.json["error"]["type"]) == ("rate_limited", "rate_limit_error")
    for reply, status in (
        (await client.using("mst_" + "x" * 43).call("GET", f"/threads/{thread}"), 401),
        (await client.call("GET", "/threads/x"), 400),
        (await client.call("POST", f"/threads/{thread}/events", b"{"), 400),
        (await client.send(thread, message(), Idempotency_Key="x" * 129), 400),
        (await Cortex(client).call("GET", f"{THREADS}/x"), 404),
        (await call(client, "GET", "/v1/threads/x"), 404),
    ):
        assert reply.status == status, reply
    assert await limited.pool.fetchval("select count(*) from batches where applied_at is null") == 0


async def test_a_replay_wins_and_uses_no_budget(limited: Service) -> None:
    client = await limited.client("acme")
    cortex = Cortex(client)
    thread, num = await client.new_thread(), await cortex.new()

    async def writes() -> Sequence[Reply]:
        return [
            await client.create("hello", Idempotency_Key="1"),
            await client.send(thread, message(), Idempotency_Key="2"),
            await cortex.call("POST", THREADS, {}, Idempotency_Key="3"),
            await cortex.call("POST", f"{THREADS}/{num}", {"thread_name": "x"}, Idempotency_Key="4"),
            await call(
                client, "POST", f"/v1/threads/{thread}/messages", {"role": "user", "content": "x"}, Idempotency_Key="5"
            ),
            await call(client, "POST", "/v1/threads", {}, Idempotency_Key="6"),
        ]

    await limit(limited, client, 7)
    first = await writes()
    assert {reply.status for reply in first} <= {200, 201}
    for _ in range(2):  # with a unit left, which stays
        assert [reply.body for reply in await writes()] == [reply.body for reply in first]
    assert (await client.call("GET", f"/threads/{thread}")).status == 200
    assert is_refused(await client.call("GET", f"/threads/{thread}"), burst=7)
    assert [reply.body for reply in await writes()] == [reply.body for reply in first]  # with none
    conflict = await client.send(thread, message("another"), Idempotency_Key="2")
    assert conflict.error[:2] == (409, "idempotency_conflict")
    assert is_refused(await client.send(thread, message(), Idempotency_Key="new"), burst=7)
    await limit(limited, client, 100)
    assert (await client.send(thread, message(), Idempotency_Key="new")).status == 200, "a refusal reserves nothing"


async def test_two_apis_share_a_bucket_and_the_tighter_limit_decides(limited: Service) -> None:
    client = await limited.client("acme")
    async with running_api(limited.settings) as other:
        both = [client, Client(client.session, other, client.account, client.token_id, client.token, client.agent)]
        await limit(limited, client, 30)
        path = f"/agents/{client.agent}/threads"
        replies = await asyncio.gather(*(both[n % 2].call("GET", path) for n in range(50)))
        assert sorted(reply.status for reply in replies) == [200] * 30 + [429] * 20
        assert all(is_refused(reply, burst=30) for reply in replies if reply.status == 429)
        await limit(limited, client, 40)
        await limit(limited, client, 2, of="tokens")
        refused = [await both[n % 2].call("GET", path) for n in range(5)]
        assert [is_refused(reply, "token", 2) for reply in refused] == [False, False, True, True, True]
        await limited.pool.execute("update tokens set rate = 'Infinity'")
        again = [(await both[n % 2].call("GET", path)).status for n in range(10)]
        assert again == [200] * 8 + [429] * 2, "what the token refused took nothing from the account"


async def test_a_caller_without_limits_asks_redis_nothing(limited: Service, redis: Redis) -> None:
    client = await limited.client("acme")
    reply = await client.call("GET", f"/agents/{client.agent}/threads")
    assert (reply.status, "ratelimit" in reply.headers) == (200, False)
    assert [key async for key in redis.scan_iter(f"{limited.settings.redis_prefix}threadmill:rate:*")] == []


@pytest.mark.slow
async def test_what_stands_in_redis_breaks_no_limit(limited: Service, redis: Redis) -> None:
    """Another type, no number, a moment in a thousand years (its clock was set back)."""
    client = await limited.client("acme")
    key = Keys(limited.settings.redis_prefix).account_rate(client.account)
    path = f"/agents/{client.agent}/threads"
    await limit(limited, client, 2)
    for left in ("hello", "nan", "1e400", "-1"):
        await redis.set(key, left)
        statuses = [(await client.call("GET", path)).status for _ in range(3)]
        assert statuses == ([200, 200, 429] if left != "1e400" else [429] * 3), left
    await redis.delete(key)
    await redis.execute_command("RPUSH", key, "a list")
    assert [(await client.call("GET", path)).status for _ in range(3)] == [200, 200, 429]
    assert await redis.pttl(key) <= 2_000_000, "what nobody asks for goes by itself"
    await redis.set(key, 32_503_680_000_000_000)
    reply = await client.call("GET", path)
    assert int(reply.headers["retry-after"]) <= 1000
    assert is_refused(reply, burst=2)


async def test_without_redis_each_api_counts_by_itself_and_nothing_fails(settings: Settings) -> None:
    gone = settings.model_copy(update={"redis_url": "redis://127.0.0.1:1/0", "token_cache": 0.0})
    async with running_service(gone) as service:
        client = await service.client("acme")
        thread = await client.new_thread()
        await limit(service, client, 5)
        started = time.monotonic()
        statuses = [(await client.send(thread, message(), **ASYNC)).status for _ in range(8)]
        assert statuses == [200] * 5 + [429] * 3
        assert time.monotonic() - started < 2


@pytest.mark.slow
async def test_a_flood_of_refusals_is_noted_in_bounded_room(limited: Service, redis: Redis) -> None:
    keys = Keys(limited.settings.redis_prefix)
    client = await limited.client("acme")
    await limit(limited, client, 1)
    path = f"/agents/{client.agent}/threads"
    headers = {f"X_Flood_{n}": "x" * 50 for n in range(60)}
    replies = [await client.call("GET", path, **headers) for _ in range(9)]
    assert [reply.status for reply in replies] == [200] + [429] * 8
    who = f"account_rate {client.account} {client.token_id}"

    async def told() -> Any:  # in one go or in several
        return await redis.execute_command("HGET", keys.limited_counts, who) == b"8"

    await until(told)
    assert float(await redis.execute_command("ZSCORE", keys.limited, who)) > 1.7e12


@pytest.mark.slow
async def test_every_operation_of_every_dialect_takes_one_unit(settings: Settings, redis: Redis) -> None:
    """Also where its thread is missing: what comes before the limit is the path and the body, and they are valid."""
    every = [(one, operation) for one in DIALECTS.values() for operation in one.operations if operation.token]
    assert len(every) > 30
    async with running_service(settings.model_copy(update={"token_cache": 0.0}), roles="all") as service:
        client, taken = await service.client("acme"), 0
        await limit(service, client, 1_000)
        for dialect, operation in every:
            async with asyncio.timeout(20):
                await _call(client, dialect, operation)
            before, taken = taken, await _taken(redis, Keys(settings.redis_prefix).account_rate(client.account))
            assert taken == before + 1, (dialect.name, operation.method, operation.path)


async def _call(client: Client, dialect: Dialect, operation: Operation) -> None:
    name = partial(_named, client, "1" if dialect.name == "cortex" else "0" * 26)
    path = re.sub(r"{(\w+)}", name, operation.path)
    body = None if operation.example is None else re.sub(r"\$([A-Z]+)", name, json.dumps(operation.example))
    url = f"{client.url}{dialect.root.rstrip('/')}{path}"
    headers = {"Authorization": f"Bearer {client.token}", "Content-Type": "application/json"}
    sent = None if body is None else body.encode()
    if operation.upload:
        sent, headers["Content-Type"] = form_of(b"hello"), FORM["Content_Type"]
    async with client.session.request(operation.method, url, data=sent, headers=headers) as response:
        assert "RateLimit" in response.headers, (operation, response.status, await response.text())


_SEGMENTS = {"database": "any", "schema": "any", "name": "echo"}


def _named(client: Client, nobody: str, found: re.Match[str]) -> str:
    """What stands for a parameter: the client's own agent, and things that nobody has."""
    own = client.agent if found[1] in ("agentId", "AGENT") else nobody
    return _SEGMENTS.get(found[1], own)


async def _taken(redis: Redis, key: str) -> int:
    """Units that are not back yet."""
    full_at = float(await redis.execute_command("GET", key))
    seconds = float((await redis.execute_command("TIME"))[0])
    return round((full_at / 1e6 - seconds) * SLOW)
