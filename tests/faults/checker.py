"""The checker: the clients' history against the tables, after quiet. Pure functions; a fault is a `Violation`.

What must hold: every acknowledged batch is stored once and applied once, every other at most once; a batch answered
before another of its thread was sent has its effects before it; whoever asks again with the key hears the same; what
an outcome says happened stands in the tables, and nothing else does; what it says it met may be met (`warned`) and was
there (`replay`); each thread and each batch was asked for (`asked`). Refused here: reading a clock or a table.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pydantic_core import from_json

from tests.faults.asked import check_batches, check_threads, match
from tests.faults.history import Creation, Reply, Request
from tests.faults.invariants import check_states
from tests.faults.replay import check_replay
from tests.faults.tables import Batch, Event, Tables
from tests.faults.violations import Kind, Violation
from tests.faults.warned import check_warnings

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Effects:
    """What a stored batch says that it did: runs by the message that began them, runs that it cancelled."""

    started: dict[str, str]  # text -> run
    cancelled: tuple[str, ...]


def check(
    history: Sequence[Request],
    tables: Tables,
    others: frozenset[str] = frozenset(),
    creations: Sequence[Creation] = (),
    closed: frozenset[str] = frozenset(),
) -> list[Violation]:
    """Every violation that can be seen. `others`: threads that other clients speak to as well, in other dialects.
    `creations`: where threads come from; those of the history are known without. `closed`: threads that somebody
    archived or deleted, or a batch of which was discarded."""
    found = match(history, tables.batches)
    return [
        *check_answers(history),
        *check_stored(history, found),
        *check_equal(history, found),
        *check_effects(tables, others),
        *check_order(history, found, tables.events),
        *check_warnings(tables, closed),
        *check_replay(history, found, tables, others),
        *check_batches(history, found, tables, others, creations),
        *check_threads(history, tables, creations),
        *check_quiet(tables),
        *check_states(tables),
    ]


def check_answers(history: Sequence[Request]) -> Iterator[Violation]:
    """200 that can be read, silence, 503, and 409 while the first one is under way, both in the contract's words and
    with the time to come again: nothing else may happen to a good request.
    """
    for request in history:
        for reply in request.replies:
            good = reply.status is None or (reply.status == 200 and reply.acknowledged) or reply.is_not_now
            if not good:
                yield Violation(Kind.REFUSED, request.thread, f"{request.marker}: {reply.status} {reply.body}")


def check_known(asked: Sequence[Request]) -> Iterator[Violation]:
    """Whoever asks with a key once all is quiet hears the outcome."""
    for request in asked:
        if request.key is not None and not request.outcomes and not request.refused:
            last = request.replies[-1].status if request.replies else None
            what = f"{request.marker} was sent {len(request.replies)} times, the last answer is {last}: no outcome"
            yield Violation(Kind.STUCK, request.thread, what)


def check_stored(history: Sequence[Request], found: Sequence[Sequence[Batch]]) -> Iterator[Violation]:
    for request, batches in zip(history, found, strict=True):
        if len(batches) > 1:
            yield Violation(Kind.DUPLICATED, request.thread, f"{request.marker} is stored {len(batches)} times")
        if request.acknowledged and not batches:
            yield Violation(Kind.LOST, request.thread, f"{request.marker} was acknowledged and is not stored")
        elif request.under_way and not batches:
            yield Violation(Kind.LOST, request.thread, f"{request.marker} was said to be under way and is not stored")
        if request.refused and batches:
            yield Violation(Kind.UNASKED, request.thread, f"{request.marker} was refused and is stored")


def check_equal(history: Sequence[Request], found: Sequence[Sequence[Batch]]) -> Iterator[Violation]:
    """All answers about one batch agree with each other and with what is stored."""
    for request, batches in zip(history, found, strict=True):
        if len({reply.body["acceptedAt"] for reply in request.replies if reply.acknowledged}) > 1:
            yield Violation(Kind.UNEQUAL, request.thread, f"{request.marker} was accepted at two times")
        for told in sorted(set(_contradicted(request, batches))):
            yield Violation(Kind.UNEQUAL, request.thread, f"{request.marker} was answered with another {told}")
        stored = [batch.outcome for batch in batches]
        for outcome in request.outcomes:
            if outcome not in stored:
                yield Violation(Kind.UNEQUAL, request.thread, f"{request.marker}: an answer is not what is stored")
        for promised, kept in _promised(request.replies, batches):
            what = f"{request.marker}: run {promised} was promised, it is {kept}"
            yield Violation(Kind.UNEQUAL, request.thread, what)


def _contradicted(request: Request, batches: Sequence[Batch]) -> Iterator[str]:
    """What every answer says, also one that is pending."""
    times = {batch.accepted_at for batch in batches}
    for reply in request.replies:
        if reply.acknowledged and (reply.body["thread"] or {}).get("id") != request.thread:
            yield "thread than it was sent to"
        if reply.acknowledged and times and reply.body["acceptedAt"] not in times:
            yield "time than is stored"


def _promised(replies: Iterable[Reply], batches: Sequence[Batch]) -> Iterator[tuple[str, str]]:
    """Runs that pending answers name, where the outcome has others in their places."""
    outcomes = [batch.outcome["events"] for batch in batches if batch.outcome is not None]
    for reply in replies:
        if reply.acknowledged and reply.outcome is None:
            for results in outcomes:
                for n, promised in enumerate(reply.body.get("events", ())):
                    one, other = promised["run"], results[n]["run"]
                    if one is not None and other is not None and one["id"] != other["id"]:
                        yield one["id"], other["id"]


def check_effects(tables: Tables, others: frozenset[str] = frozenset()) -> Iterator[Violation]:
    """The runs, messages and events of each thread are those that the outcomes name, each once. Runs may be executed
    meanwhile: a `run.completed` is an interrupt's unless its run did complete.
    """
    batches = _by_thread(tables.batches)
    runs, events, messages = _by_thread(tables.runs), _by_thread(tables.events), _by_thread(tables.messages)
    completed = {run.id for run in tables.runs if run.status == "completed"}
    for thread in {*batches, *runs, *events} - others:
        told = [effects(batch) for batch in batches.get(thread, ())]
        started = [(text, run) for one in told for text, run in one.started.items()]
        cancelled = [run for one in told for run in one.cancelled]
        said = sorted((e for e in events.get(thread, ()) if e.type == "user.message"), key=lambda e: e.id)
        logged = [(e.content, e.run) for e in said]
        kept = [(m.text, m.run) for m in messages.get(thread, ())]
        ended = [e.run for e in events.get(thread, ()) if e.type == "run.completed" and e.run not in completed]
        yield from _compare(thread, "message in the log", started, logged)
        yield from _compare(thread, "message", started, kept)
        if kept != logged and Counter(kept) == Counter(logged):
            yield Violation(Kind.REORDERED, thread, "has messages in another order than its log")
        yield from _compare(thread, "run", [run for _, run in started], [r.id for r in runs.get(thread, ())])
        yield from _compare(thread, "run.completed", cancelled, ended)
        gone = [r.id for r in runs.get(thread, ()) if r.status == "cancelled"]
        yield from _compare(thread, "cancelled run", cancelled, gone)


def effects(batch: Batch) -> Effects:
    """What the outcome of a batch of user messages, interrupts and decisions says."""
    if batch.outcome is None:
        return Effects({}, ())
    warned = {(w["eventIndex"], w["code"]) for w in batch.outcome["warnings"]}
    started: dict[str, str] = {}
    cancelled: list[str] = []
    for n, (event, result) in enumerate(zip(_events(batch.events), batch.outcome["events"], strict=True)):
        run = result["run"]
        if event["type"] == "user_message" and run is not None:
            started[event["text"]] = run["id"]
        elif event["type"] == "user_interrupt" and run is not None and (n, "run_already_finished") not in warned:
            cancelled.append(run["id"])
    return Effects(started, tuple(cancelled))


def check_order(
    history: Sequence[Request], found: Sequence[Sequence[Batch]], events: Sequence[Event]
) -> Iterator[Violation]:
    """Per thread: the effects of two batches do not mingle, and come in real-time order."""
    places = {(e.thread, e.type, e.content if e.type == "user.message" else e.run): e.id for e in events}
    spans: dict[str, list[tuple[str, str, Request]]] = defaultdict(list)
    for request, batches in zip(history, found, strict=True):
        for batch in batches:
            ids = [place for what in _traces(batch) if (place := places.get((batch.thread, *what)))]
            if ids:
                spans[batch.thread].append((min(ids), max(ids), request))
    for thread, own in spans.items():
        yield from check_spans(thread, own)


def check_quiet(tables: Tables) -> Iterator[Violation]:
    for batch in tables.batches:
        if batch.parked:
            yield Violation(Kind.STUCK, batch.thread, f"batch {batch.id} is parked")
        elif batch.outcome is None:
            yield Violation(Kind.STUCK, batch.thread, f"batch {batch.id} is not applied")
    for thread in tables.threads:
        if thread.held:
            yield Violation(Kind.STUCK, thread.id, "is held")
    if tables.waiting:
        yield Violation(Kind.STUCK, "-", f"{tables.waiting} members are left in the waiting sets")


class Sent(Protocol):
    """What is known of a batch's or a call's time, by its clients' clock."""

    @property
    def marker(self) -> str: ...
    @property
    def began(self) -> float: ...
    @property
    def answered(self) -> float: ...


def check_spans(thread: str, spans: Iterable[tuple[str, str, Sent]]) -> Iterator[Violation]:
    """First and last place of what each did in its thread: they do not mingle, and are in real-time order."""
    latest: Sent | None = None  # of those with effects so far, the one that was sent last
    end = ""
    for first, last, request in sorted(spans, key=lambda span: span[0]):
        if first <= end:
            yield Violation(Kind.REORDERED, thread, f"{request.marker} begins inside another batch")
        if latest is not None and request.answered < latest.began:
            what = f"{request.marker} was answered before {latest.marker} was sent, and applied after it"
            yield Violation(Kind.REORDERED, thread, what)
        if latest is None or request.began > latest.began:
            latest = request
        end = max(end, last)


def _traces(batch: Batch) -> Iterator[tuple[str, str]]:
    told = effects(batch)
    yield from (("user.message", text) for text in told.started)
    yield from (("run.completed", run) for run in told.cancelled)


def _compare(thread: str, what: str, told: Sequence[object], stored: Sequence[object]) -> Iterator[Violation]:
    """As multisets: `told` by outcomes, `stored` in the tables."""
    expected, actual = Counter(told), Counter(stored)
    for value in expected - actual:
        yield Violation(Kind.LOST, thread, f"{what} {value} was reported and is not there")
    for value in actual - expected:
        kind = Kind.DUPLICATED if value in expected else Kind.UNASKED
        yield Violation(kind, thread, f"{what} {value} stands there and was not reported")


def _by_thread(rows: Iterable[Row]) -> dict[str, list[Row]]:
    grouped: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        grouped[row.thread].append(row)  # type: ignore[attr-defined]  # every row but a thread's has one
    return grouped


def _events(text: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = from_json(text)
    return events
