"""The native JSON objects of thread, run, warning and outcome, as JSON text.

They are written once here because both sides need them: the worker stores the outcome of a batch as text, the api
answers with it, now and at every replay. The texts are templates rather than values for an encoder: most of what they
hold is ids, words and times that need no escape, and every batch has one. What clients wrote goes through `_quoted`.
Source: the wire contract, section 1 (Mosoo v1), "Objects".
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from pydantic_core import to_json

from shared.effects import Result, Warned, WarningCode
from shared.events import Event, UserMessage
from shared.ids import RunId
from shared.models import Run, RunError, RunStatus, Thread, Trigger
from shared.views import ThreadView

_MOMENT = "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ"
_RUN = (
    '{"completedAt":%s,"createdAt":%s,"error":%s,"finalOutput":%s,"id":"%s","startedAt":%s,"status":"%s",'
    '"trigger":"%s","updatedAt":%s}'
)
_THREAD = (
    '{"agent_id":%s,"attributed_user":%s,"client_external_ref":%s,"created_at":%s,'
    '"created_by":{"id":"%s","kind":"%s"},"id":"%s","kind":"%s","last_run_id":%s,"source":"api","status":"%s",'
    '"title":%s,"updated_at":%s,"userId":%s}'
)
_WARNING = '{"code":"%s","message":%s,"eventIndex":%d%s}'
_RESULT = '{"clientRequestId":%s,"requestId":%s,"run":%s,"type":"%s"}'
_OUTCOME = '{"events":[%s],"thread":%s,"warnings":[%s]}'


@lru_cache(64)  # a drain has one time for all that changes in it
def moment(value: datetime) -> str:
    """RFC 3339, UTC, milliseconds, `Z`. By hand: `isoformat` takes half as long again, and a batch has five times."""
    t = value if value.tzinfo is UTC else value.astimezone(UTC)
    return _MOMENT % (t.year, t.month, t.day, t.hour, t.minute, t.second, t.microsecond // 1000)


def run(value: Run | None, final_output: str | None = None) -> str:
    """The run object, or null; `final_output` is the last assistant message of a completed run."""
    if value is None:
        return "null"
    return _RUN % (
        _moment(value.completed_at),
        _moment(value.created_at),
        _quoted(_error(value.error)),
        "null" if final_output is None else _quoted({"text": final_output}),
        value.id,
        _moment(value.started_at),
        value.status,
        value.trigger,
        _moment(value.updated_at),
    )


def expected_run(run_id: RunId) -> str:
    """The run that a pending batch is expected to start: its minted id, `queued`, its times null."""
    null = "null"
    return _RUN % (null, null, null, null, run_id, null, RunStatus.QUEUED, Trigger.USER_PROMPT, null)


def thread(value: Thread | ThreadView) -> str:
    return _THREAD % (
        _id(value.agent),
        "null" if value.attributed_user is None else f'{{"id":"{value.attributed_user}"}}',
        _quoted(value.client_external_ref),
        _moment(value.created_at),
        value.created_by,
        value.created_by_kind,
        value.id,
        value.kind,
        _id(value.last_run_id),
        value.status,
        _quoted(value.title),
        _moment(value.updated_at),
        _quoted(value.user_id),
    )


def warning(value: Warned, index: int) -> str:
    """`index`: of the event in its batch."""
    run = "" if value.run is None else f',"runId":"{value.run}"'
    return _WARNING % (value.code, _quoted(value.message), index, run)


def event_result(event: Event, outcome: str, metadata: Mapping[str, str] | None = None) -> str:
    """What one event of a batch came to; `outcome` is a run object, or null. `metadata` are what an edit of another
    dialect left, whose answer shows them.
    """
    request = _quoted(event.client_request_id) if isinstance(event, UserMessage) else "null"
    result = _RESULT % (request, request, outcome, event.type)
    return result if metadata is None else f'{result[:-1]},"metadata":{_quoted(metadata)}}}'


def outcome(events: Sequence[Event], results: Sequence[Result], after: Thread) -> str:
    """The text that is kept with an applied batch: `{"events", "thread", "warnings"}` of the answer."""
    told = zip(events, results, strict=True)
    parts = [event_result(event, run(result.run), result.metadata) for event, result in told]
    return assembled(parts, thread(after), [result.warnings for result in results])


def assembled(results: Iterable[str], thread: str, warned: Iterable[Iterable[Warned]]) -> str:
    """An outcome of its parts; `warned` are the warnings of each event."""
    warnings = [warning(item, index) for index, items in enumerate(warned) for item in items]
    return _OUTCOME % (",".join(results), thread, ",".join(warnings))


def _error(value: RunError | None) -> dict[str, Any] | None:
    return None if value is None else {"code": value.code, "message": value.message, "retryable": value.retryable}


def _moment(value: datetime | None) -> str:
    return "null" if value is None else f'"{moment(value)}"'


def _id(value: str | None) -> str:
    return "null" if value is None else f'"{value}"'


def _quoted(value: Any) -> str:
    """Whatever somebody else wrote, as JSON."""
    return "null" if value is None else to_json(value).decode()


PENDING = Warned(WarningCode.APPLY_PENDING, "The batch is accepted and will be applied; its outcome is not known yet.")
