"""Limits as an operator sees them: what holds for an account, how much of it is used, and who was refused lately.

What holds where nothing is set comes from the settings of the process that looks: an operator's environment is to be
that of the apis.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from redis.asyncio import Redis

from shared import ids
from shared.db.connect import Database
from shared.db.statements import statements
from shared.errors import NotFound
from shared.ids import AccountId, TokenId
from shared.inspect.counts import COUNTED, Count, counted
from shared.keys import Keys
from shared.limits import Defaults, Rate, number_of, rate_of
from shared.models import OPERATORS, TokenKind

SQL = statements("limits")

KINDS = [kind for kind in TokenKind if kind not in OPERATORS]  # of tokens that belong to an account
TOKENS = 1_000  # of an account that are looked at for limits of their own, the oldest that are not revoked
LEASES = 10_000  # looked at for runs that execute
SHOWN = 200  # callers that were refused; no more are kept


@dataclass(frozen=True, slots=True)
class Limited:
    """Somebody whom a limit refused. `count`: how often since the first time within a day."""

    limit: str  # token_rate, account_rate, in_flight, backlog
    account: AccountId
    account_name: str | None  # None: it is not known any more, or Postgres is away
    token: TokenId
    token_name: str | None
    count: int
    last_at: datetime  # by Redis' clock


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit. `most` None: there is none."""

    name: str  # account_rate, token_rate, in_flight, concurrency
    most: float | None  # requests a second, batches, or runs in one worker
    burst: int | None  # requests at once, of a rate
    source: str  # own, or setting
    used: Count | None  # of the burst, or of `most`; None: not known
    token: TokenId | None = None
    token_name: str | None = None


async def limited(db: Database | None, redis: Redis, keys: Keys, most: int = SHOWN) -> list[Limited]:
    """Who was refused lately, the latest first. Without `db` nobody has a name. Raises what redis raises."""
    found: list[tuple[bytes, float]] = await redis.execute_command(
        "ZREVRANGE", keys.limited, 0, most - 1, "WITHSCORES", withscores=True
    )
    if not found:
        return []
    counts: Sequence[bytes | None] = await redis.execute_command(
        "HMGET", keys.limited_counts, *(who for who, _ in found)
    )
    told = [
        (parts, int(count or 1), at)
        for (who, at), count in zip(found, counts, strict=True)
        if (parts := _parts(who)) is not None
    ]
    names = await _names(db, [account for (_, account, _), _, _ in told], [token for (_, _, token), _, _ in told])
    return [
        Limited(
            limit, account, names.get(account), token, names.get(token), count, datetime.fromtimestamp(at / 1000, UTC)
        )
        for (limit, account, token), count, at in told
    ]


async def account_limits(
    db: Database, redis: Redis | None, keys: Keys, defaults: Defaults, account: AccountId
) -> list[Limit]:
    """All limits of an account, and of those of its tokens that have some of their own. Without `redis` nobody knows
    how much of a rate is used. Raises NotFound, and what redis raises.
    """
    row = await db.fetchrow(SQL["of_account"], account)
    if row is None:
        raise NotFound(f"There is no account {account}.")
    rate = rate_of(row["rate"], row["burst"], defaults.account_rate, defaults.account_burst)
    in_flight = number_of(row["in_flight"], defaults.account_in_flight)
    concurrency = number_of(row["concurrency"], defaults.account_concurrency)
    bound = in_flight or COUNTED
    waiting = counted(await db.fetchval(SQL["in_flight"], account, bound + 1), bound)
    executing = Count(await db.fetchval(SQL["executing"], account, LEASES))
    return [
        await _rate(redis, keys.account_rate(account), "account_rate", rate, own=_own(row["rate"], row["burst"])),
        Limit("in_flight", in_flight, None, _own(row["in_flight"]), waiting),
        Limit("concurrency", concurrency, None, _own(row["concurrency"]), executing),
        *[await _token(redis, keys, defaults, one) for one in await db.fetch(SQL["of_tokens"], account, KINDS, TOKENS)],
    ]


async def _token(redis: Redis | None, keys: Keys, defaults: Defaults, row: Any) -> Limit:
    rate = rate_of(row["rate"], row["burst"], defaults.token_rate, defaults.token_burst)
    name = row["name"] or row["prefix"]
    own, key = _own(row["rate"], row["burst"]), keys.token_rate(row["id"])
    found = await _rate(redis, key, "token_rate", rate, own=own)
    return Limit(found.name, found.most, found.burst, own, found.used, row["id"], name)


async def _rate(redis: Redis | None, key: str, name: str, rate: Rate | None, *, own: str) -> Limit:
    if rate is None:
        return Limit(name, None, None, own, None)
    return Limit(name, rate.rate, rate.burst, own, None if redis is None else await _used(redis, key, rate))


async def _used(redis: Redis, key: str, rate: Rate) -> Count:
    """Units of a bucket that are not back yet."""
    left: int = await redis.execute_command("PTTL", key)  # its key lives until it is full
    return Count(min(rate.burst, -int(-max(left, 0) / 1000 * rate.rate // 1)))


def _own(*values: object) -> str:
    return "setting" if all(value is None for value in values) else "own"


def _parts(who: bytes) -> tuple[str, AccountId, TokenId] | None:
    """What a member of the ZSET spells; None where nobody of ours wrote it."""
    parts = who.decode(errors="replace").split(" ")
    if len(parts) != 3 or ids.parse(parts[1]) is None or ids.parse(parts[2]) is None:
        return None
    return parts[0], AccountId(ids.Ulid(parts[1])), TokenId(ids.Ulid(parts[2]))


async def _names(db: Database | None, accounts: list[AccountId], tokens: list[TokenId]) -> dict[str, str]:
    if db is None:
        return {}
    rows = await db.fetch(SQL["names"], sorted(set(accounts)), sorted(set(tokens)))
    return {row["id"]: row["name"] for row in rows}
