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
from functools import partial

import asyncpg
import httpx2
import structlog

from shared.crashpoints import crash
from shared.db.connect import AWAY, BY_INDEX, Line
from shared.db.statements import statements
from shared.ids import AgentId, Ulid, successor
from shared.logs import Seldom
from shared.metrics import POSTGRES_ERRORS, WEBHOOKS
from shared.settings import Settings
from shared.tasks import end
from shared.webhooks import PREFIX
from worker import outbound
from worker.delivery import TIMEOUT, Due, Tried, delay, tell
from worker.duty import Duty
from worker.tracing import Tracing

log = structlog.get_logger()
warn = Seldom(log)
SQL = statements("outbox")

INTERVAL = 1.0  # seconds between looks for due rows
CALLS = 64  # of one worker at once
CALLS_AN_AGENT = 4  # so that a dead endpoint does not hold the places of the others
CALLS_WHILE_FAILING = 1  # of an agent whose last call failed: several dead ones are to leave room, too
AGENTS = 1_000  # with rows, visited by one look: some 10 ms
LEASE = 30.0  # seconds; longer than a call and its mark, so that nobody else begins meanwhile
PATIENCE = 86_400.0  # seconds after which a row that can't be delivered becomes a dead letter
_FIRST = Ulid("0" * 26)


@dataclass(slots=True)
class Webhooks:
    settings: Settings
    duty: Duty = field(default_factory=Duty)
    tracing: Tracing | None = None
    _line: Line = field(init=False)
    _client: httpx2.AsyncClient = field(init=False)
    _calls: dict[asyncio.Task[Tried], Due] = field(default_factory=dict)
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    _failing: set[AgentId] = field(default_factory=set)
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
        if len(self._calls) < CALLS and not self.duty.quiet:
            rows = await self._claim()
            began = len(rows)
            if rows:
                crash("webhook.after_claim")
            kept = await self._kept(rows)
            for row in rows:
                self._begin(due := Due(*row), kept.get(due.id))
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
        free = {row["agent"]: self._most(row["agent"]) - busy[row["agent"]] for row in visited if row["due"]}
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

    def _most(self, agent: AgentId) -> int:
        """Calls to the agent's receiver at once."""
        return CALLS_WHILE_FAILING if agent in self._failing else CALLS_AN_AGENT

    async def _kept(self, rows: Sequence[asyncpg.Record]) -> dict[Ulid, str]:
        """The spans that these rows' runs belong to, where somebody records them."""
        if self.tracing is None or not rows:
            return {}
        connection = await self._line.get()
        columns = zip(*((row["partition"], row["id"]) for row in rows), strict=True)
        return {row["id"]: row["traceparent"] for row in await connection.fetch(SQL["traces"], *columns)}

    def _begin(self, due: Due, kept: str | None) -> None:
        call = partial(tell, self._client, due)
        calling = call() if self.tracing is None or kept is None else self.tracing.webhook(kept, due.ids, call)
        task = asyncio.create_task(calling, name=f"webhook {due.id}")
        self._calls[task] = due
        task.add_done_callback(lambda _: self._ended.set())

    async def _settle(self, ended: Sequence[asyncio.Task[Tried]]) -> None:
        """Marks the rows of calls that ended; those stay in hand until that is done."""
        if not ended:
            return
        tried = [task.result() for task in ended]
        columns = zip(*map(_columns, tried), strict=True)
        connection = await self._line.get()
        crash("webhook.before_mark")
        rows = await connection.fetch(SQL["settle"], *columns, PATIENCE)
        crash("webhook.after_mark")
        for task in ended:
            del self._calls[task]
        self._tell(tried, {row["id"] for row in rows if row["parked"]})

    def _tell(self, tried: Sequence[Tried], parked: set[Ulid]) -> None:
        for one in tried:
            if one.error is None:
                WEBHOOKS.labels("delivered").inc()
                self._failing.discard(one.due.agent)
                continue
            self._failing.add(one.due.agent)
            WEBHOOKS.labels("failed").inc()
            due = one.due
            told = {
                "agent": due.agent,
                "run": due.run,
                "message": PREFIX + due.id,
                "attempts": due.attempts,
                "error": one.error,
            }
            if due.id in parked:
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


def _columns(tried: Tried) -> tuple[object, ...]:
    due = tried.due
    wait = None if tried.final else delay(due.attempts, random.random())  # noqa: S311 - jitter
    return due.partition, due.id, due.attempts, tried.status, tried.error, wait, tried.error is None
