"""The secret of a token is in no log, no row and no key, and what somebody says in no line: canaries are looked for.

An api and a worker run as processes of their own at log level `debug`, beside a real Postgres and Redis.
"""

import base64
import json
import re
from typing import Any
from urllib.parse import urlencode

import aiohttp
import asyncpg
import pytest
from redis.asyncio import Redis

from shared import accounts, agents, webhooks
from shared.models import TokenKind
from shared.settings import Settings
from tests.console.browsing import Browsing
from tests.e2e.processes import running
from tests.search import all_keys, all_rows
from tests.service import Client, message, said, upload
from tests.watch import until

pytestmark = pytest.mark.timeout(60)


async def test_no_log_no_row_and_no_key_holds_the_secret_of_a_token(
    settings: Settings, pool: asyncpg.Pool, redis: Redis
) -> None:
    account = await accounts.create_account(pool, "acme")
    agent = await agents.create_agent(pool, account.id, "echo", "echo", published=True)
    good = await accounts.create_token(pool, account.id, TokenKind.HUMAN_PAT)
    revoked = await accounts.create_token(pool, account.id, TokenKind.SERVICE_TOKEN)
    await accounts.revoke_token(pool, revoked.token.id)
    admin = await accounts.create_token(pool, None, TokenKind.ADMIN)
    imported = "grt_pat_canary-of-another-service-0123456789"
    await accounts.import_token(pool, account.id, imported)
    secrets = [good.secret.text, revoked.secret.text, admin.secret.text, imported, "mst_" + "never-issued" * 4]
    variables = {"THREADMILL_LOG_LEVEL": "debug", "THREADMILL_TOKEN_CACHE": "0"}
    async with running(settings, "worker", **variables) as worker, running(settings, "api", **variables) as api:
        answers = [await _use(api.url, agent.id, secret) for secret in secrets]
        async with aiohttp.ClientSession() as session:
            figures = await _metrics(session, f"{api.url}/metrics")
    assert [201 in statuses for statuses, _ in answers] == [True, False, False, True, False]
    kept = await all_rows(pool) + await all_keys(redis)
    assert good.token.prefix in kept  # the search sees what it should
    for secret in secrets:
        for spelling in _spellings(secret):
            assert spelling not in api.text
            assert spelling not in worker.text
            assert spelling not in kept
            assert spelling not in figures
            assert not [answered for _, answered in answers if spelling in answered]


@pytest.mark.slow
async def test_no_line_and_no_metric_holds_what_users_and_operators_say(settings: Settings, pool: asyncpg.Pool) -> None:
    """Both processes at log level `info`: a run that asks and fails; files; a dead letter; a login; deeds."""
    canaries = {name: f"canary of a {name} 71b2" for name in ("text", "note", "title", "webhook", "reason", "file")}
    secret = await accounts.create_token(pool, None, TokenKind.ADMIN, name="night shift")
    variables = {
        "THREADMILL_LOG_FORMAT": "json",
        "THREADMILL_PRIVATE_ENDPOINTS": "true",
        "THREADMILL_FILES": settings.files,
    }
    async with (
        aiohttp.ClientSession() as session,
        running(settings, "worker", **variables) as worker,
        running(settings, "api", **variables) as api,
    ):
        client = await _client(pool, session, api.url)
        hook = await webhooks.set_webhook(
            pool, client.agent, f"http://127.0.0.1:1/{canaries['webhook'][-4:]}-{'w' * 20}"
        )
        browsing = Browsing(session, api.url)
        assert (await browsing.log_in("mst_" + "guess" * 9)).status == 401
        assert (await browsing.log_in(secret.secret.text)).status == 303
        await _converse(pool, client, canaries)
        await _file(client, canaries["file"])
        await _spoil(pool, client, canaries["text"])
        await _settle(pool, browsing, canaries["text"])
        metrics = await _metrics(session, f"{api.url}/metrics", f"http://127.0.0.1:{worker.told[0]['port']}/metrics")
    said = api.text + worker.text
    for canary in (*canaries.values(), client.token, secret.secret.text, hook.secret or "", *browsing.cookies.values()):
        for spelling in _spellings(canary):
            assert spelling not in said
            assert spelling not in metrics
    lines = api.told + worker.told  # each of which is JSON
    events = {line["event"] for line in lines}
    assert events >= {"console login", "a runner raised", "a run went wrong", "a batch failed alone", "worker stopped"}
    (acted,) = [line for line in lines if line["event"] == "an operator acted" and line["action"] == "dead.discard"]
    assert re.fullmatch(r"dead letters: error KeyError [0-9a-f]{8}", acted["target"])
    (raised,) = [line for line in lines if line["event"] == "a runner raised"]
    assert {"run", "thread", "account", "agent"} <= raised.keys()
    assert raised["exception"].endswith("ValueError")
    assert "canary_runners.py" in raised["exception"]


async def _client(pool: asyncpg.Pool, session: aiohttp.ClientSession, url: str) -> Client:
    account = await accounts.create_account(pool, "acme")
    made = await accounts.create_token(pool, account.id, TokenKind.HUMAN_PAT)
    config = {"function": "tests.canary_runners:repeat"}
    agent = await agents.create_agent(pool, account.id, "repeat", "python", config=config, published=True)
    return Client(session, url, account.id, made.token.id, made.secret.text, agent.id)


async def _converse(pool: asyncpg.Pool, client: Client, canaries: dict[str, str]) -> None:
    """A run that waits, is decided, and fails."""
    reply = await client.create(canaries["text"])
    assert reply.status == 201, reply
    thread = reply.json["thread"]["id"]
    request = await until(lambda: pool.fetchval("select id from permission_requests where state = 'pending'"), 30)
    decision = {"type": "permission_decision", "requestId": request, "note": canaries["note"]}
    assert (await client.send(thread, {**decision, "decision": "allow_once"})).status == 200
    await until(lambda: pool.fetchval("select 1 from runs where status = 'failed'"), 30)
    assert (await client.send(thread, {"type": canaries["title"]})).status == 400


async def _file(client: Client, canary: str) -> None:
    """One that is kept, read and attached twice, and one that is refused for its name."""
    reply = await upload(client, canary.encode(), canary)
    assert reply.status == 201, reply
    file = reply.json["file"]["id"]
    assert (await client.call("GET", f"/files/{file}/content")).body == canary.encode()
    thread = await client.new_thread()
    attached = message("read it", attachmentIds=[file])
    assert [(await client.send(thread, attached)).status for _ in range(2)] == [200, 400]
    assert (await upload(client, b"x", f"{canary}/..")).status == 400


async def _spoil(pool: asyncpg.Pool, client: Client, text: str) -> None:
    """A batch that can't be applied, for an error that quotes it: it is tried for the last time, alone."""
    await pool.execute("update partitions set paused = true")
    thread = await client.new_thread()
    await client.send(thread, message(text), Prefer="respond-async")
    broken = json.dumps([{"type": "user_message", "run": text, "text": text, f"it's {text}": 1}])
    await pool.execute(
        "update batches set events = $1::text::json, attempts = 4"
        " where applied_at is null and events::text like '%canary%'",
        broken,
    )
    await pool.execute("update partitions set paused = false")
    await until(lambda: pool.fetchval("select 1 from batches where parked_at is not null"), 30)


async def _settle(pool: asyncpg.Pool, browsing: Browsing, text: str) -> None:
    """By its error: by a kind that quotes nobody now, but did where an older version parked it."""
    kind, error = await pool.fetchrow("select error_kind, error from batches where parked_at is not null")
    assert text in error
    assert text not in kind
    await pool.execute("update batches set error_kind = $1 where parked_at is not null", f"KeyError: {text}")
    query = urlencode({"error": f"KeyError: {text}", "all": "yes"})
    assert (await browsing.confirm(f"/console/dead/discard?{query}", {"reason": "a broken client"})).status == 200
    assert await pool.fetchval("select touched from audit where action = 'dead.discard'") == 1
    assert text not in "".join(await pool.fetchrow("select string_agg(a::text, '') from audit a"))


async def _metrics(session: aiohttp.ClientSession, *urls: str) -> str:
    found = []
    for url in urls:
        async with session.get(url) as response:
            found.append(await response.text())
    return "".join(found)


async def _use(url: str, agent: str, secret: str) -> tuple[list[int], str]:
    """Asks with the token in its place, in every place where it does not belong, and wrongly, in all dialects: the
    statuses, and all that was answered, but for the way back to a page of the console behind its login.
    """
    bearer, sneaky = {"Authorization": f"Bearer {secret}"}, {"Authorization": f'Snowflake Token="{secret}"'}
    native, cortex, openai = f"{url}/api/v1", f"{url}/api/v2/cortex", f"{url}/v1/threads"
    create, nonsense = f"{native}/agents/{agent}/threads", {"input": {"type": "nonsense"}, "messages": 7}
    in_its_place: list[tuple[str, str, dict[str, str], Any]] = [
        ("POST", create, bearer, {"input": said("hello")}),
        ("POST", create, sneaky, {}),
        ("POST", create, {"Authorization": f"Basic {secret}"}, {}),
        ("POST", create, {"Authorization": secret}, {}),
        ("POST", create, {"Authorization": f"Bearer {secret}x"}, {}),
        ("POST", create, {**bearer, "X-Request-Id": "the-id"}, nonsense),
        ("POST", f"{native}/threads/{agent}/events", bearer, {"events": [message()]}),
        ("POST", f"{native}/agents/{agent}/files", bearer, {}),
        ("GET", f"{native}/nothing/here", bearer, None),
        *((method, f"{cortex}/threads", headers, {}) for method in ("POST", "PUT") for headers in (bearer, sneaky)),
        ("POST", f"{cortex}/agent:run", sneaky, nonsense),
        ("POST", openai, {**bearer, "OpenAI-Beta": "assistants=v2"}, {}),
        ("POST", f"{openai}/{agent}/runs", bearer, nonsense),
        ("GET", f"{url}/console", {"Cookie": f"threadmill_console={secret}"}, None),
    ]
    elsewhere = [
        ("GET", f"{native}/threads/{agent}?token={secret}", {}, None),
        ("GET", f"{native}/threads/{secret}", bearer, None),
        ("GET", f"{url}/nothing/here?access_token={secret}", bearer, None),
        ("GET", f"{cortex}/threads/{secret}?token={secret}", bearer, None),
        ("GET", f"{openai}/{secret}", bearer, None),
        ("GET", f"{url}/console/threads/{secret}", {}, None),
        ("GET", create, {**bearer, "X-Request-Id": f"bad {secret}", "Idempotency-Key": f"\t{secret}"}, None),
        ("POST", f"{native}/threads/{agent}/events", bearer, {"events": [], secret: secret}),
        ("POST", f"{openai}/{agent}/messages", bearer, {"role": secret, "content": 7}),
    ]
    statuses, answered = [], ""
    async with aiohttp.ClientSession() as session:
        for method, target, headers, body in (*in_its_place, *elsewhere):
            async with session.request(method, target, headers=headers, json=body, allow_redirects=False) as response:
                statuses.append(response.status)
                assert response.status < 500
                heard = f"{response.headers}{await response.text()}"
                answered += heard.replace(f"'/console/login?to={target.removeprefix(url)}'", "")
    return statuses, answered


def _spellings(secret: str) -> list[str]:
    plain = secret.encode()
    return [secret, plain.hex(), base64.b64encode(plain).decode().rstrip("=")]
