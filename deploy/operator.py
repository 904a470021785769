"""What an operator does to a run: one event as a batch of its own, by the same way in as a client's.

It is committed, rung for and applied in the thread's order, so it races nothing. Its token is the nil ULID, which no
issued token has. Refused here: writing to a thread by any other way.
"""

from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from api.handlers.door import taken
from api.inbox import Inbox
from api.submission import Answer, Pending, Submission
from deploy.errors import CommandError
from shared import events, ids, logs
from shared.db.connect import open_pool
from shared.effects import WarningCode
from shared.events import Event
from shared.ids import BatchRef, RunId, TokenId, Ulid
from shared.models import Thread
from shared.settings import Settings

OPERATOR = TokenId(Ulid("0" * 26))
WAIT = 10.0  # seconds; without Redis the workers' sweep takes 2 s at most, so by then none is there
_HAD_EFFECT = frozenset({WarningCode.QUEUED_BEHIND})  # any other warning says that nothing was done


@dataclass(frozen=True, slots=True)
class Done:
    """What the event came to."""

    run: RunId
    warnings: list[dict[str, Any]]


async def submit(settings: Settings, thread: Thread, event: Event) -> Done:
    """The event, applied. Raises CommandError where it had no effect, or has none yet; NotFound, ReadinessBlocked,
    ServiceInactive where it was not accepted."""
    logs.configure(settings.model_copy(update={"log_level": "error"}))  # a Redis that is away only costs time here
    submission = Submission(
        ref=BatchRef(ids.mint()),
        partition=thread.partition,
        thread=thread.id,
        account=thread.account,
        token=OPERATOR,
        events=events.dump((event,)),
    )
    answer = taken(await _sent(settings, submission))
    if isinstance(answer, Pending):
        raise CommandError(
            f"accepted, but no worker applied it within {WAIT:g} s: one will (see `threadmill queue status`)"
        )
    return _done(from_json(answer.outcome))


async def _sent(settings: Settings, submission: Submission) -> Answer:
    pool = await open_pool(settings.database_url, size=1)
    inbox = Inbox(settings, pool)
    await inbox.start()
    try:
        return await inbox.submit(submission, WAIT)
    finally:
        await inbox.close()
        await pool.close()


def _done(outcome: dict[str, Any]) -> Done:
    for warning in outcome["warnings"]:
        if warning["code"] not in _HAD_EFFECT:
            raise CommandError(f"{warning['message']} ({warning['code']})")
    return Done(RunId(outcome["events"][0]["run"]["id"]), outcome["warnings"])
