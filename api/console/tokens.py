"""Tokens: who may come in, made and revoked. A secret is shown once, on the page that answers its making."""

from api.console.pages import Deed, Done, Field, Form, Look, Page, Question, Values
from shared import accounts, ids, words
from shared.accounts import Token
from shared.audit import Actor
from shared.db.statements import statements
from shared.errors import InvalidRequest, NotFound
from shared.ids import AccountId, TokenId
from shared.inspect.actions import tokens as doing
from shared.models import OPERATORS, TokenKind

HERE = "/console/tokens"
SHOWN = 50
_STATES = {"live": False, "revoked": True}
_KINDS = tuple(
    (str(kind), f"{kind}: {what}")
    for kind, what in zip(
        (TokenKind.HUMAN_PAT, TokenKind.SERVICE_TOKEN, TokenKind.ADMIN, TokenKind.VIEWER),
        ("a person of an account", "a program of an account", "an operator who may act", "an operator who may look"),
        strict=True,
    )
)


async def load(look: Look) -> Values:
    account, kind, state = look.text("account"), look.text("kind"), look.text("state")
    if kind and kind not in {str(one) for one in TokenKind}:
        raise InvalidRequest("There is no such kind of token.", param="kind")
    if state and state not in _STATES:
        raise InvalidRequest("A token is `live` or `revoked`.", param="state")
    owner = (await accounts.find_account(look.db, account)).id if account else None
    found = await accounts.list_tokens(
        look.db,
        SHOWN,
        owner,
        kind=TokenKind(kind) if kind else None,
        revoked=_STATES.get(state),
        after=look.after,
    )
    now = await look.db.fetchval(statements("console")["clock"])
    return {
        "tokens": found,
        "account": account,
        "kind": kind,
        "state": state,
        "after": look.after,
        "now": now,
        "kinds": [("", "all"), *((str(one), str(one)) for one in TokenKind)],
        "states": [("", "all"), ("live", "not revoked"), ("revoked", "revoked")],
    }


async def _ask_new(look: Look) -> Question:
    return Question(
        title="New token",
        says=("Its secret is shown once, on the next page, and kept as SHA-256 only.",),
        button="Make the token",
        back=HERE,
        fields=(
            Field("kind", "Kind", "choice", value=look.text("kind") or TokenKind.HUMAN_PAT, options=_KINDS),
            Field("account", "Account", value=look.text("account"), hint="Id or name; empty for an operator's token."),
            Field("name", "Name", hint="What it is for: shown in lists and in the audit log."),
            Field("life", "Ends after", hint="90d, 12h, 30min; empty: when it is revoked."),
        ),
        danger=False,
    )


async def _make(look: Look, form: Form, actor: Actor) -> Done:
    kind, account = form.get("kind", ""), form.get("account", "").strip()
    if kind not in {str(one) for one in TokenKind}:
        raise InvalidRequest("Kind: choose one of the list.", param="kind")
    if not account and TokenKind(kind) not in OPERATORS:
        raise InvalidRequest("Account: a client's token belongs to one, by its id or name.", param="account")
    owner = await _account(look, account) if account else None
    made = await doing.create(look.db, actor, owner, TokenKind(kind), form.get("name", "").strip(), _life(form))
    text = f"The token {made.token.prefix}… was made. Its secret was shown once."
    return Done(text, HERE, "token_made.html", {"token": made.token, "secret": made.secret.text})


async def _account(look: Look, text: str) -> AccountId:
    """What is typed wrong is said beside the form, not on a page of its own."""
    try:
        return (await accounts.find_account(look.db, text)).id
    except NotFound as error:
        raise InvalidRequest(f"Account: {error.message}", param="account") from None


def _life(form: Form) -> float | None:
    text = form.get("life", "").strip()
    if not text:
        return None
    life = words.span(text)
    if life is None:
        raise InvalidRequest("Ends after: say 90d, 12h, 30min or 45s.", param="life")
    return life


async def _ask_revoke(look: Look) -> Question:
    token = await _token(look)
    if token.revoked_at is not None:
        raise NotFound(f"The token {token.prefix}… was revoked already, at {words.moment(token.revoked_at)} UTC.")
    lent = await accounts.count_lent(look.db, token.id)
    return Question(
        title=f"Revoke the token {token.prefix}…?",
        says=(
            f"{token.name or 'Without a name'}, of kind {token.kind}. It is refused everywhere within 30 seconds, and"
            " there is no way back: who uses it needs another one.",
            "Logins to the console that came with it end, and so do tokens that the playground was lent there.",
        ),
        touches=f"1 token{f' and {lent:,} that the playground was lent with it' if lent else ''}",
        button="Revoke",
        back=HERE,
    )


async def _revoke(look: Look, _: Form, actor: Actor) -> Done:
    token = await doing.revoke(look.db, actor, (await _token(look)).id)
    return Done(f"The token {token.prefix}… was revoked.", HERE)


async def _token(look: Look) -> Token:
    wanted = ids.parse(look.params["id"])
    if wanted is None:
        raise NotFound("There is no such token.")
    return await accounts.find_token(look.db, TokenId(wanted))


TOKENS = Page("tokens", "Tokens", load)
NEW = Deed(_ask_new, _make)
REVOKE = Deed(_ask_revoke, _revoke)
