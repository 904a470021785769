"""The playground: a page that talks to agents as any client does, through the public API alone.

What is here finds an account and an agent, and lends the page a token: of that account, for an hour, to be given back
when the page is left. The page's own script does the rest. Refused here: speaking to a thread by any other way, and
lending a token to a viewer.
"""

import time
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from aiohttp import web

from api.console import guard
from api.console.console import Console
from api.console.pages import Look, Page, Values
from api.console.visit import Visit
from shared import accounts, agents, ids
from shared.accounts import Account
from shared.agents import Agent
from shared.errors import Forbidden, InvalidRequest, ThreadmillError
from shared.ids import TokenId
from shared.inspect import named, threads
from shared.inspect.actions import tokens
from shared.models import TokenKind
from shared.tokens import Loan

NAME = "playground"  # of the tokens that it lends
LIFE = 3600.0  # seconds: as long as somebody tries things out
_SHORTEST = 1.0  # seconds: of a login that ends at this moment
_SHOWN = 50  # names a page of a choice

_READ_ONLY = "A viewer's token may look and not act: use a client's token of your own."


async def load(look: Look) -> Values:
    """Who is spoken to at first: what the address names, else the first account and its default agent."""
    thread = await threads.own_row(look.db, look.text("thread")) if look.text("thread") else None
    agent = None
    if wanted := look.text("agent") or (thread and thread.agent):
        agent = await agents.find_agent(look.db, wanted)
    account = await _account(look, thread.account if thread else agent.account if agent else None)
    if agent is None and account is not None:
        agent = await _default(look, account)
    return {"account": account, "agent": agent, "thread": thread}


async def _default(look: Look, account: Account) -> Agent | None:
    if account.default_agent is not None:
        return await agents.find_agent(look.db, account.default_agent)
    return next(iter((await agents.list_agents(look.db, 1, account.id)).items), None)


async def _account(look: Look, owner: str | None) -> Account | None:
    if wanted := owner or look.text("account"):
        return await accounts.find_account(look.db, wanted)
    return next(iter((await accounts.list_accounts(look.db, 1)).items), None)


PLAYGROUND = Page("playground", "Playground", load, live=False)


def _told(
    inner: Callable[["Playground", Visit], Awaitable[Any]],
) -> Callable[["Playground", Visit], Awaitable[web.StreamResponse]]:
    """What the script reads: a document, or what was wrong, in the words that the API has for it."""

    @wraps(inner)
    async def answer(self: "Playground", visit: Visit) -> web.StreamResponse:
        try:
            return web.json_response(await inner(self, visit))
        except ThreadmillError as error:
            return web.json_response({"error": {"code": error.code, "message": error.message}}, status=error.status)

    return answer


class Playground:
    """What the page's script asks of the console. Answers are JSON."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @_told
    async def accounts(self, visit: Visit) -> Any:
        """GET /console/playground/accounts"""
        beginning, after = visit.params.get("named", "").strip(), visit.params.get("after")
        async with self._console.servers.connection() as db:
            found = await named.accounts_named(db, beginning, _SHOWN, after)
        return {"items": [{"id": one.id, "name": one.name} for one in found.items], "after": found.after}

    @_told
    async def agents(self, visit: Visit) -> Any:
        """GET /console/playground/agents"""
        beginning, after = visit.params.get("named", "").strip(), visit.params.get("after")
        async with self._console.servers.connection() as db:
            account = await accounts.find_account(db, visit.params.get("account", ""))
            found = await named.agents_named(db, account.id, beginning, _SHOWN, after)
        return {"items": [_agent(one) for one in found.items], "after": found.after}

    @_told
    async def lend(self, visit: Visit) -> Any:
        """POST /console/playground/token: one of the account, whose secret is in this answer and nowhere else."""
        if not visit.who.may_act:
            raise Forbidden(_READ_ONLY)
        life = min(LIFE, max(visit.who.ends - time.monotonic(), _SHORTEST))  # not beyond the login
        loan = Loan(visit.who.token, visit.who.digest)
        async with self._console.servers.connection() as db:
            await self._console.sessions.check(db, visit.who)
            account = await accounts.find_account(db, visit.form.get("account", ""))
            made = await tokens.create(db, visit.who.actor, account.id, TokenKind.HUMAN_PAT, NAME, life, loan)
        proof = guard.sign(visit.who.cookie, _lent(made.token.id))
        return {"id": made.token.id, "proof": proof, "secret": made.secret.text, "seconds": life}

    @_told
    async def take_back(self, visit: Visit) -> Any:
        """POST /console/playground/return: ends a token that was lent to this session."""
        token = ids.parse(visit.form.get("token", ""))
        if token is None:
            raise InvalidRequest("`token` is the id of a token.", param="token")
        if not guard.signed(visit.who.cookie, _lent(token), visit.form.get("proof", "")):
            raise Forbidden("This token was not lent to this session.")
        async with self._console.servers.connection() as db:
            await self._console.sessions.check(db, visit.who)
            revoked = await tokens.revoke(db, visit.who.actor, TokenId(token))
        return {"id": revoked.id}


def _lent(token: str) -> str:
    """What a session's proof is of, that a token was lent to it."""
    return f"lent {token}"


def _agent(agent: Agent) -> dict[str, Any]:
    return {"id": agent.id, "name": agent.name, "published": agent.published, "default": agent.is_default}
