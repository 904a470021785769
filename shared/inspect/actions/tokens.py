"""Letting clients and operators in, and out. A secret is shown once, to whoever makes it, and is never logged."""

from shared import accounts, audit, ids
from shared.accounts import CreatedToken, Token
from shared.audit import Actor
from shared.db.connect import Database
from shared.ids import AccountId, TokenId
from shared.models import TokenKind
from shared.tokens import Loan


async def create(
    db: Database,
    actor: Actor,
    account_id: AccountId | None,
    kind: TokenKind,
    name: str,
    life: float | None,
    loan: Loan | None = None,
) -> CreatedToken:
    """A new token that ends after `life` seconds, or when it is revoked. Raises InvalidRequest, NotFound."""
    new = TokenId(ids.mint())
    async with audit.entry(db, actor, f"token.create.{kind}", f"token {new}", account=account_id) as entry:
        created = await accounts.create_token(db, account_id, kind, name, life=life, id_=new, loan=loan)
        entry.touched = 1
        return created


async def revoke(db: Database, actor: Actor, token_id: TokenId) -> Token:
    """Ends a token for good, and those that it lent; one that was revoked before keeps its time. Raises NotFound."""
    async with audit.entry(db, actor, "token.revoke", f"token {token_id}") as entry:
        ended = await accounts.end_token(db, token_id)
        entry.touched = ended.ended
        return ended.token
