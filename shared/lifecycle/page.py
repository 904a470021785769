"""Prints docs/lifecycle.md from the table: `python -m shared.lifecycle.page > docs/lifecycle.md`.

The moves and the warnings come from the rows that the code obeys; only the prose stands here.
"""

import sys
from collections.abc import Iterable, Sequence

from shared.lifecycle.table import QUEUE_LIMIT, REQUEST_MOVES, RUN_MOVES, RequestMove, RunMove
from shared.lifecycle.warnings import NOTICES
from shared.models import TERMINAL, RunStatus

Moves = Sequence[RunMove] | Sequence[RequestMove]

_HEAD = """\
# The life of a run

*Printed from `shared/lifecycle/table.py` by `python -m shared.lifecycle.page`; a test keeps them equal.*

A thread's runs execute one at a time, in the order of their `seq`. A thread is **busy** while it has a
run that is not terminal; the first of these in that order is its **current run**. Whatever happens to a
run happens in `shared.lifecycle.step`, a pure function, and only along the arrows below. A report that
finds its run elsewhere (it came late, or twice) changes nothing. A terminal run never moves again.
"""

_RUN_NOTES = f"""\
`user_message`, `user_interrupt`, `permission_decision` are events that clients send; `thread_archived`,
`thread_deleted` and `run_edited` come from routes of their own, `run_retried` from an operator,
`run_requested` from the dialects in which a message starts nothing by itself. The
others are reports of the worker that drives the run, and of the sweep that watches leases, deadlines and
requests. `run_ended` stands for whatever ended the run.

An **attempt** is one lease of a run. `AttemptLost` says that the worker of a lease is gone: the run
waits for another worker, and fails where it has had its attempts (three, unless a setting says otherwise).
A lease that is given back, because its worker stops, counts none; a wait sets the count to zero, a checkpoint
to one. A message that was offered to a run and becomes a run of its own is that one's in the log, too.

## Times
`createdAt` is set where the event that starts the run is applied; `startedAt` once, when the run first
leaves `queued`, also when it is cancelled from there; `updatedAt` at every change; `completedAt` when it
ends. They come from Postgres' clock; where that steps back, a time repeats the last one of its thread.
`last_run_id` of the thread is set where a run is created, and never moves back.

## A message on a busy thread
At most {QUEUE_LIMIT} runs of a thread are queued; a steering message that is not acknowledged counts as
one. The event's `on_busy`, else the agent's policy, says what a user message does:

| policy | what it does | result |
|---|---|---|
| `queue` | a run at the end of the queue | the new run, `queued_behind` |
| `reject` | nothing, and reserves no `clientRequestId` | null, `run_active` |
| `interrupt` | cancels the current run; the new one goes first, the others get new places | the new run |
| `steer` | offers the text to a booting or running run; otherwise as `queue` | the current run |

A steering message counts when the runner acknowledges it. If its run ends first, it becomes a queued run
in the same transaction; if the thread is archived or deleted first, it starts nothing. A message drops
no open permission request silently: `interrupt` warns `permission_superseded`, `steer` queues.

## An edit, a retry
An edit changes the text of a queued run's message, in the thread and in its log, where it keeps its id:
cursors stay valid, and whoever follows the thread live is not told. The thread keeps its title. Edit and
lease take the same lock: the runner has either the new text, or the edit is refused. A retry answers the
messages of a finished run once more, with trigger `retry`, at the end of the queue. Its messages belong
to the first run, so they can't be edited.

## What the log says
| when | event | content |
|---|---|---|
| a user's message is taken | `user.message` | the text; `runId` is the run it starts or joins |
| a run is leased for the first time | `run.started` | the run's id |
| a run asks for a permission | `tool.confirmation.required` | the title; `requestId` is what to answer with |
| a run completes, or is cancelled | `run.completed` | the run's id |
| a run fails, or expires | `run.failed` (`status` `error`) | the error's message |
| the thread's `status` changes | `session.status` | the new one |

A thread is `RUNNING` while it has a run that is not terminal, else `IDLE`. An event's id is the larger
of a fresh ULID of Postgres' clock and the thread's last event id plus one.

## Why a run ended early
| `error.code` | status | retryable |
|---|---|---|
| `runtime.lost` | `failed`: its workers were lost, three times in a row | yes |
| `run.expired` | `expired`: its deadline passed | yes |
| `permission.expired` | `expired`: nobody answered its permission request in time, and its agent says `expire` | yes |
| `session.archived` | `cancelled`: its thread was archived or deleted | no |

Other codes of a failed run are its runner's. A run that a user cancelled has no error.
"""

_REQUEST_NOTES = """\
A decision is judged by the time its batch was accepted: in time then is in time, however late it is
applied. A run that waits goes on when none of its requests is pending.
"""

_THREAD_NOTES = """\
## Archive and delete
Both come after everything that was accepted before them. They cancel every run that is not terminal.
Archive and unarchive may be repeated; the second one changes nothing and warns of nothing. A delete
lifts the thread's hold, and leaves its `updatedAt` as it was: the place it had in lists, where a page may
go on behind it.
"""

_WARNING_NOTES = """\
## Warnings
An event that cannot have its effect is no error: its batch is applied, and `warnings` holds an entry
`{code, message, eventIndex, runId?}`.
"""


def page() -> str:
    """The text of docs/lifecycle.md."""
    parts = [
        _HEAD,
        _diagram(RUN_MOVES, [status for status in RunStatus if status in TERMINAL]),
        _moves(RUN_MOVES),
        _RUN_NOTES,
        "## Permission requests\n",
        _diagram(REQUEST_MOVES, [move.target for move in REQUEST_MOVES if move.source is not None]),
        _moves(REQUEST_MOVES),
        _REQUEST_NOTES,
        _THREAD_NOTES,
        _WARNING_NOTES,
        _warnings(),
    ]
    return "\n".join(parts)


def _diagram(moves: Moves, last: Sequence[str]) -> str:
    """A mermaid state diagram: one arrow for each pair of states, with the events that take it."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for move in moves:
        arrows.setdefault((move.source or "[*]", move.target), []).append(move.by)
    lines = [f"    {source} --> {target}: {', '.join(by)}" for (source, target), by in arrows.items()]
    ends = [f"    {state} --> [*]" for state in last]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, *ends, "```", ""])


def _moves(moves: Moves) -> str:
    """One row for each (by, to, when), with all the states that it leads from."""
    sources: dict[tuple[str, str, str], list[str]] = {}
    for move in moves:
        sources.setdefault((move.by, move.target, move.when), []).append(_code(move.source or ""))
    rows = ((", ".join(of), _code(by), _code(to), when) for (by, to, when), of in sources.items())
    return _table(("from", "by", "to", "when"), rows)


def _warnings() -> str:
    rows = (
        (_code(code), notice.when, notice.names or "-", notice.run, notice.message) for code, notice in NOTICES.items()
    )
    return _table(("code", "when", "`runId` is", "`run` of the result", "message"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    lines.insert(1, "|" + "---|" * len(head))
    return "\n".join([*lines, ""])


def _code(word: str) -> str:
    return f"`{word}`" if word else "-"


if __name__ == "__main__":
    sys.stdout.write(page())
