"""Setting limits: what an account, or one token, may do at once. Processes see it with their next look at the token."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from shared import audit
from shared.audit import Actor
from shared.db.connect import Database
from shared.db.statements import statements
from shared.errors import InvalidRequest, NotFound
from shared.ids import AccountId, TokenId
from shared.limits import LEAST_RATE, MOST_BURST, MOST_CONCURRENCY, MOST_IN_FLIGHT, MOST_RATE, NO_LIMIT

SQL = statements("limits")


class Word(StrEnum):
    """What a limit may be instead of a number."""

    DEFAULT = "default"  # the setting's
    NONE = "none"  # no limit, whatever the setting says


Rate: TypeAlias = float | Word | None  # requests a second; None: as it is
Number: TypeAlias = int | Word | None


@dataclass(frozen=True, slots=True)
class Own:
    """The limits that a row has of its own, once they are changed. None: the setting's; infinite: none."""

    rate: float | None
    burst: int | None
    in_flight: int | None = None
    concurrency: int | None = None


async def limit_account(
    db: Database,
    actor: Actor,
    account: AccountId,
    *,
    rate: Rate = None,
    burst: Number = None,
    in_flight: Number = None,
    concurrency: Number = None,
) -> Own:
    """Changes what is given. Raises InvalidRequest, NotFound."""
    given = {"rate": rate, "burst": burst, "in_flight": in_flight, "concurrency": concurrency}
    values = _checked(given)
    async with audit.entry(
        db, actor, "account.limit", f"account {account}", account=account, reason=_told(given)
    ) as entry:
        names = [name for name, value in given.items() if value is not None]
        row = await db.fetchrow(SQL["limit_account"], account, names, *values)
        if row is None:
            raise NotFound(f"There is no account {account}.")
        entry.touched = 1
        return Own(**row)


async def limit_token(db: Database, actor: Actor, token: TokenId, *, rate: Rate = None, burst: Number = None) -> Own:
    """Changes what is given. Raises InvalidRequest, NotFound."""
    given: dict[str, Rate] = {"rate": rate, "burst": burst}
    values = _checked(given)
    async with audit.entry(db, actor, "token.limit", f"token {token}", reason=_told(given)) as entry:
        names = [name for name, value in given.items() if value is not None]
        row = await db.fetchrow(SQL["limit_token"], token, names, *values)
        if row is None:
            raise NotFound(f"There is no token {token}.")
        entry.touched = 1
        return Own(**row)


_MOST = {"rate": MOST_RATE, "burst": MOST_BURST, "in_flight": MOST_IN_FLIGHT, "concurrency": MOST_CONCURRENCY}


def _checked(given: dict[str, Rate]) -> list[float | None]:
    """As they stand in the row; None for those that stay as they are. Raises InvalidRequest, which names the field."""
    if all(value is None for value in given.values()):
        raise InvalidRequest(f"Nothing is given: one of {', '.join(given)}.")
    return [_stored(name, value) for name, value in given.items()]


def _stored(name: str, value: Rate) -> float | None:
    if value is None or value == Word.DEFAULT:
        return None
    if value == Word.NONE:
        if name == "burst":
            raise InvalidRequest("burst: a number, or default. A rate of none has no burst.")
        return float("inf") if name == "rate" else NO_LIMIT
    number, least, most = float(value), LEAST_RATE if name == "rate" else 1, _MOST[name]
    if not least <= number <= most:  # neither does NaN pass
        raise InvalidRequest(f"{name}: a number from {least:f} to {most:,.0f}, or default, or none.")
    return number if name == "rate" else int(number)


def _told(given: dict[str, Rate]) -> str:
    return ", ".join(f"{name} {value}" for name, value in given.items() if value is not None)
