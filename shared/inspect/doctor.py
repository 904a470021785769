"""The doctor: each problem of the service, with its cause and its next step. Cheap enough for once a second.

Both servers are looked at side by side, each within a bound; one that is away is itself a problem, and hides no other.
What must last to be one (waiting sets that differ) is told when two looks, `CONFIRM` seconds apart, have found it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from redis.asyncio import Redis

from shared.db.connect import Database
from shared.inspect.facts import Facts, Rung, Stored, differing, read_rung, read_stored
from shared.inspect.problems import Problem
from shared.inspect.queue import PARTITIONS
from shared.inspect.servers import within
from shared.inspect.symptoms import problems_of
from shared.keys import Keys
from shared.settings import Settings

SETTLED = 10.0  # seconds; the workers reconcile every two, with a long backlog every three
CONFIRM = 6.0  # seconds between looks that find the same difference: two turns of the workers' upkeep, or three


@dataclass(slots=True)
class Doctor:
    """Looks again and again over the same servers. `db` None: nobody has a connection to Postgres."""

    db: Database | None
    redis: Redis
    keys: Keys
    settings: Settings
    partitions: int = PARTITIONS  # as Postgres last said
    suspects: dict[int, float] = field(default_factory=dict)  # partitions that differ, since when on the loop's clock

    async def diagnose(self) -> list[Problem]:
        facts = await self.look()
        return problems_of(facts, self.settings)

    async def look(self) -> Facts:
        errors: dict[str, str] = {}
        stored, rung = await asyncio.gather(
            within(errors, "postgres", self._stored()),
            within(errors, "redis", read_rung(self.redis, self.keys, self.partitions)),
        )
        if stored and stored.partitions:
            self.partitions = len(stored.partitions)
        lasting = await self._lasting(errors, stored, rung) if stored and rung else ()
        return Facts(stored, rung, lasting, errors)

    async def _stored(self) -> Stored:
        if self.db is None:
            raise ConnectionError("it takes no connection")
        return await read_stored(self.db, self.settings.alarm_age, self.settings.alarm_request_hours)

    async def _lasting(self, errors: dict[str, str], stored: Stored, rung: Rung) -> Sequence[int]:
        """Partitions of which Redis and Postgres have said different things for long, though workers are about."""
        if self.db is None or not any(one.kind == "worker" for one in stored.processes):
            return ()
        read = differing(self.db, self.redis, self.keys, stored, rung, SETTLED)
        found = await within(errors, "difference", read) or ()
        now = asyncio.get_running_loop().time()
        self.suspects = {one: self.suspects.get(one, now) for one in found}
        return [one for one, since in self.suspects.items() if now - since >= CONFIRM]


async def diagnose(db: Database, redis: Redis, keys: Keys, settings: Settings) -> list[Problem]:
    """One look. Whoever looks again and again keeps a `Doctor`, which also sees what only lasts."""
    return await Doctor(db, redis, keys, settings).diagnose()
