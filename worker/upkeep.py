"""Upkeep: what keeps Redis and Postgres tidy, none of it in a hurry and all of it in small pieces.

The waiting sets are reconciled with Postgres both ways; applied batches and their keys are forgotten after their
time; deleted threads are purged. Any number of workers may do it at once.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import asyncpg
import structlog
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from shared.db.connect import AWAY, BY_INDEX, Line
from shared.db.statements import statements
from shared.failures import kind_of
from shared.ids import ThreadId
from shared.keys import Keys
from shared.metrics import POSTGRES_ERRORS, REDIS_ERRORS
from shared.queue import AWAY as REDIS_AWAY
from shared.samples import KEPT_HOURS
from shared.settings import Settings
from shared.sparing import Sparing
from shared.tasks import about

log = structlog.get_logger()
SQL = statements("sweep")
OUTBOX = statements("outbox")
SAMPLES = statements("samples")
HEARTBEATS = statements("heartbeats")
LETTERS = statements("letters")
FILES = statements("files")

RECONCILE_INTERVAL = 2.0  # seconds
REST = 20  # times what reconciling took: with a backlog it looks at thousands of batches each time
LONGEST_REST = 3.0  # seconds; the doctor waits for two turns (`shared/inspect/doctor.py`)
FORGET_INTERVAL = 10.0  # seconds
SETTLED = 2.0  # seconds; younger members may still be on their way
PAGE = 1_000  # members or rows looked at in one step
DEAD_DAYS = 30  # that dead letters of webhooks are kept: time to mend a receiver, and an end to what nobody reads
SHARE = 100  # of one partition in one step over all of them
PAGES = 20  # steps in one go
_LONGEST_ID = 18  # digits: far below what a bigint holds, far beyond what a sequence reaches
FIRST = ("0" * 26, 0)


@dataclass(slots=True)
class Upkeep:
    settings: Settings
    redis: Redis
    partitions: int
    _line: Line = field(init=False)  # of `reconcile`
    _slow: Line = field(init=False)  # of `forget`, which may be in the middle of its pages
    _keys: Keys = field(init=False)
    _seen: dict[int, int] = field(default_factory=dict)  # partition -> the batch that forgetting looked up to
    _offsets: dict[int, int] = field(default_factory=dict)  # partition -> members of its set that were found right
    _places: dict[int, tuple[str, int]] = field(default_factory=dict)  # partition -> (account, batch) looked up to

    def __post_init__(self) -> None:
        url = self.settings.database_url
        self._line = Line(url, **BY_INDEX, application_name="threadmill reconcile")
        self._slow = Line(url, **BY_INDEX, application_name="threadmill forget")
        self._keys = Keys(self.settings.redis_prefix)

    async def reconcile(self) -> None:
        """Reconciles until it is cancelled."""
        sparing = Sparing(REST, LONGEST_REST)
        while True:
            await asyncio.sleep(about(max(RECONCILE_INTERVAL, sparing.rest)))
            try:
                with sparing.spent():
                    await self.reconcile_once()
            except REDIS_AWAY as error:
                REDIS_ERRORS.labels("reconcile").inc()
                log.debug("waiting sets not reconciled", error=repr(error))
            except Exception as error:  # nothing that stands in Redis may end a worker
                await self._complain("reconcile", self._line, error)

    async def forget(self) -> None:
        """Forgets and purges until it is cancelled."""
        while True:
            await asyncio.sleep(about(FORGET_INTERVAL))
            try:
                await self.forget_once()
                await self.purge_once()
            except (*AWAY, asyncpg.PostgresError) as error:
                await self._complain("forget", self._slow, error)

    async def reconcile_once(self) -> None:
        """Both ways: what no longer waits goes out, page by page while most of one does; what waits unrung goes in."""
        connection = await self._line.get()
        now: datetime = await connection.fetchval(SQL["clock"])
        partitions: Sequence[int] = range(self.partitions)
        for _ in range(PAGES):
            partitions = await self._take_out(connection, (now.timestamp() - SETTLED) * 1000, partitions)
            if not partitions:
                break
        await self._put_in(connection)

    async def _take_out(self, connection: asyncpg.Connection, limit: float, partitions: Sequence[int]) -> Sequence[int]:
        """One page of each of these sets. Returns those where most of it went: a drain takes some meanwhile."""
        pages = await self._each(
            partitions,
            lambda pipe, key, p: pipe.zrangebyscore(key, "-inf", limit, start=self._offsets.get(p, 0), num=SHARE),
        )
        asked = [(p, batch) for p, page in pages.items() for member in page if (batch := _batch(member))]
        out = {partition: _foreign(partition, page) for partition, page in pages.items()}
        for row in await connection.fetch(SQL["gone"], *zip(*asked, strict=True)) if asked else ():
            out[row["partition"]].append(b"%d" % row["id"])
        for partition, page in pages.items():
            if out[partition]:
                await self.redis.zrem(self._keys.waiting(partition), *out[partition])
            right = self._offsets.get(partition, 0) + len(page) - len(out[partition])
            self._offsets[partition] = right if len(page) == SHARE else 0
        return [partition for partition, page in pages.items() if 2 * len(out[partition]) > len(page)]

    async def _put_in(self, connection: asyncpg.Connection) -> None:
        places = [(p, *self._places.get(p, FIRST)) for p in range(self.partitions)]
        found: dict[int, list[asyncpg.Record]] = defaultdict(list)
        for row in await connection.fetch(SQL["unrung"], SETTLED, SHARE, *zip(*places, strict=True)):
            found[row["partition"]].append(row)
        for partition, rows in found.items():
            members = {str(row["id"]): row["accepted_ms"] for row in rows}
            await self.redis.zadd(self._keys.waiting(partition), members)
            self._places[partition] = (rows[-1]["account"], rows[-1]["id"])
        for partition in range(self.partitions):
            if len(found[partition]) < SHARE:
                self._places.pop(partition, None)

    async def _each(self, partitions: Sequence[int], command: Callable[[Pipeline, str, int], object]) -> dict[int, Any]:
        """The answers to one command for each of these sets, in one round trip; a key that is no set is removed."""
        pipeline = self.redis.pipeline(transaction=False)
        for partition in partitions:
            command(pipeline, self._keys.waiting(partition), partition)
        answers: dict[int, Any] = dict(zip(partitions, await pipeline.execute(raise_on_error=False), strict=True))
        for partition, answer in answers.items():
            if isinstance(answer, Exception):
                if not str(answer).startswith("WRONGTYPE"):
                    raise answer
                log.error("a key of ours held another type, removed", key=self._keys.waiting(partition))
                await self.redis.delete(self._keys.waiting(partition))
                answers[partition] = []
        return answers

    async def forget_once(self) -> int:
        """One page of each partition; returns how many batches were removed."""
        connection = await self._slow.get()
        removed = 0
        for partition in range(self.partitions):
            row = await connection.fetchrow(
                SQL["forget_batches"],
                partition,
                self.settings.retention_hours,
                PAGE,
                self._seen.get(partition, 0),
            )
            removed += row["removed"]
            went_on = row["looked"] == PAGE and row["removed"] < PAGE
            self._seen[partition] = row["seen"] if went_on else 0
        await connection.execute(SQL["forget_threads"], self.settings.retention_hours)
        await connection.execute(SQL["forget_notes"])
        await connection.execute(SAMPLES["forget"], KEPT_HOURS)
        await connection.execute(HEARTBEATS["forget"])
        await self._forget_told(connection)
        await self._sort_parked(connection)
        return removed

    async def _sort_parked(self, connection: asyncpg.Connection) -> None:
        """Dead letters that a worker of an older version parked get the kinds of their errors."""
        rows = await connection.fetch(LETTERS["to_sort"], PAGE)
        if rows:
            kinds = [kind_of(row["error"]) for row in rows]
            await connection.execute(
                LETTERS["sort"], [row["partition"] for row in rows], [row["id"] for row in rows], kinds
            )

    async def _forget_told(self, connection: asyncpg.Connection) -> None:
        """What webhooks were told, and their old dead letters: by the page, because many may come to their time."""
        for _ in range(PAGES):
            tag = await connection.execute(OUTBOX["forget"], self.settings.retention_hours, DEAD_DAYS, PAGE)
            if _count(tag) < PAGE:
                return

    async def purge_once(self) -> None:
        """Removes the rows of deleted threads, a page at a time."""
        connection = await self._slow.get()
        for row in await connection.fetch(SQL["tombstones"]):
            await self._purge(connection, row["partition"], row["id"])

    async def _purge(self, connection: asyncpg.Connection, partition: int, thread: ThreadId) -> None:
        for statement in ("purge_events", "purge_messages", "purge_runs"):
            removed = PAGE
            while removed == PAGE:
                removed = _count(await connection.execute(SQL[statement], partition, thread, PAGE))
        removed = PAGE
        while removed == PAGE:
            removed = await connection.fetchval(FILES["purge"], partition, thread, PAGE)
        await connection.execute(SQL["purge_rest"], partition, thread)

    async def _complain(self, call: str, line: Line, error: BaseException) -> None:
        POSTGRES_ERRORS.labels(call).inc()
        log.warning("upkeep was given up; it comes again", call=call, error=error)
        await line.drop()

    async def close(self) -> None:
        await self._line.close()
        await self._slow.close()
        await self.redis.aclose()


def _batch(member: bytes) -> int | None:
    """The batch id that a member of a waiting set spells; None where it spells none."""
    return int(member) if member.isdigit() and len(member) <= _LONGEST_ID else None


def _foreign(partition: int, page: Sequence[bytes]) -> list[bytes]:
    """Members that are no batch ids: nobody of ours wrote them."""
    foreign = [member for member in page if _batch(member) is None]
    if foreign:
        log.error("a waiting set held what is no batch", partition=partition, members=len(foreign))
    return foreign


def _count(tag: str) -> int:
    """Rows of a command tag such as `DELETE 12`."""
    return int(tag.rsplit(" ", 1)[-1])
