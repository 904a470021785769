"""What the batches of a drain come to, worked out thread by thread: values in, values out, no I/O.

Refused here: deciding what an event does; that is the core's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from shared import documents, ids
from shared.events import Event, ThreadDeleted
from shared.ids import BatchId, BatchRef, EventId, RunId, ThreadId
from shared.lifecycle import State, step
from shared.models import Run, RunStatus
from worker.batch import Batch
from worker.changes import Changes
from worker.missing import deleted_outcome
from worker.rows import Row


class Outcome(NamedTuple):
    """What an applied batch came to, and whom to tell."""

    partition: int
    batch: BatchId
    ref: BatchRef
    reply_to: str | None
    accepted_at: datetime
    text: str


@dataclass(slots=True)
class Plan:
    """What the batches of a drain come to, worked out thread by thread."""

    changes: Changes
    statuses: dict[RunId, RunStatus] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    blocked: list[Batch] = field(default_factory=list)
    lifted: list[tuple[int, ThreadId]] = field(default_factory=list)
    traces: list[Row] = field(default_factory=list)  # runs that were made, with the spans that theirs belong to
    ready: list[State] = field(default_factory=list)  # threads whose run waits since this drain, and may start


def settle(
    plan: Plan,
    batches: Sequence[Batch],
    events: dict[BatchId, list[Event]],
    state: State | None,
    now: datetime,
) -> None:
    """Steps one thread through its batches."""
    first = batches[0]
    if state is None:
        plan.outcomes += [_outcome(batch, deleted_outcome(batch, events[batch.id], now)) for batch in batches]
        return
    applicable = _passing(plan, batches, events, state)
    if not applicable:
        return
    where = (first.partition, first.thread)
    before: dict[RunId, Run] = {run.id: run for run in state.queue} | dict(state.others)
    thread = state.thread
    fresh = EventId(ids.at(now))
    for batch in applicable:
        state = _step_through(plan, where, batch, events[batch.id], state, now, fresh)
    plan.changes.change(thread, state.thread)
    plan.statuses.update({run: record.status for run, record in before.items()})
    ready = state.thread.ready_at is not None and state.thread.ready_at != thread.ready_at
    if ready and state.thread.agent == thread.agent:  # else the tables do not say yet how long the run may take
        plan.ready.append(state)
    if thread.held and not state.thread.held:
        plan.lifted.append(where)


def _step_through(
    plan: Plan,
    where: tuple[int, ThreadId],
    batch: Batch,
    events: Sequence[Event],
    state: State,
    now: datetime,
    fresh: EventId,
) -> State:
    results = []
    for event in events:
        taken = step(state, event, now, fresh, batch.accepted_at)
        state = taken.state
        plan.changes.add(where, taken.effects)
        results.append(taken.result)
    plan.outcomes.append(_outcome(batch, documents.outcome(events, results, state.thread)))
    return state


def _passing(plan: Plan, batches: Sequence[Batch], events: dict[BatchId, list[Event]], state: State) -> Sequence[Batch]:
    """Those that may be applied now. What meets a held thread is blocked, but a delete passes."""
    if not state.thread.held:
        return batches
    for n, batch in enumerate(batches):
        if any(isinstance(event, ThreadDeleted) for event in events[batch.id]):
            return batches[n:]
    plan.blocked += batches
    return ()


def _outcome(batch: Batch, text: str) -> Outcome:
    return Outcome(batch.partition, batch.id, batch.ref, batch.reply_to, batch.accepted_at, text)
