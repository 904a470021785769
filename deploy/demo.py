"""What a first start puts into an empty database: an account, its tokens, the demo agents.

Every step looks first, so a start that was killed half-way, and a database of an earlier start, are both completed.
"""

import asyncpg

from deploy.devfile import DevFile
from shared import accounts, agents, tokens
from shared.db.statements import statements
from shared.errors import NotFound
from shared.ids import AccountId
from shared.models import TokenKind

ACCOUNT = "dev"
AGENTS = ("echo", "approve")  # the first one is the account's default


async def complete(connection: asyncpg.Connection, kept: DevFile) -> DevFile:
    """The kept values, with what the database lacks made anew."""
    account = await _account(connection)
    made = {name: await _agent(connection, account, name) for name in AGENTS}
    await agents.set_default_agent(connection, (await agents.find_agent(connection, AGENTS[0], account)).id)
    return kept.model_copy(
        update={
            "token": await _token(connection, kept.token, account, TokenKind.HUMAN_PAT),
            "admin_token": await _token(connection, kept.admin_token, None, TokenKind.ADMIN),
            "agents": made,
        }
    )


async def _account(connection: asyncpg.Connection) -> AccountId:
    try:
        return (await accounts.find_account(connection, ACCOUNT)).id
    except NotFound:
        return (await accounts.create_account(connection, ACCOUNT)).id


async def _agent(connection: asyncpg.Connection, account: AccountId, name: str) -> str:
    try:
        return (await agents.find_agent(connection, name, account)).id
    except NotFound:
        config = {"function": f"worker.runners.demo:{name}"}
        agent = await agents.create_agent(connection, account, name, "python", config=config, published=True)
        return agent.id


async def _token(connection: asyncpg.Connection, kept: str, account: AccountId | None, kind: TokenKind) -> str:
    """The kept secret where the database knows it and it was not revoked, else a new one."""
    secret = tokens.parse(kept)
    if secret is not None:
        caller = await connection.fetchrow(statements("reads")["caller"], secret.digest)
        if caller is not None and (caller["account"], caller["kind"]) == (account, kind):
            return kept
    return (await accounts.create_token(connection, account, kind, ACCOUNT)).secret.text
