"""The tables of batches and runs, which several commands print."""

import json
from collections.abc import Mapping
from datetime import datetime

import typer

from deploy import context, words
from deploy.session import document
from shared.inspect.batches import BatchView
from shared.inspect.running import WHY, ListedRun
from shared.inspect.runs import Lease, PendingRequest, RunDetail
from shared.inspect.threads import ThreadRun


def show_batches(found: list[BatchView]) -> None:
    """A table of batches."""
    rows = [
        (
            b.id,
            b.partition,
            b.thread,
            b.state,
            words.age(b.age),
            b.attempts,
            held_by(b),
            words.short(b.error),
        )
        for b in found
    ]
    context.print_table(["batch", "partition", "thread", "state", "age", "attempts", "events", "error"], rows)


def held_by(batch: BatchView) -> str:
    """What a batch holds, in a few words."""
    return "big: see it alone" if batch.left_out else words.events(batch.events)


def show_batch(found: BatchView) -> None:
    """All of one batch, field by field."""
    show_fields({**document(found), "age": words.age(found.age), "stack": None})
    if found.stack:
        typer.echo(context.plain(found.stack))


def show_more(after: str | None) -> None:
    """Says how to get the next page, beside the table."""
    if after is not None:
        typer.echo(f"There are more: --after {after}", err=True)


def show_fields(fields: Mapping[str, object]) -> None:
    """One thing, field by field; those without a value are left out."""
    rows = [(key, cell(value)) for key, value in fields.items() if value is not None]
    context.print_table(["field", "value"], rows)


def cell(value: object) -> str:
    """A field of a document as one cell."""
    if value is None:
        return ""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict | bool) else str(value)


def show_runs(found: list[ThreadRun]) -> None:
    """A table of runs."""
    rows = [
        (
            one.run.id,
            one.thread,
            one.run.seq,
            one.run.status,
            one.run.trigger,
            one.run.attempt,
            one.owner,
            words.moment(one.run.created_at),
            words.moment(one.run.completed_at),
            words.short(f"{one.run.error.code}: {one.run.error.message}" if one.run.error else None),
        )
        for one in found
    ]
    columns = [
        "run",
        "thread",
        "seq",
        "status",
        "trigger",
        "attempt",
        "worker",
        "created (UTC)",
        "completed (UTC)",
        "error",
    ]
    context.print_table(columns, rows)


def show_listed(found: list[ListedRun]) -> None:
    """A table of runs of all threads."""
    rows = [
        (
            one.run.id,
            one.thread,
            one.run.status,
            one.account_name,
            one.agent_name,
            words.age(one.age),
            words.age(one.since),
            one.run.attempt,
            one.worker,
            _why(one),
        )
        for one in found
    ]
    columns = ["run", "thread", "status", "account", "agent", "age", "since", "attempt", "worker", "why"]
    context.print_table(columns, rows)


def _why(one: ListedRun) -> str:
    """What an operator should know of it first."""
    asks = f"asks: {words.short(one.request.title)} ({one.request.id})" if one.request else ""
    error = words.short(f"{one.run.error.code}: {one.run.error.message}") if one.run.error else ""
    return "; ".join(part for part in (one.stuck and WHY[one.stuck], asks, error) if part)


def show_run(found: RunDetail) -> None:
    """All of one run, field by field; what it waits for in a table of its own."""
    fields = {
        **document(found.run),
        "thread": found.thread,
        "place in the queue": found.place,
        **(_lease(found.lease) if found.lease else {}),
        "deadline": _moment(found.deadline, found.deadline_in),
        "checkpoint": None if found.checkpoint_bytes is None else f"{found.checkpoint_bytes} bytes",
        "usage": found.usage,
        "lost workers": found.losses or None,
        "input": words.short(found.input, 200) or None,
        "next step": found.next_step,
    }
    show_fields(fields)
    if found.requests:
        _show_requests(found.requests)


def _lease(lease: Lease) -> dict[str, str]:
    place = "forgotten" if lease.host is None else f"{lease.host}, pid {lease.pid}"
    return {
        "worker": f"{lease.owner} ({place})",
        "lease": f"epoch {lease.epoch}, of run {lease.run}, {_left(lease.expires_in)}",
    }


def _show_requests(found: list[PendingRequest]) -> None:
    rows = [
        (one.id, one.key, words.short(one.title), one.tool_name, words.age(one.age), _left(one.expires_in))
        for one in found
    ]
    context.print_table(["permission request", "key", "title", "tool", "age", "expires"], rows)


def _moment(at: datetime | None, seconds: float | None) -> str | None:
    return None if at is None else f"{words.moment(at)} UTC {_left(seconds)}".strip()


def _left(seconds: float | None) -> str:
    """How long something lasts, or since when it is over."""
    if seconds is None:
        return ""
    return f"expires in {words.age(seconds)}" if seconds > 0 else f"over for {words.age(-seconds)}"
