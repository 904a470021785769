"""What the api and the command line read of an account's things: by id, a bounded page at a time.

Functions over anything that has `fetch` and `fetchrow`. Every read of a thread's data begins with its partition, and
a thread is reached by (account, id): another account's is as unknown as a random one. Refused here: writing.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from pydantic_core import from_json

from shared.db.records import run_of, thread_of
from shared.db.statements import statements
from shared.ids import AccountId, AgentId, RunId, ThreadId
from shared.limits import Defaults, limits_of
from shared.models import BusyPolicy, Thread, TokenKind
from shared.views import AgentView, Caller, RunView

SQL = statements("reads")


class Source(Protocol):
    """A connection, a pool, or what wraps one."""

    async def fetch(self, statement: str, /, *arguments: Any) -> Sequence[Any]: ...

    async def fetchrow(self, statement: str, /, *arguments: Any) -> Any: ...


async def caller(source: Source, digest: bytes, defaults: Defaults) -> Caller | None:
    """Who the token of this SHA-256 speaks for; None where it is unknown or revoked. `defaults` are the limits that
    hold where its rows say nothing.
    """
    row = await source.fetchrow(SQL["caller"], digest)
    if row is None:
        return None
    kind, limits = TokenKind(row["kind"]), limits_of(row, defaults)
    return Caller(row["token"], row["account"], kind, row["digest"], limits)


async def agent(source: Source, id_: AgentId) -> AgentView | None:
    """The agent, whoever's it is."""
    return _agent_view(await source.fetchrow(SQL["agent"], id_))


async def agent_named(source: Source, account: AccountId, name: str) -> AgentView | None:
    return _agent_view(await source.fetchrow(SQL["agent_named"], account, name))


async def default_agent(source: Source, account: AccountId) -> AgentView | None:
    """The account's choice, else its first; None where it has no agent."""
    return _agent_view(await source.fetchrow(SQL["default_agent"], account))


async def thread(source: Source, partition: int, id_: ThreadId, account: AccountId) -> Thread | None:
    row = await source.fetchrow(SQL["thread"], partition, id_, account)
    return None if row is None else thread_of(row)


async def metadata(source: Source, partition: int, id_: ThreadId, account: AccountId) -> dict[str, str] | None:
    """The metadata of a thread; None where there is no such thread."""
    row = await source.fetchrow(SQL["metadata"], partition, id_, account)
    return None if row is None else from_json(row["metadata"])


async def cursor(source: Source, partition: int, id_: ThreadId, account: AccountId) -> Thread | None:
    """A thread that a page ended with, also where it was deleted since."""
    row = await source.fetchrow(SQL["cursor"], partition, id_, account)
    return None if row is None else thread_of(row)


async def threads(
    source: Source,
    account: AccountId,
    agent: AgentId,
    *,
    archived: bool,
    limit: int,
    after: Thread | None = None,
) -> list[Thread]:
    """At most `limit` threads of an agent, newest updated first; those behind `after`, where one is given."""
    if after is None:
        rows = await source.fetch(SQL["threads"], account, agent, archived, limit)
    else:
        page = (account, agent, archived, limit, after.updated_at, after.id)
        rows = await source.fetch(SQL["threads_behind"], *page)
    return [thread_of(row) for row in rows]


async def run(source: Source, partition: int, thread: ThreadId, id_: RunId) -> RunView | None:
    row = await source.fetchrow(SQL["run"], partition, thread, id_)
    return None if row is None else _run_view(row)


async def runs(
    source: Source, partition: int, thread: ThreadId, limit: int, after: RunId | None = None
) -> list[RunView]:
    """At most `limit` runs, the newest first; those behind `after`, where one is given."""
    rows = await source.fetch(SQL["runs"], partition, thread, limit, after)
    return [_run_view(row) for row in rows]


def _agent_view(row: Any) -> AgentView | None:
    return None if row is None else AgentView(**{**row, "busy_policy": BusyPolicy(row["busy_policy"])})


def _run_view(row: Any) -> RunView:
    return RunView(run_of(row), row["place"], None if row["output"] is None else _text(row["output"]))


def _text(parts: str) -> str:
    """The text of a message: its text parts, joined with a newline."""
    return "\n".join(part["text"] for part in from_json(parts) if part.get("type") == "text")
