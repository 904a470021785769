"""Who is logged in. A session is 256 random bits in a cookie; Postgres keeps their SHA-256, and which token it was.

Each process asks again after `TRUST` seconds, so that a revoked token ends its sessions everywhere within that. While
nobody can look, a session that this process knows goes on for `UNSEEN_TRUST`: it reads nothing of Postgres meanwhile,
and whatever it changes is looked at once more (`check`, and `deeds.Once`). Who is not known waits with other
strangers, and takes nothing from those who are. Refused here: clients' tokens, and a cookie that was there before the
login.
"""

import hashlib
import re
import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field

import asyncpg

from api.console.servers import Busy, PostgresAway, Servers
from shared.audit import Actor, Via
from shared.db.statements import statements
from shared.errors import Forbidden, Unauthenticated
from shared.ids import TokenId
from shared.models import OPERATORS, TokenKind
from shared.tokens import Secret

SQL = statements("console")

LIFE = 12 * 3600.0  # seconds: a shift
TRUST = 5.0  # seconds; a revoked token is to be out within 30
UNSEEN_TRUST = 25.0  # seconds, while Postgres is away or busy: with a stream's last look still within those 30
LOGINS = 50  # of one token: the oldest ends for the next, so that no token's logins crowd out all others here
_KNOWN = 1_000  # sessions that a process remembers
_FORGET = 100  # sessions that are over, removed with each login
_UNKNOWN = 10_000  # cookies that a process remembers to be nobody's
_UNKNOWN_FOR = 1.0  # seconds
_SHAPE = re.compile(r"[A-Za-z0-9_-]{43}\Z")  # 32 bytes; what looks otherwise is none of ours


@dataclass(frozen=True, slots=True)
class Operator:
    """Who is logged in, and with what."""

    cookie: str = field(repr=False)  # the session's secret
    token: TokenId
    kind: TokenKind
    name: str
    prefix: str
    ends: float  # of this process' clock

    @property
    def digest(self) -> bytes:
        return _digest(self.cookie)

    @property
    def may_act(self) -> bool:
        return self.kind is TokenKind.ADMIN

    @property
    def shown(self) -> str:
        return f"{self.name or self.kind} ({self.prefix})"

    @property
    def actor(self) -> Actor:
        return Actor(self.shown, Via.CONSOLE, self.token)


class LoginOver(Exception):
    """A login ended, or its token did. Nothing was done."""


class Sessions:
    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._known: OrderedDict[bytes, tuple[Operator, float]] = OrderedDict()  # and when it was looked up
        self._unknown: OrderedDict[bytes, float] = OrderedDict()  # until when it is not looked up again

    async def open(self, secret: Secret) -> Operator:
        """A new session for a token of an operator's. Raises Unauthenticated, Forbidden, PostgresAway, Busy."""
        cookie = secrets.token_urlsafe(32)
        async with self._servers.for_stranger() as db:
            row = await db.fetchrow(SQL["operator"], secret.digest)
            if row is None:
                raise Unauthenticated("This token is unknown, or was revoked, or its time is over.")
            if TokenKind(row["kind"]) not in OPERATORS:
                raise Forbidden("This is a client's token. The console takes those of kind admin or viewer.")
            left = await db.fetchval(SQL["open"], _digest(cookie), row["token"], LIFE)
            for ended in await db.fetch(SQL["crowd"], row["token"], LOGINS):
                self._known.pop(ended["digest"], None)
            await db.execute(SQL["forget"], _FORGET)
        return self._keep(cookie, row, left)

    async def find(self, cookie: str) -> Operator | None:
        """Who has this cookie; None where its session is over. Raises PostgresAway, Busy where nobody can know."""
        if not _SHAPE.match(cookie):
            return None
        digest, now = _digest(cookie), time.monotonic()
        if (known := self._known.get(digest)) is None:
            return await self._meet(cookie, digest, now)
        operator, looked = known
        if now >= operator.ends:
            del self._known[digest]
            return None
        return operator if now < looked + TRUST else await self._look_again(operator, digest, looked)

    async def _meet(self, cookie: str, digest: bytes, now: float) -> Operator | None:
        """Looks up whom this process does not know."""
        if now < self._unknown.get(digest, 0.0):
            return None
        async with self._servers.for_stranger() as db:
            row = await db.fetchrow(SQL["session"], digest)
        if row is not None:
            return self._keep(cookie, row, row["left"])
        self._unknown[digest] = now + _UNKNOWN_FOR
        while len(self._unknown) > _UNKNOWN:
            self._unknown.popitem(last=False)
        return None

    async def _look_again(self, operator: Operator, digest: bytes, looked: float) -> Operator | None:
        try:
            async with self._servers.connection() as db:
                row = await db.fetchrow(SQL["session"], digest)
        except (PostgresAway, Busy):
            if time.monotonic() < looked + UNSEEN_TRUST:
                return operator
            raise
        if row is None:
            self._known.pop(digest, None)
            return None
        return self._keep(operator.cookie, row, row["left"])

    async def check(self, db: asyncpg.Connection, operator: Operator) -> None:
        """Looks at this moment, for what is done at once. Raises LoginOver."""
        if await db.fetchrow(SQL["session"], operator.digest) is None:
            raise LoginOver

    def forget(self, operator: Operator) -> None:
        """Who comes again is looked up."""
        self._known.pop(operator.digest, None)

    async def close(self, cookie: str) -> None:
        """Ends a session here at once, and elsewhere within `TRUST` seconds. Raises PostgresAway, Busy."""
        self._known.pop(_digest(cookie), None)
        async with self._servers.connection() as db:
            await db.execute(SQL["close"], _digest(cookie))

    def _keep(self, cookie: str, row: asyncpg.Record, left: float) -> Operator:
        now = time.monotonic()
        operator = Operator(cookie, row["token"], TokenKind(row["kind"]), row["name"], row["prefix"], now + left)
        self._known[_digest(cookie)] = operator, now
        self._known.move_to_end(_digest(cookie))
        while len(self._known) > _KNOWN:
            self._known.popitem(last=False)
        return operator


def _digest(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode()).digest()
