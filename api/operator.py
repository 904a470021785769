"""What an operator does to a run: one event as a batch of its own, by the same way in as a client's.

It is committed, rung for and applied in the thread's order, so it races nothing. Its token is the nil ULID, which no
issued token has. Refused here: writing to a thread by any other way.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pydantic_core import from_json

from api.handlers.door import taken
from api.inbox import Inbox
from api.postgres import Postgres
from api.submission import Applied, Pending, Submission
from shared import audit, events, ids
from shared.audit import Actor
from shared.db.statements import statements
from shared.effects import WarningCode
from shared.errors import Conflict, InvalidRequest, NotFound, ServiceInactive
from shared.events import Event, PermissionDecision, RunRetried, UserInterrupt
from shared.ids import BatchRef, RequestId, RunId, ThreadId, TokenId, Ulid
from shared.inspect import threads
from shared.models import Thread

SQL = statements("actions")

OPERATOR = TokenId(Ulid("0" * 26))
WAIT = 10.0  # seconds; without Redis the workers' sweep takes 2 s at most, so by then none is there
NOTE_LIMIT = 2_000  # characters, as for a client's
_HAD_EFFECT = frozenset({WarningCode.QUEUED_BEHIND})  # any other warning says that nothing was done


class Decision(StrEnum):
    """Of a permission request."""

    ALLOW = "allow_once"
    REJECT = "reject_once"


@dataclass(frozen=True, slots=True)
class Done:
    """What the event came to: `run` is the one that it was about, or made."""

    thread: ThreadId
    run: RunId
    warnings: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Operator:
    """Every method raises NotFound; Conflict where the event had no effect; ReadinessBlocked where the thread takes
    none; ServiceInactive where Postgres is away, or no worker applied it in time.
    """

    inbox: Inbox
    postgres: Postgres

    async def interrupt(self, actor: Actor, run: str, thread: str | None = None) -> Done:
        """Cancels a run, queued or executing. With its thread it is found by key."""
        found = await threads.find_run(self.inbox.pool, run, thread)
        return await self._send(
            actor, "run.interrupt", f"run {found.run.id}", found.thread, UserInterrupt(found.run.id)
        )

    async def retry(self, actor: Actor, run: str, thread: str | None = None) -> Done:
        """Answers the message of a finished run once more, with a new run at the end of the thread's queue."""
        found = await threads.find_run(self.inbox.pool, run, thread)
        event = RunRetried(RunId(ids.mint()), found.run.id)
        return await self._send(actor, "run.retry", f"run {found.run.id}", found.thread, event)

    async def decide(
        self, actor: Actor, request: str, decision: Decision, note: str | None = None, thread: str | None = None
    ) -> Done:
        """Settles an open permission request; the runner reads the note. Raises InvalidRequest, too."""
        if note is not None and len(note) > NOTE_LIMIT:
            raise InvalidRequest(f"note: at most {NOTE_LIMIT} characters.", param="note")
        of, id_ = await self._request(request, thread)
        event = PermissionDecision(id_, decision is Decision.ALLOW, note)
        action = "permission.allow" if event.allow else "permission.reject"
        return await self._send(actor, action, f"permission {id_}", of, event, note)

    async def _request(self, text: str, thread: str | None) -> tuple[ThreadId, RequestId]:
        """An open request and its thread; with its thread it is not looked for among all that are open."""
        id_ = ids.parse(text)
        if id_ is None:
            raise NotFound(f"{text!r} is no id of a permission request.")
        if thread is not None:
            return (await threads.own_row(self.inbox.pool, ThreadId(Ulid(thread)))).id, RequestId(id_)
        row = await self.postgres.fetchrow(SQL["open_request"], id_)
        if row is None:
            raise NotFound(f"There is no open permission request {id_} (it may have been decided, or have expired).")
        return row["thread"], RequestId(id_)

    async def _send(
        self, actor: Actor, action: str, target: str, thread: ThreadId, event: Event, reason: str | None = None
    ) -> Done:
        owner = await threads.own_row(self.inbox.pool, thread)
        deed = audit.entry(self.inbox.pool, actor, action, target, account=owner.account, reason=reason)
        async with deed as entry:
            applied = await self._submit(owner, event)
            entry.touched = 0
            done = _done(thread, from_json(applied.outcome))
            entry.touched = 1
            return done

    async def _submit(self, thread: Thread, event: Event) -> Applied:
        submission = Submission(
            ref=BatchRef(ids.mint()),
            partition=thread.partition,
            thread=thread.id,
            account=thread.account,
            token=OPERATOR,
            events=events.dump((event,)),
        )
        answer = taken(await self.inbox.submit(submission, WAIT))
        if isinstance(answer, Pending):
            raise ServiceInactive(f"It is accepted, but no worker applied it within {WAIT:g} s: one will.")
        return answer


def _done(thread: ThreadId, outcome: dict[str, Any]) -> Done:
    for warning in outcome["warnings"]:
        if warning["code"] not in _HAD_EFFECT:
            raise Conflict(f"{warning['message']} ({warning['code']})")
    return Done(thread, RunId(outcome["events"][0]["run"]["id"]), outcome["warnings"])
