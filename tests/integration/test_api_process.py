"""`python -m api` as an operator runs it: its port, its end, and what it can't start with."""

import asyncio
import secrets
import signal
from pathlib import Path

import aiohttp
import asyncpg

from shared import accounts, agents
from shared.models import TokenKind
from shared.settings import Settings
from tests import servers
from tests.integration.api_process import an_api
from tests.watch import until


async def test_it_says_where_it_listens_and_ends_on_a_signal(
    settings: Settings, pool: asyncpg.Pool, tmp_path: Path
) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        async with an_api(settings, tmp_path) as api:
            url = await api.url()
            async with aiohttp.ClientSession() as session, session.get(f"{url}/readyz") as response:
                assert response.status == 200
            told = await until(lambda: pool.fetchrow("select * from apis"))
            assert (url.rpartition(":")[2], api.process.pid) == (str(told["port"]), told["pid"])
            assert await api.end(number) == 0
        assert await pool.fetchval("select count(*) from apis") == 0


async def test_who_waits_when_it_is_told_to_end_is_answered(
    settings: Settings, pool: asyncpg.Pool, tmp_path: Path
) -> None:
    headers, path = await access(pool)
    async with an_api(settings, tmp_path) as api, aiohttp.ClientSession(headers=headers) as session:
        waiting = asyncio.create_task(created(session, await api.url() + path, Prefer="wait=30"))
        while not await pool.fetchval("select count(*) from batches"):
            assert not waiting.done()
        assert await api.end() == 0
        assert await waiting == (201, ["apply_pending"])


async def access(pool: asyncpg.Pool) -> tuple[dict[str, str], str]:
    """The headers of a client of its own, and where it creates threads."""
    async with pool.acquire() as db:
        account = await accounts.create_account(db, "acme")
        token = await accounts.create_token(db, account.id, TokenKind.HUMAN_PAT)
        agent = await agents.create_agent(db, account.id, "echo", "echo", published=True)
    return {"Authorization": f"Bearer {token.secret.text}"}, f"/api/v1/agents/{agent.id}/threads"


async def created(session: aiohttp.ClientSession, url: str, **headers: str) -> tuple[int, list[str]]:
    """Status and warnings of a create that nobody applies."""
    async with session.post(url, json={}, headers={"Prefer": "respond-async", **headers}) as response:
        return response.status, [warning["code"] for warning in (await response.json())["warnings"]]


async def test_apis_that_are_told_so_share_a_port_and_others_do_not(settings: Settings, tmp_path: Path) -> None:
    async with an_api(settings, tmp_path, "--reuse-port") as first:
        port = (await first.url()).rpartition(":")[2]
        async with an_api(settings, tmp_path, "--reuse-port", THREADMILL_PORT=port) as second:
            assert await second.url() == await first.url()
        async with an_api(settings, tmp_path, THREADMILL_PORT=port) as third:
            assert await third.ended() == 2
    assert third.log[-1]["event"] == "the api can't listen"


async def test_it_refuses_a_database_that_is_newer(settings: Settings, pool: asyncpg.Pool, tmp_path: Path) -> None:
    await pool.execute("insert into schema_migrations (version, name) values (9999, 'from the future')")
    async with an_api(settings, tmp_path) as api:
        assert await api.ended() == 2
    assert "newer than this version" in api.log[-1]["error"]


async def test_it_takes_the_key_index_from_no_database_but_a_tests(
    settings: Settings, addresses: servers.Addresses, tmp_path: Path
) -> None:
    name = f"kept_{secrets.token_hex(6)}"
    await servers.execute(addresses.database_url, f"create database {name} template {addresses.template}")
    url = servers.on_database(addresses.database_url, name)
    kept = settings.model_copy(update={"database_url": url})
    async with an_api(kept, tmp_path, THREADMILL_TESTING="no_key_index") as api:
        assert await api.ended() == 2
    assert f"'{name}' does not begin with test_ or fault" in api.log[-1]["error"]
    await servers.execute(url, "alter table idempotency_keys drop constraint idempotency_keys_pkey")  # it is there
    await servers.execute(addresses.database_url, f"drop database {name} with (force)")


async def test_it_serves_as_soon_as_its_database_is_there(
    settings: Settings, pool: asyncpg.Pool, tmp_path: Path
) -> None:
    """A database that is not migrated yet is not ready; then it is, without a restart."""
    await pool.execute("alter table schema_migrations rename to elsewhere")
    async with an_api(settings, tmp_path) as api, aiohttp.ClientSession() as session:
        url = await api.url()
        async with session.get(f"{url}/readyz") as response:
            assert response.status == 503
            assert "threadmill migrate" in (await response.json())["postgres"]
        await pool.execute("alter table elsewhere rename to schema_migrations")
        async with session.get(f"{url}/readyz") as response:
            assert response.status == 200


async def test_it_goes_on_serving_while_its_database_becomes_newer_than_itself(
    settings: Settings, pool: asyncpg.Pool, tmp_path: Path
) -> None:
    """As in a rolling upgrade: the database first, then one process after the other."""
    headers, path = await access(pool)
    async with an_api(settings, tmp_path) as api, aiohttp.ClientSession(headers=headers) as session:
        url = await api.url()
        await pool.execute("insert into schema_migrations (version, name) values (9999, 'from the future')")
        async with session.get(f"{url}/readyz") as response:
            assert (response.status, (await response.json())["postgres"]) == (200, "ok")
        assert await created(session, url + path) == (201, ["apply_pending"])
        assert await api.end() == 0
