"""Agents' webhooks, changed by an operator: where they are told, with which secret, and what is told again.

A secret is kept as it is, because messages are signed with it. Refused here: showing one that was shown before.
"""

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from shared import ids
from shared.db.connect import Database
from shared.db.statements import statements
from shared.endpoints import check_url
from shared.errors import Conflict, InvalidRequest, NotFound
from shared.ids import AgentId, Ulid

PREFIX = "msg_"  # of an id, as receivers see it
PAGE = 1_000  # dead letters replayed by one statement
_SECRET_BYTES = 32  # the standard's webhooks take 24 to 64


@dataclass(frozen=True, slots=True)
class Hook:
    """An agent's webhook after a change. `secret`: only where it is new; the one time that it is shown."""

    agent: AgentId
    url: str | None
    secret: str | None = field(default=None, repr=False)


async def set_webhook(db: Database, agent: AgentId, url: str) -> Hook:
    """Tells this URL from now on; a secret is made where there is none. Raises InvalidRequest, NotFound."""
    secret = _mint()
    row = await db.fetchrow(statements("webhooks")["set"], agent, checked(url), secret)
    if row is None:
        raise NotFound(f"There is no agent {agent}.")
    return Hook(agent, url, secret if row["fresh"] else None)


async def rotate_secret(db: Database, agent: AgentId, url: str | None) -> Hook:
    """Signs with another secret from now on; `url` is the agent's. Raises Conflict where it has no webhook."""
    secret = _mint()
    if await db.fetchrow(statements("webhooks")["rotate"], agent, secret) is None:
        raise Conflict("The agent has no webhook: give it one with --url.")
    return Hook(agent, url, secret)


async def remove_webhook(db: Database, agent: AgentId) -> Hook:
    """Tells nobody any more."""
    await db.execute(statements("webhooks")["remove"], agent)
    return Hook(agent, None)


async def replay(db: Database, messages: Sequence[Ulid]) -> int:
    """Tells these again at once, whatever became of them; returns how many. Raises NotFound where one is not there."""
    for message in messages:
        if await db.fetchrow(statements("webhooks")["find"], message) is None:
            raise NotFound(f"There is no message {PREFIX}{message}.")
    return len(await db.fetch(statements("webhooks")["replay"], list(messages)))


async def replay_dead(db: Database, agent: AgentId | None, before: datetime) -> int:
    """Tells a page of dead letters again, of one agent or of all; returns how many.

    Those parked behind `before` are left out: what fails again at once must not be told for ever.
    """
    tag = await db.execute(statements("webhooks")["replay_dead"], agent, PAGE, before)
    return int(tag.rsplit(" ", 1)[-1])


def parse_message(text: str) -> Ulid:
    """The id of a message, with `msg_` or without. Raises InvalidRequest."""
    found = ids.parse(text.removeprefix(PREFIX))
    if found is None:
        raise InvalidRequest(f"{text!r} is no id of a message.")
    return found


def checked(url: str) -> str:
    """Raises InvalidRequest for what can't be a webhook's URL."""
    try:
        return check_url(url)
    except ValueError as error:
        raise InvalidRequest(f"webhook: {error}") from error


def _mint() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
