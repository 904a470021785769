"""A service with something on every page: accounts, agents, tokens, messages to webhooks, an audit log."""

from dataclasses import dataclass

import asyncpg

from shared import accounts, agents, audit, ids, webhooks
from shared.accounts import Token
from shared.agents import Agent
from shared.audit import Actor, Via
from shared.models import TokenKind

CONFIG = {
    "function": "agents.weather:answer",
    "endpoint": "https://user:hunter2@models.example/v1?key=hunter2",
    "api_key_env": "WEATHER_KEY",
    "api_key": "hunter2",
    "headers": {"X-Team": "hunter2"},
    "max_tokens": 400,
}
OUTBOX = """
insert into outbox (partition, id, agent, thread, run, type, body, created_at, next_try_at, attempts, status, error,
                    delivered_at, parked_at)
select 0, $1::uuid, $2::uuid, $3::uuid, $4::uuid, 'run.completed', '{"data":{"status":"completed"}}',
       now() - interval '25 hours', now() + interval '1 hour', $5::int, $6::int, $7, $8::timestamptz, $9::timestamptz
"""


@dataclass(frozen=True, slots=True)
class Furniture:
    agent: Agent
    token: Token
    dead: tuple[str, ...]  # messages


async def furnish(pool: asyncpg.Pool) -> Furniture:
    account = await accounts.create_account(pool, "Northwind weather")
    token = await accounts.create_token(pool, account.id, TokenKind.SERVICE_TOKEN, "backend")
    await accounts.create_token(pool, account.id, TokenKind.HUMAN_PAT, "anna's laptop", life=7_776_000)
    gone = await accounts.create_token(pool, account.id, TokenKind.SERVICE_TOKEN, "the old backend")
    await accounts.revoke_token(pool, gone.token.id)
    agent = await agents.create_agent(pool, account.id, "weather", "python", config=CONFIG, published=True)
    await agents.create_agent(pool, account.id, "translator", "openai", config={"model": "m"})
    await webhooks.set_webhook(pool, agent.id, "https://northwind.example/hooks?k=hunter2")
    dead = [await _message(pool, agent, dead=True) for _ in range(3)]
    await _message(pool, agent, dead=False)
    await _log(pool, agent)
    return Furniture(await agents.find_agent(pool, agent.id), token.token, tuple(dead))


async def _message(pool: asyncpg.Pool, agent: Agent, *, dead: bool) -> str:
    id_, now = ids.mint(), await pool.fetchval("select now()")
    told = (
        (57, 404, "answered 404: <title>Not found</title>", None, now) if dead else (2, 502, "answered 502", None, None)
    )
    await pool.execute(OUTBOX, id_, agent.id, ids.mint(), ids.mint(), *told)
    return f"msg_{id_}"


async def _log(pool: asyncpg.Pool, agent: Agent) -> None:
    """Some entries of others."""
    anna = Actor("anna@ops-1", Via.CLI)
    for n in range(60):
        async with audit.entry(pool, anna, "batch.replay", f"batch {4_700 + n}", account=agent.account) as entry:
            entry.touched = 1
    async with audit.entry(pool, anna, "batch.discard", "batch 4711", reason="sent by a broken client") as entry:
        entry.touched = 1
    await pool.execute(
        "insert into audit (actor, via, action, target, touched, result)"
        " values ('anna@ops-1', 'cli', 'webhook.replay', 'all dead messages', 20, 'failed: Postgres does not answer.'),"
        " ('bert@ops-2', 'cli', 'thread.hold', 'thread 01M801V8MZXKYNCY28VH74NXRC', null, null)"
    )
