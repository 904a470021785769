"""What the rows of a thread say about each other, whoever asked for what: counts, states, times, last ids, ends."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from tests.faults.tables import ENDS, EXECUTING, TERMINAL, Event, Run, Tables, Thread
from tests.faults.violations import Kind, Violation


def check_states(tables: Tables) -> Iterator[Violation]:
    runs: dict[str, list[Run]] = defaultdict(list)
    events: dict[str, list[Event]] = defaultdict(list)
    for run in tables.runs:
        runs[run.thread].append(run)
    for event in tables.events:
        events[event.thread].append(event)
    for thread in tables.threads:
        for what in (*_wrong_thread(thread, runs[thread.id]), *_wrong_log(thread, events[thread.id])):
            yield Violation(Kind.INCONSISTENT, thread.id, what)
    ends = Counter((event.thread, event.run) for event in tables.events if event.type in ENDS)
    for run in tables.runs:
        for what in _wrong_run(run, ends[run.thread, run.id]):
            yield Violation(Kind.INCONSISTENT, run.thread, f"run {run.id} {what}")


def _wrong_thread(thread: Thread, runs: Sequence[Run]) -> Iterator[str]:
    active = [run for run in runs if run.status not in TERMINAL]
    if len(active) != thread.active_runs:
        yield f"counts {thread.active_runs} active runs and has {len(active)}"
    if (thread.status == "RUNNING") != bool(active):
        yield f"is {thread.status} with {len(active)} active runs"
    if sum(run.status in EXECUTING for run in runs) > 1:
        yield "executes more than one run"
    last = max(runs, key=lambda run: run.seq, default=None)
    if thread.last_run_id != (last.id if last else None):
        yield "does not name its last run"
    if len({run.seq for run in runs}) < len(runs):
        yield "has two runs in one place"


def _wrong_log(thread: Thread, events: Sequence[Event]) -> Iterator[str]:
    ordered = sorted(events, key=lambda event: event.id)
    if thread.last_event_id != (ordered[-1].id if ordered else None):
        yield "does not name its last event"
    if any(a.occurred_at > b.occurred_at for a, b in pairwise(ordered)):
        yield "has a log whose times run backwards"


def _wrong_run(run: Run, ends: int) -> Iterator[str]:
    """`ends`: how often the log says that it is over."""
    if ends != (run.status in TERMINAL):
        yield f"is {run.status} and has {ends} ends in the log"
    if (run.status in TERMINAL) != (run.completed_at is not None):
        yield "is terminal without an end, or has an end without being terminal"
    if (run.status == "queued") == (run.started_at is not None):
        yield "is queued and started, or neither"
    times = [run.created_at, run.started_at or run.created_at, run.completed_at or run.updated_at, run.updated_at]
    if times != sorted(times):
        yield "has times out of order"
