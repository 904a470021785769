"""Records and effects as rows of the statements that write them: the columns of each, in their order."""

from typing import Any

from pydantic_core import to_json

from shared.effects import (
    EventLogged,
    MessageAmended,
    MessageWritten,
    RequestOpened,
    RequestSettled,
    RunCreated,
    RunKept,
    ThreadAmended,
)
from shared.ids import ThreadId
from shared.models import Run, RunError, RunStatus, Steer, Thread

Where = tuple[int, ThreadId]
Row = tuple[Any, ...]


def thread_row(t: Thread) -> Row:
    return (
        t.partition,
        t.id,
        t.status,
        t.active_runs,
        t.last_run_id,
        t.last_run_seq,
        t.last_event_id,
        t.updated_at,
        t.title,
        t.ready_at,
    )


def settled_row(t: Thread) -> Row:
    return (t.partition, t.id, t.agent, t.held, t.archived_at, t.deleted_at)


def created_row(where: Where, made: RunCreated) -> Row:
    run = made.run
    return (
        *where,
        run.id,
        run.seq,
        run.status,
        run.trigger,
        made.input[0] if made.input else None,
        run.created_at,
        run.started_at,
        run.updated_at,
        run.completed_at,
        error(run.error),
        run.attempt,
        made.retries,
        made.collects,
        json(made.metadata),
    )


def moved_row(where: Where, run: Run, expected: RunStatus) -> Row:
    return (
        *where,
        run.id,
        run.seq,
        run.status,
        run.started_at,
        run.updated_at,
        run.completed_at,
        error(run.error),
        run.attempt,
        expected,
    )


def logged_row(where: Where, event: EventLogged) -> Row:
    return (
        *where,
        event.id,
        event.run,
        event.type,
        event.status,
        event.content,
        event.occurred_at,
        event.message,
        event.tokens,
        event.duration_ms,
    )


def more_of(event: EventLogged) -> Row:
    return (
        event.tool_call_id,
        event.tool_name,
        json(event.tool_input),
        event.request_id,
    )


def written_row(where: Where, message: MessageWritten) -> Row:
    return (
        *where,
        message.id,
        message.role,
        json(message.parts),
        message.run,
        json(message.metadata),
        message.request_id,
        message.created_at,
        message.incomplete,
        message.parent,
    )


def opened_row(where: Where, opened: RequestOpened) -> Row:
    request = opened.request
    return (
        *where,
        request.id,
        request.run,
        opened.title,
        opened.tool_name,
        json(opened.tool_input),
        opened.at,
        request.expires_at,
        opened.key,
    )


def amended_row(where: Where, amended: MessageAmended | ThreadAmended) -> Row:
    """What is set and what is removed of the metadata, behind the id of the message or the name of the thread."""
    given = {name: value for name, value in amended.metadata.items() if value is not None}
    return (*where, amended[0], json(given), [name for name in amended.metadata if name not in given])


def kept_row(where: Where, kept: RunKept) -> Row:
    return (*where, kept.run, kept.checkpoint, kept.place, json(kept.usage))


def decided_row(where: Where, settled: RequestSettled) -> Row:
    request = settled.request
    return (*where, request.id, request.state, request.note, settled.at)


def steer_row(where: Where, steer: Steer) -> Row:
    return (*where, steer.run, steer.target, steer.event, steer.text, steer.settled)


def json(value: Any) -> str | None:
    return None if value is None else to_json(value).decode()


def error(error: RunError | None) -> str | None:
    return None if error is None else to_json(error).decode()
