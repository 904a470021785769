"""Whether somebody asked for each thread and each batch that is there, and for no more of them. Pure functions.

A batch belongs to a request by its key, else by the marker in its events; the batch that made its thread belongs to
the thread. Refused here: what a batch did.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydantic_core import from_json

from tests.faults.history import MARKER, Creation, Document, Request
from tests.faults.tables import Batch, Tables
from tests.faults.violations import Kind, Violation


def match(history: Sequence[Request], batches: Iterable[Batch]) -> list[list[Batch]]:
    """The stored batches of each request. Raises ValueError on one that nothing tells from others."""
    by_key: dict[str, list[Batch]] = defaultdict(list)
    by_marker: dict[str, list[Batch]] = defaultdict(list)
    markers = {request.marker for request in history}
    for request in history:
        if request.key is None and request.marker not in MARKER.findall(str(request.events)):
            raise ValueError(f"{request.marker} has no key and does not stand in its events")
    for batch in batches:
        if batch.key is not None:
            by_key[batch.key].append(batch)
        for marker in set(MARKER.findall(batch.events)) & markers:
            by_marker[marker].append(batch)
    return [_unique([*by_key[r.key or ""], *by_marker[r.marker]]) for r in history]


def check_batches(
    history: Sequence[Request],
    found: Sequence[Sequence[Batch]],
    tables: Tables,
    others: frozenset[str],
    creations: Sequence[Creation],
) -> Iterator[Violation]:
    """Each batch is what a request of its thread asked for, or made its thread."""
    asked = set[int]()
    for request, batches in zip(history, found, strict=True):
        for batch in batches:
            asked.add(batch.id)
            if batch.thread != request.thread:
                yield Violation(Kind.UNASKED, batch.thread, f"{request.marker} is stored for another thread")
            elif batch.key != request.key:
                what = f"{request.marker} is stored under key {batch.key}, and was sent with {request.key}"
                yield Violation(Kind.UNASKED, batch.thread, what)
            elif [_gist(event) for event in request.events] != [_gist(event) for event in from_json(batch.events)]:
                yield Violation(Kind.UNASKED, batch.thread, f"{request.marker} is stored with other events")
    known, first = _known(history, tables.batches, creations), dict[str, int]()
    for batch in tables.batches:
        first[batch.thread] = min(batch.id, first.get(batch.thread, batch.id))
    for batch in tables.batches:
        makes = batch.thread in known and first[batch.thread] == batch.id and batch.events == "[]"
        if batch.id not in asked and batch.thread not in others and not makes:
            yield Violation(Kind.UNASKED, batch.thread, f"nobody sent batch {batch.id}: {batch.events[:100]}")


def check_threads(history: Sequence[Request], tables: Tables, creations: Sequence[Creation]) -> Iterator[Violation]:
    """Each answered creation made one thread, any other at most one, and nothing else made any. What was answered for
    or holds a batch is there.
    """
    there = {thread.id for thread in tables.threads}
    for creation, made in zip(creations, _made(tables.batches, creations), strict=True):
        if len(made) > 1:
            yield Violation(Kind.DUPLICATED, min(made), f"creation {creation.key} made {', '.join(sorted(made))}")
        for thread in creation.threads - there:
            yield Violation(Kind.LOST, thread, "was answered for and is not there")
    answered = {request.thread for request in history if request.acknowledged}
    for thread in sorted((answered | {batch.thread for batch in tables.batches}) - there):
        yield Violation(Kind.LOST, thread, "has batches, and is not there")
    for thread in sorted(there - _known(history, tables.batches, creations)):
        yield Violation(Kind.UNASKED, thread, "nobody made this thread")


def _known(history: Sequence[Request], batches: Sequence[Batch], creations: Sequence[Creation]) -> set[str]:
    """The threads that somebody asked for."""
    return {request.thread for request in history}.union(*_made(batches, creations))


def _made(batches: Sequence[Batch], creations: Sequence[Creation]) -> list[set[str]]:
    """What each creation made: what its answers name, and whatever began under its key."""
    by_key: dict[str | None, set[str]] = defaultdict(set)
    for batch in batches:
        by_key[batch.key].add(batch.thread)
    by_key.pop(None, None)  # all that had none
    return [{*creation.threads, *by_key.get(creation.key, ())} for creation in creations]


def _gist(event: Document) -> tuple[Any, ...]:
    """What it says, in the words in which it is sent as in those in which it is stored. The run that was minted for a
    message is nobody's wish.
    """
    kind = event["type"]
    if kind == "user_interrupt":
        return kind, event.get("runId") or event.get("run")
    if kind == "permission_decision":
        allow = event["allow"] if "allow" in event else event["decision"] == "allow_once"
        return kind, event["request"] if "request" in event else event["requestId"], allow, event.get("note")
    name = event.get("client_request_id") or event.get("clientRequestId")
    return kind, event.get("text"), name, event.get("on_busy")


def _unique(batches: Iterable[Batch]) -> list[Batch]:
    return list({batch.id: batch for batch in batches}.values())
