"""A history that is right, for tests to make it wrong: two messages, and an interrupt of the first one's run."""

from datetime import UTC, datetime, timedelta

from pydantic_core import to_json

from tests.faults.history import Document, Reply, Request
from tests.faults.tables import Batch, Event, Message, Run, Tables, Thread

T0 = datetime(2026, 1, 1, tzinfo=UTC)
THREAD = "T"


def said(marker: str) -> Document:
    return {"type": "user_message", "text": f"say {marker}"}


def outcome(*runs: str | None, warnings: list[Document] | None = None) -> Document:
    """An applied batch's: one result an event, each with the run it names."""
    events = [{"run": None if run is None else {"id": run}} for run in runs]
    return {"events": events, "thread": {"id": THREAD}, "warnings": warnings or []}


def answer(sent: float, ended: float, applied: Document, *, accepted: str = "now") -> Reply:
    return Reply(sent, ended, 200, {"acceptedAt": accepted, **applied})


def run(name: str, seq: int, status: str = "queued") -> Run:
    done = T0 if status == "cancelled" else None
    return Run(THREAD, name, seq, status, T0, done, T0, done)


def event(place: str, kind: str, run: str | None, content: str | None, at: int = 0) -> Event:
    return Event(THREAD, place, kind, run, content, T0 + timedelta(seconds=at))


FIRST = Request(THREAD, "m1-0", (said("m1-0"),), "a", [answer(0, 1, outcome("R0"))])
BEHIND = {"code": "queued_behind", "message": "", "eventIndex": 0, "runId": "R0"}
SECOND = Request(THREAD, "m1-1", (said("m1-1"),), None, [answer(2, 3, outcome("R1", warnings=[BEHIND]))])
THIRD = Request(THREAD, "m1-2", ({"type": "user_interrupt"},), "c", [answer(4, 5, outcome("R0"))])
HISTORY = [FIRST, SECOND, THIRD]


def stored(request: Request, number: int) -> Batch:
    events = to_json(request.events).decode()
    return Batch(THREAD, number, request.key, events, request.outcomes[-1], parked=False, accepted_at="now")


def tables() -> Tables:
    """Two messages, and an interrupt of the first one's run."""
    return Tables(
        threads=(Thread(THREAD, "RUNNING", 1, "R1", "E3", held=False),),
        batches=tuple(stored(request, n) for n, request in enumerate(HISTORY)),
        events=(
            event("E1", "user.message", "R0", "say m1-0", at=1),
            event("E2", "user.message", "R1", "say m1-1", at=2),
            event("E3", "run.completed", "R0", "R0", at=3),
        ),
        runs=(run("R0", 1, "cancelled"), run("R1", 2)),
        messages=(Message(THREAD, "R0", "say m1-0"), Message(THREAD, "R1", "say m1-1")),
    )
