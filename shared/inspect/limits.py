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
from shared.limits import Rate, number_of, rate_of
from shared.models import OPERATORS, TokenKind
from shared.queue import Queue
from shared.settings import Settings

SQL = statements("limits")

KINDS = [kind for kind in TokenKind if kind not in OPERATORS]  # of tokens that belong to an account
TOKENS = 1_000  # of an account that are looked at, the oldest that are not revoked
NEAREST = 20  # of those without limits of their own that are shown
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

    name: str  # account_rate, token_rate, in_flight, concurrency, backlog
    most: float | None  # requests a second, batches, or runs in one worker
    burst: int | None  # requests at once, of a rate
    source: str  # own, or setting
    used: Count | None  # of the burst, or of `most`; None: not known
    token: TokenId | None = None  # None of a token's rate: of each that has none of its own; used is what one used most
    token_name: str | None = None

    @property
    def amount(self) -> str:
        """`most` in digits; empty where there is no limit."""
        if isinstance(self.most, int):
            return f"{self.most:,}"
        return "" if self.most is None else f"{self.most:,.15g}"


@dataclass(frozen=True, slots=True)
class OfAccount:
    """The limits that an account meets; of tokens without any of their own those that have used most of theirs."""

    limits: tuple[Limit, ...]
    unshown: int  # tokens that have used it lately, too
    unlooked: bool  # it has more than the `TOKENS` that were looked at


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
    db: Database, redis: Redis | None, keys: Keys, settings: Settings, account: AccountId
) -> OfAccount:
    """All limits of an account, of its tokens, and of all accounts together. Without `redis` nobody knows how much of a
    rate is used, nor how much waits of all. Raises NotFound, and what redis raises.
    """
    row = await db.fetchrow(SQL["of_account"], account)
    if row is None:
        raise NotFound(f"There is no account {account}.")
    rate = rate_of(row["rate"], row["burst"], settings.account_rate, settings.account_burst)
    in_flight = number_of(row["in_flight"], settings.account_in_flight)
    concurrency = number_of(row["concurrency"], settings.account_concurrency)
    bound = in_flight or COUNTED
    waiting = counted(await db.fetchval(SQL["in_flight"], account, bound + 1), bound)
    executing = Count(await db.fetchval(SQL["executing"], account, LEASES))
    (used,) = await _used(redis, [(keys.account_rate(account), rate)])
    tokens = await db.fetch(SQL["of_tokens"], account, KINDS, TOKENS + 1)
    each, unshown = await _of_tokens(redis, keys, settings, [one for one in tokens[:TOKENS] if not one["over"]])
    size = await db.fetchval(statements("inspect")["partitions"])
    limits = (
        _rate("account_rate", rate, _own(row["rate"], row["burst"]), used),
        Limit("in_flight", in_flight, None, _own(row["in_flight"]), waiting),
        Limit("concurrency", concurrency, None, _own(row["concurrency"]), executing),
        *each,
        backlog(settings, None if redis is None else await Queue(redis, keys).waiting(size)),
    )
    return OfAccount(limits, unshown, len(tokens) > TOKENS)


def backlog(settings: Settings, waiting: int | None) -> Limit:
    """The limit of all accounts together. `waiting`: what Redis holds, as apis go by it; None: not known."""
    return Limit("backlog", settings.backlog_limit, None, "setting", None if waiting is None else Count(waiting))


async def _of_tokens(
    redis: Redis | None, keys: Keys, settings: Settings, rows: Sequence[Any]
) -> tuple[list[Limit], int]:
    """The rate of each token, those that are of one alone, and who has used most of the others'; and how many more
    have used theirs.
    """
    default = settings.token_rate, settings.token_burst
    rates = [rate_of(row["rate"], row["burst"], *default) for row in rows]
    used = await _used(redis, [(keys.token_rate(row["id"]), rate) for row, rate in zip(rows, rates, strict=True)])
    found = [
        _rate("token_rate", rate, _own(row["rate"], row["burst"]), count, row)
        for row, rate, count in zip(rows, rates, used, strict=True)
    ]
    busy = sorted((one for one in found if one.source == "setting" and _count(one)), key=_count, reverse=True)
    each = rate_of(None, None, *default)
    most = None if redis is None or each is None else Count(_count(busy[0]) if busy else 0)
    own = [one for one in found if one.source == "own"]
    return [_rate("token_rate", each, "setting", most), *own, *busy[:NEAREST]], len(busy[NEAREST:])


def _rate(name: str, rate: Rate | None, source: str, used: Count | None, token: Any = None) -> Limit:
    most, burst = (None, None) if rate is None else rate
    if token is None:
        return Limit(name, most, burst, source, used)
    return Limit(name, most, burst, source, used, token["id"], token["name"] or token["prefix"])


async def _used(redis: Redis | None, buckets: Sequence[tuple[str, Rate | None]]) -> list[Count | None]:
    """Units of each bucket that are not back yet; None where there is no limit, or nobody knows."""
    limited = [key for key, rate in buckets if rate is not None]
    if redis is None or not limited:
        return [None for _ in buckets]
    pipeline = redis.pipeline(transaction=False)
    for key in limited:
        pipeline.pttl(key)  # its key lives until it is full
    left = dict(zip(limited, await pipeline.execute(), strict=True))
    return [None if rate is None else Count(_missing(left[key], rate)) for key, rate in buckets]


def _missing(left: int, rate: Rate) -> int:
    """Units of a bucket that is full again in so many milliseconds."""
    return min(rate.burst, -int(-max(left, 0) / 1000 * rate.rate // 1))


def _count(limit: Limit) -> int:
    return 0 if limit.used is None else limit.used.value


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
