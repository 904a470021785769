"""A stack whose workers execute, with one client of its own: what the programs and tests here stand on."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
import asyncpg

from shared import accounts, agents
from shared.db.connect import open_pool
from shared.ids import partition_of
from shared.models import TokenKind
from tests.faults.processes import Member, Stack
from tests.faults.waiting import until
from tests.pipeline import PARTITIONS

Document = dict[str, Any]

TERMINAL = frozenset({"completed", "failed", "cancelled", "expired"})
TIMEOUT = aiohttp.ClientTimeout(total=40)  # seconds; more than an answer may wait for its outcome
WAIT = {"Prefer": "wait=20"}  # an answer with the outcome, though the worker that had it in hand was killed


@dataclass(slots=True)
class Stage:
    stack: Stack
    db: asyncpg.Pool  # the test's own, past every fault
    account: str
    token: str
    agents: dict[str, str]  # name -> id

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def api(self) -> str:
        return f"{self.stack.apis[0].url}/api/v1"

    async def new_thread(self, agent: str = "echo") -> str:
        document = await self._exchange("POST", f"/agents/{self.agents[agent]}/threads", {})
        return str(document["thread"]["id"])

    async def send(self, thread: str, *events: Document) -> Document:
        """One batch; the answer with its outcome."""
        return await self._exchange("POST", f"/threads/{thread}/events", {"events": list(events)})

    async def say(self, thread: str, text: str) -> str:
        """One message; the run that it starts."""
        answer = await self.send(thread, {"type": "user_message", "text": text})
        return str(answer["events"][0]["run"]["id"])

    async def run(self, thread: str, run: str) -> Document:
        return await self._exchange("GET", f"/threads/{thread}/runs/{run}")

    async def page(self, thread: str, after: str, limit: int = 1_000) -> Document:
        return await self._exchange("GET", f"/threads/{thread}/events?after={after}&limit={limit}")

    async def ended(self, thread: str, run: str, within: float = 60.0) -> Document:
        """The run once it is terminal."""

        async def is_over() -> bool:
            return (await self.run(thread, run))["status"] in TERMINAL

        await until(f"run {run} is over", is_over, within)
        return await self.run(thread, run)

    async def request(self, run: str) -> str:
        """The id of the permission request that a run opened last."""
        request: str = await self.db.fetchval(
            "select id from permission_requests where run = $1 order by id desc limit 1", run
        )
        return request

    async def holder(self, run: str) -> Member | None:
        """The worker whose lease the run has, if it is one of ours that lives."""
        pid = await self.db.fetchval(
            "select w.pid from leases l join workers w on w.id = l.owner where l.run = $1", run
        )
        return self.member(pid)

    def member(self, pid: int | None) -> Member | None:
        """The living worker with this process id."""
        workers = (w for w in self.stack.workers if w.process.pid == pid and w.process.poll() is None)
        return next(workers, None)

    async def held(self, thread: str, run: str, deltas: int) -> Member:
        """Who executes the run, once that many deltas of it are in the log."""

        async def found() -> bool:
            return await self.count(thread, run) >= deltas and await self.holder(run) is not None

        await until(f"run {run} has streamed {deltas} deltas", found, 30)
        holder = await self.holder(run)
        assert holder is not None, f"run {run} is over too soon for this test"
        return holder

    async def count(self, thread: str, run: str) -> int:
        """Its deltas in the log."""
        return int(
            await self.db.fetchval(
                "select count(*) from thread_events"
                " where partition = $1 and thread = $2 and run = $3 and type = 'agent.message.delta'",
                partition_of(thread, PARTITIONS),
                thread,
                run,
            )
        )

    async def idle(self, within: float) -> None:
        """Waits until every run has ended, or the time is up: the check of the rows names those that have not."""

        async def none_active() -> bool:
            return not await self.db.fetchval("select count(*) from threads where active_runs > 0")

        with suppress(TimeoutError):
            await until("every run has ended", none_active, within)

    async def unleased(self, within: float) -> float | None:
        """Waits until no lease is left; None where one stays: the check of the rows names it."""

        async def none_left() -> bool:
            return not await self.db.fetchval("select count(*) from leases")

        try:
            return await until("no lease is left", none_left, within)
        except TimeoutError:
            return None

    async def _exchange(self, method: str, path: str, body: Document | None = None) -> Document:
        """Raises AssertionError where it does not succeed: no api is hit by a fault here."""
        url, headers = self.api + path, self.headers | WAIT
        async with self.stack.session.request(method, url, json=body, headers=headers, timeout=TIMEOUT) as response:
            document: Document = await response.json()
            assert response.status in (200, 201), f"{method} {path}: {response.status} {document}"
            return document


@asynccontextmanager
async def stage(stack: Stack, name: str = "acme") -> AsyncIterator[Stage]:
    """Once every process of the stack is ready: an account, a token, the demo agents `echo`, its default one, and
    `approve`.
    """
    db = await open_pool(stack.database_url, size=6)
    try:
        account = await accounts.create_account(db, name)
        token = await accounts.create_token(db, account.id, TokenKind.HUMAN_PAT)
        made = {}
        for agent in ("echo", "approve"):
            config = {"function": f"worker.runners.demo:{agent}"}
            made[agent] = (await agents.create_agent(db, account.id, agent, "python", config=config, published=True)).id
        await agents.set_default_agent(db, made["echo"])
        await stack.ready()
        yield Stage(stack, db, account.id, token.secret.text, dict(made))
    finally:
        db.terminate()
