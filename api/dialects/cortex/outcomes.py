"""What a batch came to, for a dialect that has no warnings: what had no effect is an error.

The worker keeps outcomes in the native shape (`shared.documents`); here they are taken apart again.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import from_json

from api.submission import Applied, Pending
from shared.effects import WarningCode
from shared.errors import InvalidRequest, NotFound, ReadinessBlocked, ThreadmillError
from shared.ids import RunId, ThreadId

NO_THREAD = "There is no such thread."  # unknown, another's or deleted: told alike
TWO_RUNS = "The tool_results decide on two runs: each takes a request of its own."
_MISSING = frozenset({WarningCode.THREAD_DELETED, WarningCode.PERMISSION_NOT_FOUND})
# Of these the event had the effect that was asked for.
_HARMLESS = frozenset({WarningCode.QUEUED_BEHIND, WarningCode.APPLY_PENDING})


@dataclass(frozen=True, slots=True)
class Made:
    """A thread as it was right after its request."""

    id: ThreadId
    created_at: datetime
    updated_at: datetime


def made(answer: Applied | Pending) -> Made:
    """The thread of a batch. Raises NotFound where the batch was discarded and its thread is gone."""
    if isinstance(answer, Pending):
        return Made(answer.thread.id, answer.thread.created_at, answer.thread.updated_at)
    thread = from_json(answer.outcome)["thread"]
    if thread is None:
        raise NotFound(NO_THREAD)
    return Made(thread["id"], *(datetime.fromisoformat(thread[name]) for name in ("created_at", "updated_at")))


def had_effect(answer: Applied) -> None:
    """Raises NotFound, InvalidRequest or ReadinessBlocked where no event of the batch had its effect."""
    _effective(answer)


def run_of(answer: Applied) -> RunId:
    """The run that a batch started or decided about: that of the events which had their effect. Raises what
    `had_effect` raises.
    """
    runs = dict.fromkeys(event["run"]["id"] for event in _effective(answer) if event["run"] is not None)
    if not runs:
        raise NotFound("There is no such run.")
    if len(runs) > 1:
        raise InvalidRequest(TWO_RUNS)
    return RunId(next(iter(runs)))


def _effective(answer: Applied) -> list[dict[str, Any]]:
    """The events of a batch that had their effect; of a batch without any none. Raises the first refusal, where it is
    all that the batch came to.
    """
    outcome = from_json(answer.outcome)
    refused = {one["eventIndex"]: one for one in reversed(outcome["warnings"]) if one["code"] not in _HARMLESS}
    found = [event for index, event in enumerate(outcome["events"]) if index not in refused]
    if refused and not found:
        first = refused[min(refused)]
        raise _error(first["code"], first["message"])
    return found


def _error(code: str, message: str) -> ThreadmillError:
    if code in _MISSING:
        return NotFound(NO_THREAD if code == WarningCode.THREAD_DELETED else message)
    return InvalidRequest(message) if code == WarningCode.AGENT_BOUND else ReadinessBlocked(message)
