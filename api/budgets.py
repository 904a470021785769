"""Rates: takes a unit for each request from the buckets of its token and its account, which all apis share in Redis.

Requests that come while a call is under way go with the next one. A Redis that is away or slow refuses nobody: each
process then goes by buckets of its own, and asks again after a while. Refused here: knowing who needs no budget.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import structlog

from api.buckets import Buckets, Taken
from shared.keys import Keys
from shared.limits import Limits, Rate
from shared.logs import Seldom
from shared.metrics import REDIS_ERRORS
from shared.queue import AWAY, Queue
from shared.views import Caller

warn = Seldom(structlog.get_logger())

TIMEOUT = 0.05  # seconds for Redis; it takes a millisecond, and a request waits for it
CALLS = 2  # under way at once: one is on its way while the other one is read
MOST = 100  # requests of one call: Redis does nothing else meanwhile
REST = (0.1, 1.0)  # seconds without a try after a failure, and the most of it: each one in a row doubles it

Bucket: TypeAlias = tuple[str, Rate]  # its key, and what holds for it


class Asked(NamedTuple):
    buckets: Sequence[Bucket]
    units: int
    answer: "asyncio.Future[Taken] | None"  # None: nobody waits for it


@dataclass(slots=True)
class Budgets:
    queue: Queue  # on a client of its own, bounded by `TIMEOUT`
    keys: Keys
    _own: Buckets = field(default_factory=Buckets)
    _waiting: list[Asked] = field(default_factory=list)
    _calls: asyncio.TaskGroup | None = None
    _under_way: int = 0
    _failures: int = 0  # in a row
    _again_at: float = 0.0  # of the loop's clock: no try before

    async def run(self) -> None:
        """Lets Redis be asked until it is cancelled."""
        try:
            async with asyncio.TaskGroup() as self._calls:
                await asyncio.Event().wait()
        finally:
            self._calls = None
            self._decide_alone(self._waiting)
            self._waiting = []

    async def take(self, caller: Caller, limits: Limits) -> tuple[Taken, Rate | None]:
        """One unit, and the limit that the answer is about; None where no rate is limited."""
        buckets = self._buckets(caller, limits)
        if not buckets:
            return Taken(0, 0.0, 0, 0), None
        taken = await self._ask(buckets)
        return taken, buckets[taken.place - 1][1]

    def give_back(self, caller: Caller, limits: Limits) -> None:
        """A unit that was taken for what needed none. Nobody waits for it."""
        if buckets := self._buckets(caller, limits):
            self._add(Asked(buckets, -1, None))

    def _buckets(self, caller: Caller, limits: Limits) -> list[Bucket]:
        found: list[Bucket] = []
        if limits.token is not None:
            found.append((self.keys.token_rate(caller.token), limits.token))
        if limits.account is not None:
            found.append((self.keys.account_rate(caller.account), limits.account))
        return found

    async def _ask(self, buckets: Sequence[Bucket]) -> Taken:
        answer: asyncio.Future[Taken] = asyncio.get_running_loop().create_future()
        self._add(Asked(buckets, 1, answer))
        return await answer

    def _add(self, asked: Asked) -> None:
        if self._calls is None or asyncio.get_running_loop().time() < self._again_at:
            self._decide_alone([asked])
            return
        self._waiting.append(asked)
        if self._under_way < CALLS:
            self._under_way += 1
            self._calls.create_task(self._call())

    async def _call(self) -> None:
        try:
            while self._waiting:
                some, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                await self._call_for(some)
        finally:
            self._under_way -= 1

    async def _call_for(self, some: Sequence[Asked]) -> None:
        try:
            async with asyncio.timeout(TIMEOUT):
                flat = await self.queue.take([(asked.units, _in_microseconds(asked.buckets)) for asked in some])
        except AWAY as error:
            REDIS_ERRORS.labels("rate").inc()
            warn("rates are counted by this process alone", requests=len(some), error=repr(error))
            self._failures += 1
            rest = min(REST[0] * 2 ** (self._failures - 1), REST[1])
            self._again_at = asyncio.get_running_loop().time() + rest
            waiting, self._waiting = self._waiting, []
            self._decide_alone([*some, *waiting])
            return
        except asyncio.CancelledError:
            self._decide_alone(some)
            raise
        self._failures = 0
        for n, asked in enumerate(some):
            refused, wait, place, left = flat[4 * n : 4 * n + 4]
            _tell(asked, Taken(refused, wait / 1e6, place, left))

    def _decide_alone(self, some: Sequence[Asked]) -> None:
        for asked in some:
            _tell(asked, self._own.take(asked.buckets, asked.units))

    async def close(self) -> None:
        await self.queue.close()


def _in_microseconds(buckets: Sequence[Bucket]) -> list[tuple[str, float, float]]:
    return [(key, rate.interval * 1e6, rate.burst * rate.interval * 1e6) for key, rate in buckets]


def _tell(asked: Asked, taken: Taken) -> None:
    if asked.answer is not None and not asked.answer.done():  # its request may be gone
        asked.answer.set_result(taken)


def fields(name: str, taken: Taken, rate: Rate) -> Mapping[str, str]:
    """The header fields of draft-ietf-httpapi-ratelimit-headers: the policy, and what is left of it."""
    wait = taken.wait if taken.refused else (rate.burst - taken.left) * rate.interval
    return {
        "RateLimit-Policy": f'"{name}";q={rate.burst};w={rate.window}',
        "RateLimit": f'"{name}";r={taken.left};t={whole_seconds(wait)}',
    }


def whole_seconds(wait: float) -> int:
    """At least one, as `Retry-After` says it."""
    return max(1, -int(-wait // 1))
