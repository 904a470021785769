"""The pipeline in one process, on real servers: an inbox and a crew, for tests that need no HTTP."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from api.inbox import Inbox
from api.submission import Answer, NewThread, Passes, Submission
from api.tracing import Tracing
from shared import accounts, agents, ids
from shared.db.connect import open_pool
from shared.events import Event, UserMessage, dump
from shared.ids import AccountId, AgentId, BatchRef, RunId, ThreadId, TokenId
from shared.models import BusyPolicy, TokenKind
from shared.settings import Settings
from worker.crew import Crew

PARTITIONS = 64


@dataclass(slots=True)
class Caller:
    """An account with a token and an agent, and a way to send batches as it."""

    inbox: Inbox
    account: AccountId
    token: TokenId
    agent: AgentId

    def submission(
        self, thread: ThreadId, events: Sequence[Event], *, reply: bool = True, passes: Passes = Passes.NOTHING
    ) -> Submission:
        return Submission(
            ref=BatchRef(ids.mint()),
            partition=ids.partition_of(thread, PARTITIONS),
            thread=thread,
            account=self.account,
            token=self.token,
            events=dump(events),
            passes=passes,
            reply=reply,
        )

    async def create(self, *events: Event, wait: float = 5) -> tuple[ThreadId, Answer]:
        """A new thread, with a first batch of events (none is fine)."""
        thread = ThreadId(ids.mint())
        new = NewThread(agent=self.agent, created_by_kind=TokenKind.HUMAN_PAT)
        submission = self.submission(thread, events, reply=wait > 0)._replace(new=new)
        return thread, await self.inbox.submit(submission, wait)

    async def send(self, thread: ThreadId, *events: Event, wait: float = 5, **options: Any) -> Answer:
        """A batch for a thread that exists."""
        return await self.inbox.submit(self.submission(thread, events, reply=wait > 0, **options), wait)


def message(text: str = "hello", **options: Any) -> UserMessage:
    return UserMessage(RunId(ids.mint()), text, **options)


@asynccontextmanager
async def running_inbox(settings: Settings, tracing: Tracing | None = None) -> AsyncIterator[Inbox]:
    pool = await open_pool(settings.database_url)
    inbox = Inbox(settings, pool, tracing)
    await inbox.start()
    try:
        yield inbox
    finally:
        await inbox.close()
        pool.terminate()


@asynccontextmanager
async def running_crew(settings: Settings, roles: str = "apply") -> AsyncIterator[Crew]:
    crew = Crew(settings, roles)
    await crew.start()
    try:
        yield crew
        crew.check()
    finally:
        await crew.stop(timeout=5)


async def new_caller(inbox: Inbox, name: str = "acme", busy_policy: BusyPolicy = BusyPolicy.QUEUE) -> Caller:
    """An account of its own, with a personal token and a published agent."""
    async with inbox.pool.acquire() as connection:
        account = await accounts.create_account(connection, name)
        token = await accounts.create_token(connection, account.id, TokenKind.HUMAN_PAT)
        agent = await agents.create_agent(
            connection, account.id, "echo", "python", busy_policy=busy_policy, published=True
        )
    return Caller(inbox, account.id, token.token.id, agent.id)
