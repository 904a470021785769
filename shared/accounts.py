"""Accounts and their tokens: made, listed, revoked by the operator. What answers for them is `shared.agents`.

Functions over a connection or a pool; the caller owns the transaction. Each change is one statement. Refused
here: showing a secret twice, deleting anything (threads refer to these rows for as long as they live).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared import ids, tokens
from shared.db.connect import Database
from shared.db.statements import statements
from shared.errors import Conflict, InvalidRequest, NotFound
from shared.ids import AccountId, AgentId, TokenId
from shared.inspect.page import FIRST, Id, Page, cut, key_of
from shared.models import OPERATORS, TokenKind
from shared.tokens import Loan, Secret

_LONGEST_LIFE = 10 * 31_536_000  # seconds: ten years; who wants more wants one that is revoked
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
class EndedToken:
    """A token that lets nobody in any more. `ended`: how many this ended, it and those lent with it."""

    token: Token
    ended: int


@dataclass(frozen=True, slots=True)
class CreatedToken:
    token: Token
    secret: Secret  # the only time that it is known


async def create_account(db: Database, name: str) -> Account:
    """Raises InvalidRequest, Conflict where the name is taken."""
    row = await db.fetchrow(statements("accounts")["create"], ids.mint(), checked(name))
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


async def count_lent(db: Database, token: TokenId) -> int:
    """How many tokens the playground was lent with it, that live."""
    lent: int = await db.fetchval(statements("tokens")["lent"], token)
    return lent


async def revoke_token(db: Database, token: TokenId) -> Token:
    """What `end_token` does, where nobody counts."""
    return (await end_token(db, token)).token


async def end_token(db: Database, token: TokenId) -> EndedToken:
    """Ends a token for good, and those that it lent; processes see it within `token_cache` seconds. Raises NotFound."""
    row = await db.fetchrow(statements("tokens")["revoke"], token)
    if row is None:
        raise NotFound(f"There is no token {token}.")
    columns = dict(row)
    ended: int = columns.pop("ended")
    return EndedToken(_token(columns), ended)


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


def _token(row: Mapping[str, Any]) -> Token:
    return Token(**{**row, "kind": TokenKind(row["kind"])})


def checked(name: str) -> str:
    """A name that something is to have. Raises InvalidRequest."""
    if not name.strip():
        raise InvalidRequest("A name can't be empty.")
    return printable(name)


def printable(name: str) -> str:
    """The name, if it is one line that Postgres can keep. Raises InvalidRequest."""
    if len(name) > _NAME_LIMIT or not (name.isprintable() or name == ""):
        raise InvalidRequest(f"A name is one line of at most {_NAME_LIMIT} printable characters.")
    return name
