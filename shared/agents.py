"""Agents: what answers in threads. Made, listed, changed, opened and closed for new threads by the operator.

Functions over a connection or a pool; the caller owns the transaction. Each change is one statement. Refused here:
deleting any (threads refer to them for as long as they live).
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from shared import ids
from shared.accounts import checked, find_account, printable
from shared.db.connect import Database
from shared.db.statements import statements
from shared.errors import Conflict, InvalidRequest, NotFound
from shared.ids import AccountId, AgentId
from shared.inspect.page import EPOCH, FIRST, Id, Moment, Page, cut, key_of
from shared.models import BusyPolicy, OnExpired

SQL = statements("agents")

_LONGEST_RUN = 31_536_000  # seconds: a year


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
        SQL["create"],
        *(ids.mint(), owner.id, checked(name), checked(runner), json.dumps(config or {})),
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
    rows = await db.fetch(SQL[name], at or EPOCH, beyond or FIRST, limit + 1, *of)
    return cut([agent_of(row) for row in rows], limit, lambda agent: (agent.created_at, agent.id))


async def find_agent(db: Database, id_or_name: str, account: AccountId | None = None) -> Agent:
    """The agent of an id, or of a name that only one account has. Raises NotFound, Conflict."""
    wanted = ids.parse(id_or_name)
    rows = await db.fetch(SQL["find"], wanted, printable(id_or_name), account)
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
    await db.execute(SQL["change"], agent, text, busy_policy, run_timeout, on_expired)
    return await find_agent(db, agent)


async def publish_agent(db: Database, agent: AgentId) -> Agent:
    """Opens it for new threads. Raises NotFound."""
    await db.execute(SQL["publish"], agent, True)
    return await find_agent(db, agent)


async def unpublish_agent(db: Database, agent: AgentId) -> Agent:
    """Closes it for new threads; those it has go on. Raises NotFound."""
    await db.execute(SQL["publish"], agent, False)
    return await find_agent(db, agent)


async def set_default_agent(db: Database, agent: AgentId) -> Agent:
    """The agent that its account uses where a request names none. Raises NotFound."""
    await db.execute(statements("accounts")["set_default_agent"], agent)
    return await find_agent(db, agent)


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
