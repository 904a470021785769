"""The native JSON objects of thread, run, warning and outcome, as values ready for a JSON encoder.

They are written once here because both sides need them: the worker stores the outcome of a batch as text, the api
answers with it, now and at every replay. Source: the wire contract, section 1 (Mosoo v1), "Objects".
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from pydantic_core import to_json

from shared.effects import Result, Warned, WarningCode
from shared.events import Event, UserMessage
from shared.ids import RunId
from shared.models import Run, RunError, RunStatus, Thread, Trigger

Document = dict[str, Any]


def moment(value: datetime | None) -> str | None:
    """RFC 3339, UTC, milliseconds, `Z`."""
    return None if value is None else _text(value)


@lru_cache(1 << 10)  # one drain has one time, and writes it down several times a batch
def _text(value: datetime) -> str:
    if value.tzinfo is not UTC:
        value = value.astimezone(UTC)
    return value.isoformat(timespec="milliseconds")[:-6] + "Z"


def run(value: Run | None, final_output: str | None = None) -> Document | None:
    """The run object; `final_output` is the last assistant message of a completed run."""
    if value is None:
        return None
    return {
        "completedAt": moment(value.completed_at),
        "createdAt": moment(value.created_at),
        "error": run_error(value.error),
        "finalOutput": None if final_output is None else {"text": final_output},
        "id": value.id,
        "startedAt": moment(value.started_at),
        "status": value.status.value,  # the encoder takes text in a third of the time of an Enum
        "trigger": value.trigger.value,
        "updatedAt": moment(value.updated_at),
    }


def expected_run(run_id: RunId) -> Document:
    """The run that a pending batch is expected to start: its minted id, `queued`, its times null."""
    return {
        "completedAt": None,
        "createdAt": None,
        "error": None,
        "finalOutput": None,
        "id": run_id,
        "startedAt": None,
        "status": RunStatus.QUEUED.value,
        "trigger": Trigger.USER_PROMPT.value,
        "updatedAt": None,
    }


def run_error(value: RunError | None) -> Document | None:
    if value is None:
        return None
    return {"code": value.code, "message": value.message, "retryable": value.retryable}


def thread(value: Thread) -> Document:
    return {
        "agent_id": value.agent,
        "attributed_user": None if value.attributed_user is None else {"id": value.attributed_user},
        "client_external_ref": value.client_external_ref,
        "created_at": moment(value.created_at),
        "created_by": {"id": value.created_by, "kind": value.created_by_kind.value},
        "id": value.id,
        "kind": value.kind,
        "last_run_id": value.last_run_id,
        "source": "api",
        "status": value.status.value,
        "title": value.title,
        "updated_at": moment(value.updated_at),
        "userId": value.user_id,
    }


def warning(value: Warned, index: int) -> Document:
    document: Document = {"code": value.code.value, "message": value.message, "eventIndex": index}
    if value.run is not None:
        document["runId"] = value.run
    return document


def event_result(event: Event, outcome: Document | None) -> Document:
    """What one event of a batch came to; `outcome` is a run object or None."""
    request_id = event.client_request_id if isinstance(event, UserMessage) else None
    return {"clientRequestId": request_id, "requestId": request_id, "run": outcome, "type": event.type}


def outcome(events: Sequence[Event], results: Sequence[Result], after: Thread) -> str:
    """The text that is kept with an applied batch: `{"events", "thread", "warnings"}` of the answer."""
    return to_json(
        {
            "events": [event_result(e, run(r.run)) for e, r in zip(events, results, strict=True)],
            "thread": thread(after),
            "warnings": warnings(result.warnings for result in results),
        }
    ).decode()


def warnings(per_event: Iterable[Iterable[Warned]]) -> list[Document]:
    return [warning(item, index) for index, items in enumerate(per_event) for item in items]


PENDING = Warned(WarningCode.APPLY_PENDING, "The batch is accepted and will be applied; its outcome is not known yet.")
