"""The secret of a token is in no log, no row and no key, whatever is done with it: a canary is looked for everywhere.

An api and a worker run as processes of their own at log level `debug`, beside a real Postgres and Redis.
"""

import asyncio
import base64
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import asyncpg
import pytest
from redis.asyncio import Redis

from shared import accounts
from shared.models import TokenKind
from shared.settings import Settings
from tests.search import all_keys, all_rows
from tests.service import message, said

pytestmark = pytest.mark.timeout(60)


@dataclass(slots=True)
class Logged:
    """A process and all that it wrote."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, started: str) -> None:
        """Reads until the process ends; says when it wrote `started`."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.lines.append(line.decode())
            if started in self.lines[-1]:
                self.started.set()

    @property
    def text(self) -> str:
        return "".join(self.lines)


@asynccontextmanager
async def running(settings: Settings, module: str, started: str) -> AsyncIterator[Logged]:
    """`python -m <module>` on any free port, from when it wrote `started`; stopped by SIGTERM."""
    environment = {
        **os.environ,
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "THREADMILL_REDIS_PREFIX": settings.redis_prefix,
        "THREADMILL_PORT": "0",
        "THREADMILL_LOG_LEVEL": "debug",
        "THREADMILL_TOKEN_CACHE": "0",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    logged = Logged(process)
    reader = asyncio.create_task(logged.read(started))
    try:
        await asyncio.wait_for(logged.started.wait(), 20)
        yield logged
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        await reader


async def test_no_log_no_row_and_no_key_holds_the_secret_of_a_token(
    settings: Settings, pool: asyncpg.Pool, redis: Redis
) -> None:
    account = await accounts.create_account(pool, "acme")
    agent = await accounts.create_agent(pool, account.id, "echo", "echo", published=True)
    good = await accounts.create_token(pool, account.id, TokenKind.HUMAN_PAT)
    revoked = await accounts.create_token(pool, account.id, TokenKind.SERVICE_TOKEN)
    await accounts.revoke_token(pool, revoked.token.id)
    admin = await accounts.create_token(pool, None, TokenKind.ADMIN)
    imported = "grt_pat_canary-of-another-service-0123456789"
    await accounts.import_token(pool, account.id, imported)
    secrets = [good.secret.text, revoked.secret.text, admin.secret.text, imported, "mst_" + "never-issued" * 4]
    async with (
        running(settings, "worker", "worker started") as worker,
        running(settings, "api", "api listening") as api,
    ):
        found = re.search(r"http://[^\s\"]+", api.text)
        assert found is not None
        answers = [await _use(f"{found[0]}/api/v1", agent.id, secret) for secret in secrets]
    assert [201 in statuses for statuses in answers] == [True, False, False, True, False]
    kept = await all_rows(pool) + await all_keys(redis)
    assert good.token.prefix in kept  # the search sees what it should
    for secret in secrets:
        for spelling in _spellings(secret):
            assert spelling not in api.text
            assert spelling not in worker.text
            assert spelling not in kept


async def _use(url: str, agent: str, secret: str) -> list[int]:
    """Asks with the token in its place, in every place where it does not belong, and wrongly; the statuses."""
    create = f"{url}/agents/{agent}/threads"
    bearer = {"Authorization": f"Bearer {secret}"}
    asked = [
        ("POST", create, bearer, {"input": said("hello")}),
        ("POST", create, {"Authorization": f'Snowflake Token="{secret}"'}, {}),
        ("POST", create, {"Authorization": f"Basic {secret}"}, {}),
        ("POST", create, {"Authorization": secret}, {}),
        ("POST", create, {**bearer, "X-Request-Id": "the-id"}, {"input": {"type": "nonsense"}}),
        ("GET", f"{url}/threads/{agent}?token={secret}", {}, None),
        ("GET", f"{url}/threads/{secret}", bearer, None),
        ("GET", f"{url}/nothing/here?access_token={secret}", bearer, None),
        ("POST", f"{url}/threads/{agent}/events", bearer, {"events": [message()]}),
        ("POST", f"{url}/threads/{agent}/events", bearer, {"events": [], secret: secret}),
    ]
    statuses = []
    async with aiohttp.ClientSession() as session:
        for method, target, headers, body in asked:
            async with session.request(method, target, headers=headers, json=body) as response:
                statuses.append(response.status)
                assert response.status < 500
    return statuses


def _spellings(secret: str) -> list[str]:
    plain = secret.encode()
    return [secret, plain.hex(), base64.b64encode(plain).decode().rstrip("=")]
