"""What an operator does to a run: one event as a batch of its own, by the same way in as a client's.

It is committed, rung for and applied in the thread's order, so it races nothing. Its token is the nil ULID, which no
issued token has. Its idempotency key names the deed: pressed again before it is applied, it adds nothing. Refused here:
writing to a thread by any other way.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic_core import from_json

from api.handlers.door import taken
from api.inbox import Inbox
from api.postgres import Postgres
from api.submission import Applied, Idempotency, InFlight, Parked, Pending, Submission
from shared import audit, events, ids
from shared.audit import Actor, Entry
from shared.db.statements import statements
from shared.effects import WarningCode
from shared.errors import Conflict, InvalidRequest, NotFound
from shared.events import Event, PermissionDecision, RunRetried, UserInterrupt
from shared.ids import BatchRef, RequestId, RunId, ThreadId, TokenId, Ulid
from shared.inspect import threads
from shared.models import Thread

SQL = statements("actions")

OPERATOR = TokenId(Ulid("0" * 26))
WAIT = 10.0  # seconds; without Redis the workers' sweep takes 2 s at most, so by then none is there
NOTE_LIMIT = 2_000  # characters, as for a client's
TURNS = 100  # of one deed on one thing, each behind the one before: as long as their keys are kept
_HAD_EFFECT = frozenset({WarningCode.QUEUED_BEHIND})  # any other warning says that nothing was done


class Decision(StrEnum):
    """Of a permission request."""

    ALLOW = "allow_once"
    REJECT = "reject_once"


class Came(StrEnum):
    """What came of a deed, as the audit log has it."""

    DONE = audit.DONE
    BEFORE = "done before: nothing is added"
    LATER = "accepted, not applied yet"
    UNSURE = "left while it was sent: it may be accepted"


@dataclass(frozen=True, slots=True)
class Done:
    """What the event came to: `run` is the one that it was about, or made; None where it is not applied yet."""

    thread: ThreadId
    run: RunId | None
    warnings: list[dict[str, Any]]
    came: Came = Came.DONE


@dataclass(frozen=True, slots=True)
class Operator:
    """Every method raises NotFound; Conflict where the event had no effect, or the same waits already;
    ReadinessBlocked where the thread takes none; ServiceInactive where Postgres is away.
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
        """Answers the message of a finished run once more, with a new run at the end of the thread's queue. Raises
        Conflict while such a one is not over, too.
        """
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
            try:
                done = await self._bring(owner, event, f"{action} {target} {_digest(reason or '').hex()}", entry)
            except Conflict:
                entry.touched = 0
                raise
            entry.touched, entry.result = int(done.came is not Came.BEFORE), done.came
            return done

    async def _bring(self, owner: Thread, event: Event, deed: str, entry: Entry) -> Done:
        """Sends it, unless the same was sent meanwhile: then it is told what came of that one."""
        began: datetime = (await self.postgres.fetch(SQL["clock"]))[0]["now"]
        key = deed
        for _ in range(TURNS):
            if isinstance(event, RunRetried):
                await self._refuse_second(owner, event.of)
            answer = await self._submit(owner, event, key, entry)
            if isinstance(answer, Pending):
                return Done(owner.id, None, [], Came.LATER)
            outcome = from_json(answer.outcome)
            if not answer.replayed or _stands(event, outcome, answer.accepted_at, began):
                return _done(owner.id, outcome, Came.BEFORE if answer.replayed else Came.DONE)
            key = f"{deed} after {answer.accepted_at.isoformat()}"
        raise Conflict(f"This was done {TURNS} times already.")

    async def _refuse_second(self, owner: Thread, run: RunId) -> None:
        row = await self.postgres.fetchrow(SQL["open_retry"], owner.partition, owner.id, run)
        if row is not None:
            raise Conflict(f"The run {row['id']} retries it already, and is not over: nothing is added.")

    async def _submit(self, thread: Thread, event: Event, key: str, entry: Entry) -> Applied | Pending:
        """The entry is true of an operator who does not wait for it, too."""

        def committed() -> None:
            entry.touched, entry.goes_on = 1, Came.LATER

        submission = Submission(
            ref=BatchRef(ids.mint()),
            partition=thread.partition,
            thread=thread.id,
            account=thread.account,
            token=OPERATOR,
            events=events.dump((event,)),
            idempotency=Idempotency(key, "operator", _digest(key)),
        )
        entry.goes_on = Came.UNSURE
        # However much waits: operators' batches are few, and may be what gets the others going.
        answer = await self.inbox.submit(submission, WAIT, committed, over_limit=True)
        entry.goes_on = None
        if isinstance(answer, InFlight):
            raise Conflict("This was accepted before, and is not applied yet: a worker will. Nothing is added.")
        if isinstance(answer, Parked):
            raise Conflict("This was accepted before, and is a dead letter now: settle that. Nothing is added.")
        return taken(answer)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _stands(event: Event, outcome: dict[str, Any], accepted: datetime, began: datetime) -> bool:
    """Whether what was sent before is what is asked for now: that was accepted, or made its run, while somebody asked.
    What came of an older one is past: sent anew, it has the effect, or the warning, that it has now.
    """
    if accepted >= began:
        return True
    if not isinstance(event, RunRetried) or _refusal(outcome) is not None:
        return False
    made = datetime.fromisoformat(outcome["events"][0]["run"]["createdAt"])  # to the millisecond, cut
    return made >= began.replace(microsecond=began.microsecond // 1_000 * 1_000)


def _refusal(outcome: dict[str, Any]) -> str | None:
    """Why it had no effect, where it had none."""
    refusals = (one for one in outcome["warnings"] if one["code"] not in _HAD_EFFECT)
    return next((f"{one['message']} ({one['code']})" for one in refusals), None)


def _done(thread: ThreadId, outcome: dict[str, Any], came: Came) -> Done:
    refusal = _refusal(outcome)
    if refusal is not None:
        raise Conflict(refusal)
    return Done(thread, RunId(outcome["events"][0]["run"]["id"]), outcome["warnings"], came)
