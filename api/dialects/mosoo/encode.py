"""Answers of Mosoo v1. The worker stored an applied batch's outcome as text; here it becomes the answer of a route.

The same outcome always gives the same bytes: that is what makes a replay the original response.
"""

from collections.abc import Sequence
from typing import Any

from pydantic_core import from_json, to_json

from api.submission import Applied, Pending
from shared import documents
from shared.documents import moment
from shared.effects import EventLogged, WarningCode
from shared.errors import NotFound
from shared.events import Event, UserMessage
from shared.ids import ThreadId
from shared.models import BusyPolicy, Thread
from shared.views import FileView, HistoryPage, RunView, ThreadView

Document = dict[str, Any]

_SENT = '{"acceptedAt":"%s",%s'
_READ = '{"links":%s,"run":%s,"thread":%s}'
_PLACED = '%s,"queuePosition":%s}'
_PAGE = '{"%s":[%s],"truncated":%s}'
_TO_BE_EDITED = '{"run":%s,"warnings":[%s]}'
DONE = b'{"ok":true}'  # the answer to what is done at once
_TO_BE_DONE = b'{"ok":true,"warnings":[%b]}' % documents.warning(documents.PENDING, 0).encode()
# The policies under which a message that was accepted always becomes a run of its own.
_STARTS = frozenset({BusyPolicy.QUEUE, BusyPolicy.INTERRUPT})


def sent(answer: Applied | Pending, events: Sequence[Event], policy: BusyPolicy) -> bytes:
    """The answer to a batch. `policy` is the agent's, for messages that name none; only a pending answer needs it."""
    outcome = answer.outcome if isinstance(answer, Applied) else _pending(answer.thread, events, policy)
    return (_SENT % (moment(answer.accepted_at), outcome[1:])).encode()


def created(answer: Applied | Pending, events: Sequence[Event]) -> bytes:
    """The answer to a create: a new thread is idle, so its first message always starts a run. Raises NotFound."""
    text = answer.outcome if isinstance(answer, Applied) else _pending(answer.thread, events, BusyPolicy.QUEUE)
    outcome = from_json(text)
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
    return DONE if isinstance(answer, Applied) else _TO_BE_DONE


def edited(answer: Applied) -> bytes:
    """The answer to an edit that had its effect."""
    return to_json({"run": from_json(answer.outcome)["events"][0]["run"]})


def to_be_edited(view: RunView | None) -> bytes:
    """The answer to an edit that is not applied yet: the run as it is, null where it is not there yet either."""
    text = "null" if view is None else documents.run(view.run, view.output)
    return (_TO_BE_EDITED % (text, documents.warning(documents.PENDING, 0))).encode()


def warned(answer: Applied) -> list[tuple[str, str]]:
    """Code and message of each warning of an applied batch."""
    return [(warning["code"], warning["message"]) for warning in from_json(answer.outcome)["warnings"]]


def was_deleted(answer: Applied) -> bool:
    """Whether the batch met a thread that had been deleted before it."""
    text = WarningCode.THREAD_DELETED.value
    return text in answer.outcome and any(w["code"] == text for w in from_json(answer.outcome)["warnings"])


def thread(value: Thread, last_run: RunView | None) -> bytes:
    run = "null" if last_run is None else documents.run(last_run.run, last_run.output)
    return (_READ % (to_json(_links(value.id)).decode(), run, documents.thread(value))).encode()


def threads(values: Sequence[Thread], truncated: bool) -> bytes:
    return _page("threads", [documents.thread(value) for value in values], truncated)


def run(view: RunView) -> bytes:
    """The run object, and `queuePosition`: 0 for the current run, 1 for the next, null for a finished one."""
    return _placed(view).encode()


def runs(views: Sequence[RunView], truncated: bool) -> bytes:
    return _page("runs", [_placed(view) for view in views], truncated)


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


def file(value: FileView) -> Document:
    """What an upload became, and what a file is."""
    return {"file": _file(value)}


def files(values: Sequence[FileView], truncated: bool) -> Document:
    """A page of a thread's files."""
    listed = [_file(value) | {"kind": value.kind, "committed": value.committed} for value in values]
    return {"files": listed, "truncated": truncated}


def _file(value: FileView) -> Document:
    return {
        "id": value.id,
        "name": value.name,
        "size": value.size,
        "mimeType": value.mime_type,
        "createdAt": moment(value.created_at),
    }


def _pending(thread: ThreadView, events: Sequence[Event], policy: BusyPolicy) -> str:
    """What is known before the apply: the thread as it was, and the runs that are expected."""
    results = [documents.event_result(item, _expected(item, policy)) for item in events]
    return documents.assembled(results, documents.thread(thread), ((documents.PENDING,),))


def _expected(item: Event, policy: BusyPolicy) -> str:
    if not isinstance(item, UserMessage) or item.client_request_id is not None:
        return "null"
    return documents.expected_run(item.run) if (item.on_busy or policy) in _STARTS else "null"


def _placed(view: RunView) -> str:
    place = "null" if view.place is None else str(view.place)
    return _PLACED % (documents.run(view.run, view.output)[:-1], place)


def _page(name: str, entries: Sequence[str], truncated: bool) -> bytes:
    return (_PAGE % (name, ",".join(entries), "true" if truncated else "false")).encode()


def _links(thread: ThreadId) -> Document:
    return {"thread": f"/api/v1/threads/{thread}"}
