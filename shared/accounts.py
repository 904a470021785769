"""Accounts, their tokens, their agents: made, listed, changed by the operator.

Functions over a connection or a pool; the caller owns the transaction. Each change is one statement. Refused
here: showing a secret twice, deleting anything (threads refer to these rows for as long as they live).
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from shared import ids, tokens
from shared.db.connect import Database
from shared.db.statements import statements
from shared.errors import Conflict, InvalidRequest, NotFound
from shared.ids import AccountId, AgentId, TokenId
from shared.inspect.page import EPOCH, FIRST, Id, Moment, Page, cut, key_of
from shared.models import OPERATORS, BusyPolicy, OnExpired, TokenKind
from shared.tokens import Loan, Secret

_LONGEST_RUN = 31_536_000  # seconds: a year
_LONGEST_LIFE = 10 * _LONGEST_RUN  # seconds; who wants more wants one that is revoked
_NAME_LIMIT = 128  # characters; names are shown in tables and stand in paths


@dataclass(frozen=True, slots=True)
class Account:
    id: AccountId
    name: str
    default_agent: AgentId | None
    held: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Token:
    id: TokenId
    account: AccountId | None  # None: an operator's
    kind: TokenKind
    name: str
    prefix: str  # what may be shown of its secret
    created_at: datetime
    expires_at: datetime | None  # None: it lives until it is revoked
    revoked_at: datetime | None
    lent_by: TokenId | None  # the operator's that lent it, and with which it ends


@dataclass(frozen=True, slots=True)
class CreatedToken:
    token: Token
    secret: Secret  # the only time that it is known


@dataclass(frozen=True, slots=True)
class Agent:
    id: AgentId
    account: AccountId
    name: str
    runner: str
    config: dict[str, Any]
    busy_policy: BusyPolicy
    run_timeout: int | None  # seconds that a run may execute; None: the setting's
    on_expired: OnExpired
    kind: str  # pet | cattle
    published: bool
    webhook_url: str | None  # its secret is shown once, where it is made
    is_default: bool
    created_at: datetime
    updated_at: datetime


async def create_account(db: Database, name: str) -> Account:
    """Raises InvalidRequest, Conflict where the name is taken."""
    row = await db.fetchrow(statements("accounts")["create"], ids.mint(), _checked(name))
    if row is None:
        raise Conflict(f"There is an account named {name!r} already.")
    return Account(**row)


async def list_accounts(db: Database, limit: int, after: str | None = None) -> Page[Account]:
    """The oldest first."""
    (beyond,) = key_of(after, Id)
    rows = await db.fetch(statements("accounts")["list"], beyond or FIRST, limit + 1)
    return cut([Account(**row) for row in rows], limit, lambda account: (account.id,))


async def find_account(db: Database, id_or_name: str) -> Account:
    """Raises NotFound."""
    row = await db.fetchrow(statements("accounts")["find"], ids.parse(id_or_name), printable(id_or_name))
    if row is None:
        raise NotFound(f"There is no account {id_or_name!r}.")
    return Account(**row)


async def create_token(
    db: Database,
    account: AccountId | None,
    kind: TokenKind,
    name: str = "",
    *,
    life: float | None = None,
    id_: TokenId | None = None,
    loan: Loan | None = None,
) -> CreatedToken:
    """A new secret and its token, which ends after `life` seconds or when it is revoked. An operator's has no account,
    every other one has. Raises InvalidRequest, NotFound.
    """
    if (kind in OPERATORS) != (account is None):
        raise InvalidRequest("An operator's token (admin, viewer) belongs to no account, every other token to one.")
    if life is not None and not 0 < life <= _LONGEST_LIFE:
        raise InvalidRequest(f"A token lives more than 0 and at most {_LONGEST_LIFE} seconds.")
    secret = tokens.mint()
    return CreatedToken(await _keep_token(db, account, kind, name, secret, life=life, id_=id_, loan=loan), secret)


async def import_token(db: Database, account: AccountId, secret: str, name: str = "") -> Token:
    """Takes over a secret issued elsewhere. Raises InvalidRequest, NotFound, Conflict where it is known."""
    parsed, kind = tokens.imported(secret)
    return await _keep_token(db, account, kind, name, parsed)


async def list_tokens(
    db: Database,
    limit: int,
    account: AccountId | None = None,
    *,
    kind: TokenKind | None = None,
    revoked: bool | None = None,
    after: str | None = None,
) -> Page[Token]:
    """The oldest first: of one account or of all, of one kind, revoked or not. One whose time is over counts as not
    revoked."""
    (beyond,) = key_of(after, Id)
    kinds = list(TokenKind) if kind is None else [kind]
    states = [False, True] if revoked is None else [revoked]
    name, of = ("list", ()) if account is None else ("list_of", (account,))
    rows = await db.fetch(statements("tokens")[name], kinds, states, beyond or FIRST, limit + 1, *of)
    return cut([_token(row) for row in rows], limit, lambda token: (token.id,))


async def find_token(db: Database, token: TokenId) -> Token:
    """Raises NotFound."""
    row = await db.fetchrow(statements("tokens")["find"], token)
    if row is None:
        raise NotFound(f"There is no token {token}.")
    return _token(row)


async def revoke_token(db: Database, token: TokenId) -> Token:
    """Ends a token for good, and those that it lent; processes see it within `token_cache` seconds. Raises NotFound."""
    row = await db.fetchrow(statements("tokens")["revoke"], token)
    if row is None:
        raise NotFound(f"There is no token {token}.")
    return _token(row)


async def create_agent(
    db: Database,
    account: AccountId,
    name: str,
    runner: str,
    *,
    config: dict[str, Any] | None = None,
    busy_policy: BusyPolicy = BusyPolicy.QUEUE,
    run_timeout: int | None = None,
    on_expired: OnExpired = OnExpired.CONTINUE,
    kind: str = "cattle",
    published: bool = False,
) -> Agent:
    """Raises InvalidRequest, NotFound for an unknown account, Conflict where its name is taken there."""
    if kind not in {"pet", "cattle"}:
        raise InvalidRequest("An agent's kind is `pet` or `cattle`.")
    if run_timeout is not None:
        _check_seconds(run_timeout, least=1)
    owner = await find_account(db, account)
    row = await db.fetchrow(
        statements("agents")["create"],
        *(ids.mint(), owner.id, _checked(name), _checked(runner), json.dumps(config or {})),
        *(busy_policy, kind, published, run_timeout, on_expired),
    )
    if row is None:
        raise Conflict(f"The account {owner.name!r} has an agent named {name!r} already.")
    return await find_agent(db, row["id"])


async def list_agents(
    db: Database, limit: int, account: AccountId | None = None, after: str | None = None
) -> Page[Agent]:
    """Of one account, or all of them; the oldest first."""
    at, beyond = key_of(after, Moment, Id)
    name, of = ("list", ()) if account is None else ("list_of", (account,))
    rows = await db.fetch(statements("agents")[name], at or EPOCH, beyond or FIRST, limit + 1, *of)
    return cut([agent_of(row) for row in rows], limit, lambda agent: (agent.created_at, agent.id))


async def find_agent(db: Database, id_or_name: str, account: AccountId | None = None) -> Agent:
    """The agent of an id, or of a name that only one account has. Raises NotFound, Conflict."""
    wanted = ids.parse(id_or_name)
    rows = await db.fetch(statements("agents")["find"], wanted, printable(id_or_name), account)
    if not rows:
        raise NotFound(f"There is no agent {id_or_name!r}.")
    if len(rows) > 1 and rows[0]["id"] != wanted:
        raise Conflict(f"Several accounts have an agent {id_or_name!r}: give its id, or the account.")
    return agent_of(rows[0])


async def change_agent(
    db: Database,
    agent: AgentId,
    *,
    config: dict[str, Any] | None = None,
    busy_policy: BusyPolicy | None = None,
    run_timeout: int | None = None,
    on_expired: OnExpired | None = None,
) -> Agent:
    """Changes what is given; a `run_timeout` of 0 is the setting's again. Runs under way keep what they had.

    Raises InvalidRequest, NotFound.
    """
    if run_timeout is not None:
        _check_seconds(run_timeout, least=0)
    text = None if config is None else json.dumps(config)
    await db.execute(statements("agents")["change"], agent, text, busy_policy, run_timeout, on_expired)
    return await find_agent(db, agent)


async def publish_agent(db: Database, agent: AgentId) -> Agent:
    """Opens it for new threads. Raises NotFound."""
    await db.execute(statements("agents")["publish"], agent, True)
    return await find_agent(db, agent)


async def unpublish_agent(db: Database, agent: AgentId) -> Agent:
    """Closes it for new threads; those it has go on. Raises NotFound."""
    await db.execute(statements("agents")["publish"], agent, False)
    return await find_agent(db, agent)


async def set_default_agent(db: Database, agent: AgentId) -> Agent:
    """The agent that its account uses where a request names none. Raises NotFound."""
    await db.execute(statements("accounts")["set_default_agent"], agent)
    return await find_agent(db, agent)


async def _keep_token(
    db: Database,
    account: AccountId | None,
    kind: TokenKind,
    name: str,
    secret: Secret,
    *,
    life: float | None = None,
    id_: TokenId | None = None,
    loan: Loan | None = None,
) -> Token:
    owner = None if account is None else (await find_account(db, account)).id
    row = await db.fetchrow(
        statements("tokens")["create"],
        *(id_ or ids.mint(), owner, kind, printable(name), secret.digest, secret.prefix, life),
        *((loan.by, loan.to) if loan else (None, None)),
    )
    if row is None:
        raise Conflict(f"The token {secret.prefix}… is known already.")
    return _token(row)


def _token(row: asyncpg.Record) -> Token:
    return Token(**{**row, "kind": TokenKind(row["kind"])})


def agent_of(row: asyncpg.Record) -> Agent:
    """What a row of a statement of `sql/agents.sql` is."""
    changed = {
        "config": json.loads(row["config"]),
        "busy_policy": BusyPolicy(row["busy_policy"]),
        "on_expired": OnExpired(row["on_expired"]),
    }
    return Agent(**{**row, **changed})


def _check_seconds(seconds: int, least: int) -> None:
    if not least <= seconds <= _LONGEST_RUN:
        raise InvalidRequest(f"An agent's run_timeout is from {least} to {_LONGEST_RUN} seconds.")


def _checked(name: str) -> str:
    if not name.strip():
        raise InvalidRequest("A name can't be empty.")
    return printable(name)


def printable(name: str) -> str:
    """The name, if it is one line that Postgres can keep. Raises InvalidRequest."""
    if len(name) > _NAME_LIMIT or not (name.isprintable() or name == ""):
        raise InvalidRequest(f"A name is one line of at most {_NAME_LIMIT} printable characters.")
    return name
