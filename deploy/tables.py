"""The tables of batches and runs, which several commands print."""

import json

from deploy import context, words
from deploy.session import document
from shared.inspect.batches import BatchView
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
            words.events(b.events),
            words.short(b.error),
        )
        for b in found
    ]
    context.print_table(["batch", "partition", "thread", "state", "age", "attempts", "events", "error"], rows)


def show_batch(found: BatchView) -> None:
    """All of one batch, field by field."""
    plain = {key: value for key, value in document(found).items() if value is not None}
    plain["age"] = words.age(found.age)
    context.print_table(["field", "value"], [(key, _cell(value)) for key, value in plain.items()])


def _cell(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)


def show_runs(found: list[ThreadRun]) -> None:
    """A table of runs."""
    rows = [
        (
            one.run.id,
            one.thread,
            one.run.seq,
            one.run.status,
            one.run.attempt,
            words.moment(one.run.created_at),
            words.moment(one.run.completed_at),
            words.short(f"{one.run.error.code}: {one.run.error.message}" if one.run.error else None),
        )
        for one in found
    ]
    columns = ["run", "thread", "seq", "status", "attempt", "created (UTC)", "completed (UTC)", "error"]
    context.print_table(columns, rows)
