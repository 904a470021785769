"""Briefing: all that a run needs to begin, read for the runs of one take at once; and what it may ask for later."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import asyncpg
import structlog
from pydantic_core import from_json

from shared import ids
from shared.db.statements import statements
from shared.ids import AccountId, AgentId, EventId, RunId, ThreadId
from shared.lifecycle import QUEUE_LIMIT
from shared.reports import Tokens
from worker.execute.leases import Lease
from worker.execute.replay import Logged, Replay
from worker.execute.tape import Speech
from worker.load import Where
from worker.runners import Decision, Message, Runner, RunnerError, Verdict

log = structlog.get_logger()
SQL = statements("briefing")

_BEHIND = 2 * QUEUE_LIMIT  # messages of runs that wait: one each, and what was offered to them
_LAST = 2**63 - 1  # beyond every number
_SIZE = 4 << 20  # bytes of history, but for its first message: a worker has it of each of its runs
_ROLES: Mapping[str, Literal["user", "assistant"]] = {"user": "user", "assistant": "assistant"}


class AgentKey(NamedTuple):
    """An agent as it is configured now."""

    agent: AgentId
    changed: str


@dataclass(frozen=True, slots=True)
class Briefing:
    lease: Lease
    account: AccountId
    agent: AgentKey | None
    runner: str
    config: Mapping[str, Any]
    attempt: int
    state: Any
    messages: Sequence[Message]
    decisions: Mapping[str, Decision]
    used: Tokens
    place: EventId | None  # where the last attempt's checkpoint lies; None where this is the first one
    seq: int  # its place in the thread's order of execution: history is what comes before
    made_at: datetime  # when the run was
    first: int | None  # the number of the first new message
    parent: int | None  # the number of the message that the new ones follow, 0 for none; None: the last one before
    traceparent: str | None = None  # of the span that its batch was applied in
    readable: bool = True  # if not, the rest is empty

    async def refuse(self) -> Runner:
        """In place of a runner. Raises RunnerError."""
        raise RunnerError("What is stored of the run or its agent can't be read.", code="runner.unavailable")


async def brief(connection: asyncpg.Connection, leases: Sequence[Lease]) -> list[Briefing]:
    """One query for all of them. What was lost meanwhile is left out."""
    columns = zip(*((*lease.where, lease.run, lease.epoch) for lease in leases), strict=True)
    of = {lease.epoch: lease for lease in leases}
    return [_readable(of[row["epoch"]], row) for row in await connection.fetch(SQL["briefing"], *columns)]


def _readable(lease: Lease, row: asyncpg.Record) -> Briefing:
    """What can't be read fails its own run, not those beside it."""
    try:
        return _briefing(lease, row)
    except (ValueError, TypeError, KeyError) as error:
        log.error("a run can't be begun", run=lease.run, thread=lease.where[1], account=row["account"], error=error)
        return _unreadable(lease, row)


def _unreadable(lease: Lease, row: asyncpg.Record) -> Briefing:
    return Briefing(
        lease=lease,
        account=row["account"],
        agent=None,
        runner="",
        config={},
        attempt=row["attempt"],
        state=None,
        messages=(),
        decisions={},
        used=Tokens(0, 0),
        place=None,
        seq=0,
        made_at=datetime.min.replace(tzinfo=UTC),
        first=None,
        parent=None,
        readable=False,
    )


def _briefing(lease: Lease, row: asyncpg.Record) -> Briefing:
    since = row["resume_after"] or ids.earliest(row["started_at"])
    return Briefing(
        lease=lease,
        account=row["account"],
        agent=None if row["runner"] is None else AgentKey(row["agent"], row["agent_at"].isoformat()),
        runner=row["runner"] or "",
        config=from_json(row["config"] or "{}"),
        attempt=row["attempt"],
        state=None if row["checkpoint"] is None else from_json(row["checkpoint"]),
        messages=_messages(row),
        decisions=_decisions(row),
        used=_used(row["usage"]),
        place=None if lease.fresh else EventId(since),
        seq=row["seq"],
        made_at=row["created_at"],
        first=row["first"],
        parent=row["parent"],
        traceparent=row["traceparent"],
    )


def _messages(row: asyncpg.Record) -> list[Message]:
    columns = (row["ids"] or (), row["parts"] or (), row["moments"] or ())
    return [_said(name, "user", parts, at) for name, parts, at in zip(*columns, strict=True)]


def _decisions(row: asyncpg.Record) -> dict[str, Decision]:
    columns = zip(row["keys"] or (), row["states"] or (), row["notes"] or (), strict=True)
    return {key: Decision(Verdict(state), note) for key, state, note in columns if key and state in set(Verdict)}


def _used(text: str | None) -> Tokens:
    usage = {} if text is None else from_json(text)
    return Tokens(usage.get("input_tokens", 0), usage.get("output_tokens", 0))


def _said(
    name: str, role: Literal["user", "assistant"], parts: str, at: datetime, incomplete: str | None = None
) -> Message:
    """A message of its parts, as JSON: texts, which are joined with a newline, and files."""
    read = from_json(parts)
    text = "\n".join(part["text"] for part in read if part.get("type") == "text")
    files = tuple(part["file"] for part in read if part.get("type") == "file")
    return Message(name, role, text, at, incomplete, files)


async def replay(connection: asyncpg.Connection, briefing: Briefing) -> Replay | None:
    """What the run logged since the last attempt's checkpoint; None where there is no last attempt."""
    if briefing.place is None:
        return None
    where = (*briefing.lease.where, briefing.lease.run)
    tail = await connection.fetch(SQL["tail"], *where, briefing.place)
    said = await connection.fetchrow(SQL["speech"], *where, briefing.place)
    ended = {row["id"] for row in await connection.fetch(SQL["ended_messages"], *where)}
    speech = None if said is None or said["message"] is None else Speech(said["message"], [said["text"]])
    logged = [Logged(row["type"], row["content"] or "", row["tool_call_id"], row["message"]) for row in tail]
    return Replay.of(logged, speech, ended)


async def history(connection: asyncpg.Connection, briefing: Briefing, limit: int) -> list[Message]:
    """The latest messages of the thread before those of the run, oldest first: where the run goes on from a message of
    its own choice, those that lead up to that one.
    """
    own, where = [message.id for message in briefing.messages], briefing.lease.where
    if briefing.parent is None:
        before = _LAST if briefing.first is None else briefing.first
        rows = await _told(connection, where, briefing.seq, limit, own, before, briefing.made_at, _SIZE)
    else:
        rows = await connection.fetch(SQL["lineage"], *where, briefing.parent, limit, _BEHIND, own, _SIZE)
        if rows and len(rows) == rows[0]["found"] < limit:
            size = _SIZE - sum(row["size"] for row in rows)
            rows += await _told_before(connection, where, rows[-1], limit - len(rows), size)
    return [_message(row) for row in reversed(rows)]


async def _told_before(
    connection: asyncpg.Connection, where: Where, last: asyncpg.Record, limit: int, size: int
) -> list[asyncpg.Record]:
    """What stands before the end of a chain: where that is a question that names nothing, what its run was told."""
    if last["role"] != "user" or last["parent"] is not None or last["run"] is None:
        return []
    run = await connection.fetchrow(SQL["told"], *where, last["run"])
    if run is None:
        return []
    return await _told(connection, where, run["seq"], limit, run["input"], last["num"], run["created_at"], size)


async def _told(
    connection: asyncpg.Connection,
    where: Where,
    seq: int,
    limit: int,
    own: Sequence[str],
    before: int,
    made_at: datetime,
    size: int,
) -> list[asyncpg.Record]:
    """The latest messages before those of a run, newest first; `size` in bytes."""
    found: list[asyncpg.Record] = await connection.fetch(
        SQL["history"], *where, seq, limit, own, before, _BEHIND, made_at, size
    )
    return found


def _message(row: asyncpg.Record) -> Message:
    return _said(row["id"], _ROLES[row["role"]], row["parts"], row["created_at"], row["incomplete_reason"])


class Offer(NamedTuple):
    """A message offered to a running run."""

    thread: ThreadId
    run: RunId  # that it becomes otherwise
    message: Message


async def offers(connection: asyncpg.Connection, leases: Sequence[Lease]) -> list[Offer]:
    """Messages that were offered to these runs and not taken yet."""
    columns = zip(*((*lease.where, lease.run) for lease in leases), strict=True)
    rows = await connection.fetch(SQL["offers"], *columns)
    return [
        Offer(row["thread"], row["run"], _said(row["event"], "user", row["parts"], row["created_at"])) for row in rows
    ]
