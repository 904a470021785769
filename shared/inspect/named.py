"""Accounts and agents searched by how their names begin, in either case: what fields that suggest them ask.

Refused here: looking for a text within names, which no index serves.
"""

import sys

from shared.accounts import Account, printable
from shared.agents import Agent, agent_of
from shared.db.connect import Database
from shared.db.statements import statements
from shared.ids import AccountId, Ulid
from shared.inspect.page import FIRST, Id, Page, cut, key_of

_BEYOND = chr(sys.maxunicode)  # put behind a beginning: beyond every name that begins so


async def accounts_named(db: Database, beginning: str, limit: int, after: str | None = None) -> Page[Account]:
    """By name. Raises InvalidRequest."""
    rows = await db.fetch(statements("accounts")["named"], *_range(beginning, after), limit + 1)
    return cut([Account(**row) for row in rows], limit, lambda account: (account.name, account.id))


async def agents_named(
    db: Database, account: AccountId, beginning: str, limit: int, after: str | None = None
) -> Page[Agent]:
    """Those of an account, by name. Raises InvalidRequest."""
    rows = await db.fetch(statements("agents")["named"], *_range(beginning, after), limit + 1, account)
    return cut([agent_of(row) for row in rows], limit, lambda agent: (agent.name, agent.id))


def _range(beginning: str, after: str | None) -> tuple[str, str, str, Ulid]:
    """From where, to where, and what was shown of it."""
    name, beyond = key_of(after, str, Id)
    return printable(beginning), beginning + _BEYOND, printable(name or ""), beyond or FIRST
