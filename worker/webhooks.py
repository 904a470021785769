"""Tells agents' webhooks what stands in the outbox, as often as it takes within a day.

At least once, with an id that stays the same over retries: a worker that is lost between the call and its mark is
repeated by another one. No transaction is open during a call: a row is taken for `LEASE` seconds instead. Refused:
any order between rows, redirects, addresses of private networks unless a setting allows them.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import NamedTuple

import asyncpg
import httpx2
import structlog
from standardwebhooks import Webhook

from shared import __version__
from shared.db.connect import AWAY, BY_INDEX, Line
from shared.db.statements import statements
from shared.ids import AgentId, RunId, Ulid, successor
from shared.logs import Seldom
from shared.metrics import POSTGRES_ERRORS, WEBHOOKS
from shared.settings import Settings
from shared.tasks import end
from worker import outbound

log = structlog.get_logger()
warn = Seldom(log)
SQL = statements("outbox")

INTERVAL = 1.0  # seconds between looks for due rows
CALLS = 64  # of one worker at once
CALLS_AN_AGENT = 4  # so that a dead endpoint does not hold the places of the others
AGENTS = 1_000  # with rows, visited by one look: some 10 ms
TIMEOUT = 10.0  # seconds for one call, all of it
LEASE = 30.0  # seconds; longer than a call and its mark, so that nobody else begins meanwhile
BASE = 5.0  # seconds before the second try at most; doubled for each further one
CAP = 3_600.0  # seconds between two tries at most
PATIENCE = 86_400.0  # seconds after which a row that can't be delivered becomes a dead letter
ANSWER_LIMIT = (
    1 << 16
)  # bytes of an answer that are read: a short one keeps its connection open, nobody wants a long one
ERROR_LIMIT = 300  # characters
_FIRST = Ulid("0" * 26)


class Due(NamedTuple):
    """A row that this worker has taken."""

    partition: int
    id: Ulid
    run: RunId
    agent: AgentId
    type: str
    body: str
    attempts: int  # this one among them
    url: str | None  # null where the agent has no webhook any more
    secret: str | None
    now: datetime


class Tried(NamedTuple):
    """What one call came to. `final`: nobody should try again."""

    due: Due
    status: int | None
    error: str | None  # null: delivered
    final: bool = False


def delay(attempts: int, chance: float) -> float:
    """Seconds until the next try: anything up to twice as long each time (`chance` is 0 to 1), so that rows that failed
    together don't come back together."""
    return chance * min(CAP, BASE * 2.0 ** min(attempts - 1, 20))


@dataclass(slots=True)
class Webhooks:
    settings: Settings
    _line: Line = field(init=False)
    _client: httpx2.AsyncClient = field(init=False)
    _calls: dict[asyncio.Task[Tried], Due] = field(default_factory=dict)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    _next: Ulid = _FIRST  # the agent to begin the next look with

    def __post_init__(self) -> None:
        self._line = Line(self.settings.database_url, **BY_INDEX, application_name="threadmill webhooks")
        self._client = outbound.client(private=self.settings.private_endpoints, timeout=httpx2.Timeout(TIMEOUT))

    async def run(self) -> None:
        """Delivers until it is cancelled. Calls in hand are cancelled, too: another worker repeats them."""
        try:
            while True:
                try:
                    await self.run_once()
                except (*AWAY, asyncpg.PostgresError) as error:
                    POSTGRES_ERRORS.labels("webhooks").inc()
                    warn("webhooks were not looked for; they will be", error=repr(error))
                    await self._line.drop()
                await self._nap()
        finally:
            await end(self._calls)
            self._calls = {call: due for call, due in self._calls.items() if not call.cancelled()}

    async def run_once(self) -> int:
        """Marks what ended, begins what is due; returns how many calls it began."""
        self._ended.clear()
        await self._settle([task for task in self._calls if task.done()])
        began = 0
        if len(self._calls) < CALLS:
            rows = await self._claim()
            began = len(rows)
            for row in rows:
                self._begin(Due(*row))
        return began

    async def finish(self) -> None:
        """Waits for the calls in hand and marks them. Bounded by the time-out of a call."""
        if self._calls:
            await asyncio.wait(self._calls)
            await self._settle(list(self._calls))

    async def _nap(self) -> None:
        """Until a call ends, or it is time to look again."""
        try:
            async with asyncio.timeout(INTERVAL):
                await self._ended.wait()
        except TimeoutError:
            return

    async def _claim(self) -> Sequence[asyncpg.Record]:
        """Due rows of the next agents with any; past the last agent it begins with the first."""
        connection = await self._line.get()
        visited = await connection.fetch(SQL["agents"], self._next, AGENTS)
        busy = Counter(due.agent for due in self._calls.values())
        free = {row["agent"]: CALLS_AN_AGENT - busy[row["agent"]] for row in visited if row["due"]}
        due = {agent: places for agent, places in free.items() if places > 0}
        self._next = successor(visited[-1]["agent"]) if len(visited) == AGENTS else _FIRST
        if not due:
            return ()
        places = CALLS - len(self._calls)
        rows: Sequence[asyncpg.Record] = await connection.fetch(
            SQL["claim"], places, LEASE, list(due), list(due.values())
        )
        if len(rows) == places:  # whoever stands behind was not served
            self._next = rows[-1]["agent"]
        return rows

    def _begin(self, due: Due) -> None:
        task = asyncio.create_task(self._try(due), name=f"webhook {due.id}")
        self._calls[task] = due
        task.add_done_callback(lambda _: self._ended.set())

    async def _try(self, due: Due) -> Tried:
        """One call, whatever comes of it."""
        if due.url is None or due.secret is None:
            return Tried(due, None, "the agent has no webhook any more", final=True)
        try:
            async with asyncio.timeout(TIMEOUT):
                status = await self._post(due, due.url, Webhook(due.secret))
        except TimeoutError:
            return Tried(due, None, f"no answer within {TIMEOUT:g} s")
        except Exception as error:  # what somebody else's server does, or what stands in a row, may not end a worker
            return Tried(due, None, _line(error))
        return _judged(due, status)

    async def _post(self, due: Due, url: str, webhook: Webhook) -> int:
        """Sends the message, signed; returns the status of the answer."""
        message = f"msg_{due.id}"
        headers = {
            "content-type": "application/json",
            "user-agent": f"threadmill/{__version__}",
            "webhook-id": message,
            "webhook-timestamp": str(int(due.now.timestamp())),
            "webhook-signature": webhook.sign(message, due.now, due.body),
        }
        async with self._client.stream("POST", url, content=due.body.encode(), headers=headers) as answer:
            read = 0
            async for piece in answer.aiter_raw():
                read += len(piece)
                if read > ANSWER_LIMIT:
                    break
            return answer.status_code

    async def _settle(self, ended: Sequence[asyncio.Task[Tried]]) -> None:
        """Marks the rows of calls that ended; those stay in hand until that is done."""
        if not ended:
            return
        tried = [task.result() for task in ended]
        columns = zip(*map(_columns, tried), strict=True)
        connection = await self._line.get()
        rows = await connection.fetch(SQL["settle"], *columns, PATIENCE)
        for task in ended:
            del self._calls[task]
        self._tell(tried, {row["id"] for row in rows if row["parked"]})

    def _tell(self, tried: Sequence[Tried], parked: set[Ulid]) -> None:
        for one in tried:
            if one.error is None:
                WEBHOOKS.labels("delivered").inc()
                continue
            WEBHOOKS.labels("failed").inc()
            told = {"agent": one.due.agent, "message": one.due.id, "attempts": one.due.attempts, "error": one.error}
            if one.due.id in parked:
                WEBHOOKS.labels("parked").inc()
                log.warning("a webhook became a dead letter", **told)
            else:
                warn("a webhook was not delivered; it is tried again", **told)

    async def close(self) -> None:
        """Marks what ended before the loop was, if Postgres is there."""
        try:
            async with asyncio.timeout(1):
                await self._settle([task for task in self._calls if task.done()])
        except (*AWAY, asyncpg.PostgresError) as error:
            log.debug("webhooks were not marked; they are told again", error=repr(error))
        await self._client.aclose()
        await self._line.close()


def _judged(due: Due, status: int) -> Tried:
    if 200 <= status < 300:
        return Tried(due, status, None)
    if status == HTTPStatus.GONE:
        return Tried(due, status, "the receiver says that it is gone (410)", final=True)
    if 300 <= status < 400:
        return Tried(due, status, f"answered {status}: redirects are not followed")
    return Tried(due, status, f"answered {status}")


def _columns(tried: Tried) -> tuple[object, ...]:
    due = tried.due
    wait = None if tried.final else delay(due.attempts, random.random())  # noqa: S311 - jitter
    return due.partition, due.id, due.attempts, tried.status, tried.error, wait, tried.error is None


def _line(error: BaseException) -> str:
    """An error as one line that Postgres can keep."""
    text = " ".join(str(error).split()).replace("\0", "") or type(error).__name__
    return text[:ERROR_LIMIT]
