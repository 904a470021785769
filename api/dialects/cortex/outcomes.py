"""What a batch came to, for a dialect that has no warnings: what had no effect is an error.

The worker keeps outcomes in the native shape (`shared.documents`); here they are taken apart again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import from_json

from api.submission import Applied, Pending
from shared.effects import WarningCode
from shared.errors import InvalidRequest, NotFound, ReadinessBlocked, ThreadmillError
from shared.ids import RunId, ThreadId

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
        raise NotFound
    return Made(thread["id"], *(datetime.fromisoformat(thread[name]) for name in ("created_at", "updated_at")))


def had_effect(answer: Applied) -> None:
    """Raises NotFound, InvalidRequest or ReadinessBlocked where no event of the batch had its effect."""
    outcome = from_json(answer.outcome)
    refused = _refused(outcome["warnings"])
    if refused and len(refused) >= len(outcome["events"]):
        raise refused[0]


def run_of(answer: Applied) -> RunId:
    """The run that a batch started or decided about. Raises what `had_effect` raises."""
    had_effect(answer)
    runs = [event["run"]["id"] for event in from_json(answer.outcome)["events"] if event["run"] is not None]
    if not runs:
        raise NotFound("There is no such run.")
    return RunId(runs[-1])


def _refused(warnings: Sequence[dict[str, Any]]) -> list[ThreadmillError]:
    return [_error(one["code"], one["message"]) for one in warnings if one["code"] not in _HARMLESS]


def _error(code: str, message: str) -> ThreadmillError:
    if code in _MISSING:
        return NotFound() if code == WarningCode.THREAD_DELETED else NotFound(message)
    return InvalidRequest(message) if code == WarningCode.AGENT_BOUND else ReadinessBlocked(message)
