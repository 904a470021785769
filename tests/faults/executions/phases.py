"""Interrupts judged: which phase of its run each one met, and whether its answer and the rows are as they must be.

Pure functions over what the clients were told and the rows after quiet.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from tests.faults.executions import rows
from tests.faults.executions.answers import ASKED, echoed
from tests.faults.executions.rows import Event, Rows, Run
from tests.faults.executions.stage import TERMINAL, Document

ORPHANED_FOR = timedelta(seconds=4)  # after a kill: no lease can have run out yet, it has a beat of 2 s and lasts 6
JUST_ENDED = timedelta(milliseconds=20)  # a run that ended so shortly before its interrupt came was finishing


class Phase(StrEnum):
    QUEUED = "queued"
    STARTING = "starting"  # taken by a worker, and nothing said
    RUNNING = "running"  # in the middle of its text
    WAITING = "waiting"  # for a permission
    FINISHING = "finishing"  # all of its text said, or just ended
    ORPHANED = "owner killed"  # its worker dead, and nobody has noticed
    LATE = "late"  # long over


@dataclass(frozen=True, slots=True)
class Stop:
    """One interrupt as its client saw it."""

    run: str  # that it was meant for
    accepted_at: datetime
    result: Document  # of the interrupt: `run` as it was right after it
    warnings: tuple[str, ...]
    killed_at: datetime | None = None  # when the run's worker was killed, where it was


def phases_of(stops: Sequence[Stop], found: Rows, texts: Mapping[str, tuple[str, str]]) -> Counter[Phase]:
    """What the interrupts met, by what stands in the tables."""
    runs, logs = {run.id: run for run in found.runs}, found.logs()
    asking = {request.run for request in found.requests if request.state == "superseded"}
    return Counter(
        _phase(stop, runs[stop.run], logs[stop.run], texts[stop.run], asking=stop.run in asking) for stop in stops
    )


def _phase(stop: Stop, run: Run, log: Sequence[Event], asked: tuple[str, str], *, asking: bool) -> Phase:
    ended_at = run.completed_at or datetime.max.replace(tzinfo=UTC)
    if run.status != "cancelled":
        return Phase.FINISHING if ended_at > stop.accepted_at - JUST_ENDED else Phase.LATE
    if stop.killed_at is not None and ended_at < stop.killed_at + ORPHANED_FOR:
        return Phase.ORPHANED
    return Phase.WAITING if asking else _phase_of(log, asked)


def _phase_of(log: Sequence[Event], asked: tuple[str, str]) -> Phase:
    """Of a run that was cancelled while it was queued or at work."""
    if all(event.type != "run.started" for event in log):
        return Phase.QUEUED
    said = rows.spoken(log)
    if not said:
        return Phase.STARTING
    return Phase.FINISHING if said == whole(*asked) else Phase.RUNNING


def whole(agent: str, text: str) -> str:
    """All that a run says which is not interrupted, and whose permission is given."""
    return echoed(text) if agent == "echo" else ASKED + text


def check_answers(stops: Sequence[Stop], found: Rows) -> list[str]:
    """The run that an interrupt's answer names is terminal there, and cancelled where no warning says otherwise."""
    faults, status = [], {run.id: run.status for run in found.runs}
    for stop in stops:
        named = stop.result["run"]
        if named is None and set(stop.warnings) != {"no_active_run"}:
            faults.append(f"an interrupt of run {stop.run} hit nothing: {stop.warnings}")
        elif named is not None and (named["id"] != stop.run or named["status"] not in TERMINAL):
            faults.append(f"an interrupt of run {stop.run} was answered with {named}")
        elif named is not None and status[stop.run] != named["status"]:
            faults.append(f"run {stop.run} was answered as {named['status']} and is {status[stop.run]}")
        elif named is not None and not stop.warnings and named["status"] != "cancelled":
            faults.append(f"run {stop.run} was interrupted in time and is {named['status']}")
    return faults


def check_texts(found: Rows, texts: Mapping[str, tuple[str, str]]) -> list[str]:
    """That each run said what its agent says to the text that it answers."""
    return check_said(found, {run: whole(*asked) for run, asked in texts.items()})


def check_said(found: Rows, wholes: Mapping[str, str]) -> list[str]:
    """A run that was not interrupted in time said everything, any other a beginning of it; cut text is marked."""
    faults = [] if {run.id for run in found.runs} == set(wholes) else ["there are other runs than those asked for"]
    marked = {message.run for message in found.messages if message.status == "incomplete"}
    logs = found.logs()
    for run in found.runs:
        said, expected = rows.spoken(logs[run.id]), wholes.get(run.id, "")
        if not (said == expected if run.status == "completed" else expected.startswith(said)):
            faults.append(f"run {run.id} ({run.status}) said {said!r}, expected {expected!r}")
        if run.status not in ("completed", "cancelled"):
            faults.append(f"run {run.id} ended {run.status} ({run.error})")
        may_be_whole = said in (expected, ASKED)  # whether the message was ended before the interrupt, nobody knows
        if not may_be_whole and bool(said) != (run.id in marked):
            faults.append(f"run {run.id} ({run.status}) said {said!r}, and is marked: {run.id in marked}")
    return faults
