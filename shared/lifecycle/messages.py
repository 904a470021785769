"""What a user message does under each policy for a busy thread; messages without a run; titles."""

import re
from collections.abc import Mapping, Sequence

from pydantic_core import to_json

from shared.effects import (
    ClientRequestSeen,
    MessageAmended,
    MessageRemoved,
    MessageWritten,
    Result,
    SteerOffered,
    Warned,
    WarningCode,
)
from shared.events import MessageAdded, MessageDeleted, MessageEdited, RunRequested, UserMessage
from shared.ids import EventId, MessageId, RunId
from shared.lifecycle.draft import Draft
from shared.lifecycle.endings import end
from shared.lifecycle.state import Note, Waiting
from shared.lifecycle.table import QUEUE_LIMIT, USER_MESSAGE
from shared.lifecycle.warnings import warned
from shared.models import (
    EXECUTING,
    METADATA_LIMIT,
    UNANSWERED_LIMIT,
    UNANSWERED_SIZE,
    BusyPolicy,
    Run,
    RunStatus,
    Steer,
)

TITLE_LIMIT = 80  # characters, the contract's number; the last one is an ellipsis where something was cut
_WORD_OR_GAP = re.compile(r"\S{1,81}|\s+")  # a longer word is cut by the title's limit anyway
_STEERABLE = frozenset({RunStatus.BOOTING, RunStatus.RUNNING})


def user_message(draft: Draft, event: UserMessage) -> Result:
    first = draft.seen.get(event.client_request_id) if event.client_request_id is not None else None
    if first is not None:
        return Result(draft.find(first), (warned(WarningCode.DUPLICATE_REQUEST, first),))
    current = draft.current
    if current is None:
        return Result(_start(draft, event))
    policy = event.on_busy or draft.policy
    if policy == BusyPolicy.REJECT:
        return Result(None, (warned(WarningCode.RUN_ACTIVE, current.id),))
    if policy == BusyPolicy.INTERRUPT:
        return _interrupt(draft, event, current)
    if queue_is_full(draft, current):
        return Result(None, (warned(WarningCode.QUEUE_FULL),))
    if policy == BusyPolicy.STEER and current.status in _STEERABLE:
        return _steer(draft, event, current)
    return Result(_start(draft, event), (warned(WarningCode.QUEUED_BEHIND, current.id),))


def message_added(draft: Draft, event: MessageAdded) -> Result:
    """A message without a run: it is in the thread and in its log, and starts nothing."""
    if not _have_room(draft, (event,)):
        return Result(None, (warned(WarningCode.UNANSWERED_FULL),))
    _add(draft, event)
    return Result(None)


def run_requested(draft: Draft, event: RunRequested) -> Result:
    """A run for the messages that wait for one; for its own one alone where it says what that goes on from. The first
    run of a thread without an agent gives it one.
    """
    if (current := draft.current) is not None:
        return Result(None, (warned(WarningCode.RUN_ACTIVE, current.id),))
    if event.agent is not None and draft.agent not in (None, event.agent):
        return Result(None, (warned(WarningCode.AGENT_BOUND),))
    if event.parent is None and not _have_room(draft, event.messages):
        return Result(None, (warned(WarningCode.UNANSWERED_FULL),))
    draft.agent = draft.agent or event.agent
    if event.parent is not None:
        (message,) = event.messages
        run = draft.create(event.run, message.message, metadata=event.metadata)
        _add(draft, message, event.run, event.parent)
        return Result(run)
    for message in event.messages:
        _add(draft, message)
    draft.waiting = Waiting(0, 0)
    draft.notes = {message: note._replace(waits=0) for message, note in draft.notes.items()}
    return Result(draft.create(event.run, collects=True, metadata=event.metadata))


def message_edited(draft: Draft, event: MessageEdited) -> Result:
    note = draft.notes.get(event.message)
    if note is None:
        return Result(None, (warned(WarningCode.MESSAGE_NOT_FOUND),))
    metadata = merged(note.metadata, event.metadata)
    if len(metadata) > METADATA_LIMIT:
        return Result(None, (warned(WarningCode.METADATA_FULL),))
    draft.notes = {**draft.notes, event.message: note._replace(metadata=metadata)}
    draft.effects.append(MessageAmended(event.message, metadata))
    return Result(None, metadata=metadata)


def message_deleted(draft: Draft, event: MessageDeleted) -> Result:
    """What a run answers and has said stays until that is over: another worker may have to go on from it."""
    note = draft.notes.get(event.message)
    if note is None:
        return Result(None, (warned(WarningCode.MESSAGE_NOT_FOUND),))
    current = draft.current
    if current is not None and current.id == note.run and current.status in EXECUTING:
        return Result(None, (warned(WarningCode.MESSAGE_IN_USE),))
    draft.notes = {message: note for message, note in draft.notes.items() if message != event.message}
    if note.waits:
        draft.waiting = Waiting(max(draft.waiting.messages - 1, 0), max(draft.waiting.size - note.waits, 0))
    draft.effects.append(MessageRemoved(event.message))
    return Result(None)


def _have_room(draft: Draft, messages: Sequence[MessageAdded]) -> bool:
    """Whether so many may wait for a run, beside those that do."""
    more = [_size(message) for message in messages if message.role == "user"]
    count, size = draft.waiting.messages + len(more), draft.waiting.size + sum(more)
    return not more or (count <= UNANSWERED_LIMIT and size <= UNANSWERED_SIZE)


def _size(message: MessageAdded) -> int:
    """As the tables have it, but for a few bytes of white space."""
    return len(to_json(message.parts))


def merged(current: Mapping[str, str], change: Mapping[str, str | None]) -> dict[str, str]:
    """Metadata after an edit: what is named is set, or removed where it is None."""
    return {name: value for name, value in {**current, **change}.items() if value is not None}


def _add(draft: Draft, event: MessageAdded, run: RunId | None = None, parent: int | None = None) -> None:
    text = "\n".join(part["text"] for part in event.parts if part.get("type") == "text")
    about = (event.metadata, event.request_id, None, parent)
    draft.effects.append(MessageWritten(event.message, event.role, event.parts, draft.at, run, *about))
    waits = _size(event) if run is None and event.role == "user" else 0
    draft.notes = {**draft.notes, event.message: Note(event.metadata, run, waits)}
    kind = "user.message" if event.role == "user" else "agent.message.delta"
    draft.log(kind, run, text, message=EventId(event.message))
    if event.role == "user":
        _entitle(draft, text)
    if waits:
        draft.waiting = Waiting(draft.waiting.messages + 1, draft.waiting.size + waits)


def title_of(text: str) -> str | None:
    """The first paragraph, white space collapsed, at most 80 characters; None where there is no word."""
    words: list[str] = []
    length = -1
    for match in _WORD_OR_GAP.finditer(text):
        piece = match.group()
        if not piece.isspace():
            words.append(piece)
            length += len(piece) + 1
        elif words and (piece.count("\n") > 1 or piece.count("\r") > 1):
            break
        if length > TITLE_LIMIT:
            return " ".join(words)[: TITLE_LIMIT - 1] + "…"
    return " ".join(words) or None


def _start(draft: Draft, event: UserMessage) -> Run:
    message = draft.next_event_id()
    run = draft.create(event.run, MessageId(message))
    _write(draft, event, message, run.id)
    return run


def _interrupt(draft: Draft, event: UserMessage, current: Run) -> Result:
    """Ends the current run; the new one goes before the queued ones. All that is left is queued then."""
    if not draft.whole:
        raise ValueError("a message that interrupts needs every run that is not terminal")
    if draft.active_runs + len(draft.steers) > QUEUE_LIMIT:
        return Result(None, (warned(WarningCode.QUEUE_FULL),))
    warnings: tuple[Warned, ...] = ()
    if draft.requests and draft.open_requests(current.id):
        warnings = (warned(WarningCode.PERMISSION_SUPERSEDED, current.id),)
    end(draft, current, USER_MESSAGE, RunStatus.CANCELLED)
    return Result(draft.put_first(_start(draft, event)), warnings)


def _steer(draft: Draft, event: UserMessage, current: Run) -> Result:
    message = draft.next_event_id()
    steer = Steer(event.run, current.id, message, event.text)
    draft.steers = (*draft.steers, steer)
    draft.effects.append(SteerOffered(steer))
    _write(draft, event, message, current.id)
    return Result(current)


def _write(draft: Draft, event: UserMessage, message: EventId, run: RunId) -> None:
    """The message, its event in the log, its clientRequestId and, for the first text, the title."""
    parts = [{"type": "text", "text": event.text}, *({"type": "file", "file": file} for file in event.files)]
    draft.effects.append(MessageWritten(MessageId(message), "user", parts, draft.at, run))
    draft.log_as(message, "user.message", run, event.text)
    if event.files:  # they are committed with this
        draft.log("session_files.updated", run, to_json({"fileIds": event.files}).decode())
    if event.client_request_id is not None:
        draft.seen = {**draft.seen, event.client_request_id: run}
        draft.effects.append(ClientRequestSeen(event.client_request_id, run))
    _entitle(draft, event.text)


def _entitle(draft: Draft, text: str) -> None:
    if draft.title is None:
        draft.title = title_of(text)


def queue_is_full(draft: Draft, current: Run) -> bool:
    """Whether no further run may wait behind `current`. A steering message may become one, and counts."""
    queued = draft.active_runs - (current.status in EXECUTING)
    return queued + len(draft.steers) >= QUEUE_LIMIT
