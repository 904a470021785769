"""Answers of Mosoo v1. The worker stored an applied batch's outcome as text; here it becomes the answer of a route.

The same outcome always gives the same bytes: that is what makes a replay the original response.
"""

from collections.abc import Sequence
from datetime import datetime

from pydantic_core import from_json, to_json

from api.submission import Applied, Pending
from shared import documents
from shared.documents import Document, moment
from shared.effects import EventLogged, WarningCode
from shared.errors import NotFound
from shared.events import Event, UserMessage
from shared.ids import ThreadId
from shared.models import BusyPolicy, Run, Thread
from shared.views import HistoryPage, RunView

# The policies under which a message that was accepted always becomes a run of its own.
_STARTS = frozenset({BusyPolicy.QUEUE, BusyPolicy.INTERRUPT})


def sent(answer: Applied | Pending, events: Sequence[Event], policy: BusyPolicy) -> bytes:
    """The answer to a batch. `policy` is the agent's, for messages that name none; only a pending answer needs it."""
    if isinstance(answer, Applied):
        return b'{"acceptedAt":"%b",%b' % (_moment(answer.accepted_at), answer.outcome.encode()[1:])
    return to_json({"acceptedAt": moment(answer.accepted_at), **_pending(answer.thread, events, policy)})


def created(answer: Applied | Pending, events: Sequence[Event]) -> bytes:
    """The answer to a create: a new thread is idle, so its first message always starts a run. Raises NotFound."""
    if isinstance(answer, Applied):
        outcome = from_json(answer.outcome)
    else:
        outcome = _pending(answer.thread, events, BusyPolicy.QUEUE)
    run = outcome["events"][0]["run"] if outcome["events"] else None
    made = outcome["thread"]
    if made is None:  # the batch was discarded when its thread was gone already
        raise NotFound
    document = {"links": _links(made["id"]), "run": run, "thread": made}
    if outcome["warnings"]:
        document["warnings"] = outcome["warnings"]
    return to_json(document)


def done(answer: Applied | Pending) -> bytes:
    """The answer to an archive, an unarchive, a delete."""
    if isinstance(answer, Applied):
        return b'{"ok":true}'
    return to_json({"ok": True, "warnings": [documents.warning(documents.PENDING, 0)]})


def was_deleted(answer: Applied) -> bool:
    """Whether the batch met a thread that had been deleted before it."""
    text = WarningCode.THREAD_DELETED.value
    return text in answer.outcome and any(w["code"] == text for w in from_json(answer.outcome)["warnings"])


def thread(value: Thread, last_run: RunView | None) -> Document:
    run = None if last_run is None else documents.run(last_run.run, last_run.output)
    return {"links": _links(value.id), "run": run, "thread": documents.thread(value)}


def threads(values: Sequence[Thread], truncated: bool) -> Document:
    return {"threads": [documents.thread(value) for value in values], "truncated": truncated}


def run(view: RunView) -> Document:
    """The run object, and `queuePosition`: 0 for the current run, 1 for the next, null for a finished one."""
    return {**_run(view.run, view.output), "queuePosition": view.place}


def runs(views: Sequence[RunView], truncated: bool) -> Document:
    return {"runs": [run(view) for view in views], "truncated": truncated}


def events(page: HistoryPage) -> Document:
    return {"events": [event(entry) for entry in page.entries], "truncated": page.truncated}


def event(entry: EventLogged) -> Document:
    document: Document = {
        "content": entry.content,
        "durationMs": entry.duration_ms,
        "id": entry.id,
        "occurredAt": moment(entry.occurred_at),
        "runId": entry.run,
        "status": entry.status,
        "tokens": entry.tokens,
        "type": entry.type,
    }
    known = {
        "requestId": entry.request_id,
        "toolCallId": entry.tool_call_id,
        "toolInput": entry.tool_input,
        "toolName": entry.tool_name,
    }
    return document | {key: value for key, value in known.items() if value is not None}


def _pending(thread: Thread, events: Sequence[Event], policy: BusyPolicy) -> Document:
    """What is known before the apply: the thread as it was, and the runs that are expected."""
    return {
        "events": [documents.event_result(item, _expected(item, policy)) for item in events],
        "thread": documents.thread(thread),
        "warnings": [documents.warning(documents.PENDING, 0)],
    }


def _expected(item: Event, policy: BusyPolicy) -> Document | None:
    if not isinstance(item, UserMessage) or item.client_request_id is not None:
        return None
    return documents.expected_run(item.run) if (item.on_busy or policy) in _STARTS else None


def _run(value: Run, output: str | None) -> Document:
    document = documents.run(value, output)
    assert document is not None  # noqa: S101 - a run is given, so its document is
    return document


def _links(thread: ThreadId) -> Document:
    return {"thread": f"/api/v1/threads/{thread}"}


def _moment(value: datetime) -> bytes:
    return (moment(value) or "").encode()
