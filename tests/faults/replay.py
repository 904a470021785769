"""The threads' logs played again: what each batch says it met must be what the log held there. Pure functions.

A log gives the order in which runs began and ended, and so, before and behind each of its entries, which runs were
active and which of them was the current one: the first. What did nothing has no entry; it must fit somewhere between
what was answered before it was sent and what was sent after its answer. True where a busy thread queues what comes,
and only there. Refused here: threads to which other dialects speak, which are judged by `users.checker`.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Any

from pydantic_core import from_json

from tests.faults.history import Request
from tests.faults.tables import ENDS, Batch, Event, Run, Tables
from tests.faults.violations import Kind, Violation

QUEUE = 100  # runs of a thread that may wait behind the one that executes: the service's number
# An interrupt that met one of these says nothing about the thread's runs.
CLOSED = frozenset({"thread_archived", "thread_deleted", "batch_discarded"})


@dataclass(frozen=True, slots=True)
class Step:
    """One event of an applied batch: what it was and, by its outcome, what it met."""

    type: str
    named: str | None  # the run that an interrupt names
    run: str | None  # of its result
    warnings: Mapping[str, str | None]  # code -> the run that it names

    @property
    def starts(self) -> bool:
        return self.type == "user_message" and self.run is not None and "duplicate_request" not in self.warnings

    @property
    def cancels(self) -> bool:
        return self.type == "user_interrupt" and self.run is not None and "run_already_finished" not in self.warnings

    @property
    def met_nothing(self) -> bool:
        """An interrupt without effect, of a thread that was open."""
        return self.type == "user_interrupt" and not self.cancels and not CLOSED & self.warnings.keys()

    @property
    def met_queue(self) -> bool:
        """A message for which there was no room."""
        return self.type == "user_message" and self.run is None and "queue_full" in self.warnings

    @property
    def is_judged(self) -> bool:
        """It did nothing, and the log says whether it was right in that."""
        return self.met_nothing or self.met_queue


@dataclass(slots=True)
class Log:
    """A thread's: the moments are those before each entry, and one behind the last."""

    began: dict[str, int] = field(default_factory=dict)  # run -> its entry
    ended: dict[str, int] = field(default_factory=dict)
    current: list[str | None] = field(default_factory=list)  # at each moment
    active: list[int] = field(default_factory=list)  # the same: how many

    def add(self, active: Mapping[str, None]) -> None:
        """One more moment, with these runs in their order."""
        self.current.append(next(iter(active), None))
        self.active.append(len(active))

    def moment(self, step: Step) -> int | None:
        """Of what it did; None where the log does not have it, which others report."""
        return (self.began if step.starts else self.ended if step.cancels else {}).get(step.run or "")

    def is_true(self, step: Step, moment: int) -> bool:
        """Whether what did nothing was right in that, there. A queue may be full with one run that executes or without,
        which the log doesn't say: what is short of both was room.
        """
        if step.met_queue:
            return self.active[moment] >= QUEUE
        if step.named is None:
            return self.current[moment] is None
        if step.run is None:
            return moment <= self.began.get(step.named, moment)
        return moment > self.ended.get(step.named, moment)


@dataclass(frozen=True, slots=True)
class Span:
    """A batch with effects: the moments before the first of them and behind the last."""

    request: Request
    first: int
    last: int


def check_replay(
    history: Sequence[Request], found: Sequence[Sequence[Batch]], tables: Tables, others: frozenset[str] = frozenset()
) -> Iterator[Violation]:
    applied: dict[str, list[tuple[Request, list[Step]]]] = defaultdict(list)
    for request, batches in zip(history, found, strict=True):
        for batch in batches:
            if batch.outcome is not None and batch.thread == request.thread and batch.thread not in others:
                applied[batch.thread].append((request, steps_of(batch)))
    events: dict[str, list[Event]] = defaultdict(list)
    for event in tables.events:
        events[event.thread].append(event)
    runs: dict[str, list[Run]] = defaultdict(list)
    for run in tables.runs:
        runs[run.thread].append(run)
    for thread in runs.keys() - others:
        yield from _check_places(thread, runs[thread], log_of(events[thread]))
    for thread, own in applied.items():
        yield from _check_thread(thread, own, log_of(events[thread]))


def steps_of(batch: Batch) -> list[Step]:
    assert batch.outcome is not None
    warned: dict[int, dict[str, str | None]] = defaultdict(dict)
    for warning in batch.outcome["warnings"]:
        warned[warning["eventIndex"]][warning["code"]] = warning.get("runId")
    sent: list[dict[str, Any]] = from_json(batch.events)
    return [
        Step(event["type"], _named(event), None if result["run"] is None else result["run"]["id"], warned[n])
        for n, (event, result) in enumerate(zip(sent, batch.outcome["events"], strict=True))
    ]


def log_of(events: Sequence[Event]) -> Log:
    """Of one thread. Runs wait in the order in which their messages came."""
    log, active = Log(), dict[str, None]()
    ordered = sorted(events, key=lambda event: event.id)
    for moment, event in enumerate(ordered):
        log.add(active)
        if event.run is not None and event.type == "user.message":
            log.began.setdefault(event.run, moment)
            active[event.run] = None
        elif event.run is not None and event.type in ENDS:
            log.ended.setdefault(event.run, moment)
            active.pop(event.run, None)
    log.add(active)
    return log


def _check_places(thread: str, runs: Sequence[Run], log: Log) -> Iterator[Violation]:
    """Runs execute in the order of their messages."""
    latest = -1
    for run in sorted((run for run in runs if run.id in log.began), key=lambda run: run.seq):
        if log.began[run.id] < latest:
            yield Violation(Kind.REORDERED, thread, f"run {run.id} stands behind one whose message came later")
        latest = max(latest, log.began[run.id])


def _check_thread(thread: str, batches: Sequence[tuple[Request, list[Step]]], log: Log) -> Iterator[Violation]:
    spans, idle = list[Span](), list[tuple[Request, list[Step]]]()
    for request, steps in batches:
        moments = [log.moment(step) for step in steps]
        known = [moment for moment in moments if moment is not None]
        if any(a >= b for a, b in pairwise(known)):
            what = f"{request.marker} has its effects in another order than its events"
            yield Violation(Kind.REORDERED, thread, what)
        if known:
            spans.append(Span(request, min(known), max(known) + 1))
        elif any(step.is_judged for step in steps):
            idle.append((request, steps))
        for n, (step, moment) in enumerate(zip(steps, moments, strict=True)):
            if moment is not None:
                yield from _check_effect(thread, request, step, log.current[moment])
            elif known and step.is_judged:
                before = next((place + 1 for place in reversed(moments[:n]) if place is not None), min(known))
                if not log.is_true(step, before):
                    yield _untrue(thread, request, step)
    yield from _check_idle(thread, idle, spans, log)


def _check_effect(thread: str, request: Request, step: Step, current: str | None) -> Iterator[Violation]:
    """A cancelled run was the one that was meant; a message was told rightly what it waits for."""
    if step.cancels and step.run != (step.named or current):
        what = f"{request.marker} cancelled run {step.run}, and was to cancel {step.named or current}"
        yield Violation(Kind.INCONSISTENT, thread, what)
    if step.starts and step.warnings.get("queued_behind") != current:
        what = f"{request.marker} was told of {step.warnings.get('queued_behind')} before it, there was {current}"
        yield Violation(Kind.INCONSISTENT, thread, what)


def _check_idle(
    thread: str, idle: Sequence[tuple[Request, list[Step]]], spans: Sequence[Span], log: Log
) -> Iterator[Violation]:
    """Batches without effects: each has a moment, allowed by real time, at which all that it says was true."""
    if not idle:
        return
    answered = sorted(spans, key=lambda span: span.request.answered)
    sent = sorted(spans, key=lambda span: span.request.began)
    times, starts = [span.request.answered for span in answered], [span.request.began for span in sent]
    earliest = [0, *accumulate((span.last for span in answered), max)]
    latest = [len(log.current) - 1, *accumulate((span.first for span in reversed(sent)), min)][::-1]
    for request, steps in idle:
        after = earliest[bisect_left(times, request.began)]
        before = latest[bisect_right(starts, request.answered)]
        told = [step for step in steps if step.is_judged]
        if not any(all(log.is_true(step, moment) for step in told) for moment in range(after, before + 1)):
            yield _untrue(thread, request, *told)


def _untrue(thread: str, request: Request, *told: Step) -> Violation:
    if any(step.met_queue for step in told):
        return Violation(Kind.LOST, thread, f"{request.marker} found no room, and there was room whenever it came")
    what = f"{request.marker} found nothing to interrupt, and there was something whenever it can have been applied"
    return Violation(Kind.REORDERED, thread, what)


def _named(event: Mapping[str, Any]) -> str | None:
    """By an interrupt: as it was sent, or as it is stored."""
    return event.get("runId") or event.get("run") if event["type"] == "user_interrupt" else None
