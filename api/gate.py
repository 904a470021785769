"""The gate of callers with limits: one unit of a rate for each request, and room for each batch.

A caller without limits never comes here. Refused here: answering a replay; the door looks up the key of who is refused.
"""

import asyncio
from dataclasses import dataclass, field

from aiohttp import web

from api import budgets, edge
from api.budgets import Budgets
from api.postgres import Postgres
from api.refusals import Refusals
from api.room import Room, Stay
from shared.errors import RateLimited
from shared.keys import Keys
from shared.limits import Limits
from shared.queue import Queue, open_redis
from shared.settings import Settings
from shared.tasks import end, stop_process
from shared.views import Caller

_PLACES = {True: "token", False: "account"}
IN_FLIGHT = "in_flight"
BACKLOG = "backlog"
_AGAIN = 1  # second: batches are applied within milliseconds, or somebody is paused


@dataclass(slots=True)
class Gate:
    settings: Settings
    postgres: Postgres
    _budgets: Budgets = field(init=False)
    _room: Room = field(init=False)
    _refusals: Refusals = field(init=False)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        keys = Keys(self.settings.redis_prefix)
        queue = Queue(open_redis(self.settings.redis_url, budgets.TIMEOUT), keys)
        self._budgets, self._room, self._refusals = Budgets(queue, keys), Room(self.postgres), Refusals(queue)

    async def start(self) -> None:
        """Starts the loops. Redis need not be there."""
        loops = (self._budgets.run, self._refusals.run)
        self._tasks = [asyncio.create_task(loop(), name=loop.__qualname__) for loop in loops]
        for task in self._tasks:
            task.add_done_callback(stop_process)

    async def close(self) -> None:
        await end(self._tasks)
        await self._room.close()
        await self._budgets.close()

    async def take(self, request: web.Request, caller: Caller, limits: Limits) -> None:
        """One unit of the caller's budget; its answer will say what is left. Raises RateLimited."""
        taken, rate = await self._budgets.take(caller, limits)
        if rate is None:
            return
        name = _PLACES[limits.token is not None and taken.place == 1]
        told = budgets.fields(name, taken, rate)
        if not taken.refused:
            request[edge.RATE] = told
            return
        wait = budgets.whole_seconds(taken.wait)
        limit = f"{rate.rate:g} requests a second, {rate.burst} at once"
        raise RateLimited(
            f"The limit of this {name} is {limit}: try again in {wait} s.",
            retry_after=wait,
            limit=f"{name}_rate",
            fields=told,
        )

    async def enter(self, caller: Caller, limits: Limits) -> Stay | None:
        """Room for one batch, which is to be left; None where it needs none. Raises RateLimited, ServiceInactive."""
        cap = limits.in_flight
        if cap is None:
            return None
        stay = await self._room.enter(caller.account, cap)
        if isinstance(stay, Stay):
            return stay
        raise RateLimited(
            f"The account may have {cap} batches in flight, accepted and not applied, and has {stay}.",
            retry_after=_AGAIN,
            limit=IN_FLIGHT,
            fields={"RateLimit-Policy": f'"in_flight";q={cap}', "RateLimit": f'"in_flight";r=0;t={_AGAIN}'},
        )

    def give_back(self, caller: Caller, limits: Limits) -> None:
        """The unit of a request that needed none."""
        self._budgets.give_back(caller, limits)

    def refused(self, limit: str, caller: Caller) -> None:
        """Notes who met a limit."""
        self._refusals.add(limit, caller.account, caller.token)
