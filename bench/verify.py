"""After each run: is what was answered what stands in the tables? A figure over wrong rows is no figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from bench.load import Answers, Load
from shared.db.statements import statements

SQL = statements("figures", "bench")


class Unsound(Exception):
    """The rows are not what the answers said: this run counts for nothing."""


@dataclass(frozen=True, slots=True)
class Tally:
    """The batches of one run; times in ms from accepted to applied, both of the row."""

    rows: int
    applied: int
    seconds: float  # from the first accepted to the last applied
    p50_ms: float
    p99_ms: float
    max_ms: float


async def tally(db: asyncpg.Connection, threads: Sequence[str] | None = None, since: datetime | None = None) -> Tally:
    """The batches of these threads, or of all; accepted at `since` or later."""
    return Tally(**await db.fetchrow(SQL["tally"], threads, since))


async def verify(db: asyncpg.Connection, rows: Tally, answers: Answers, load: Load) -> None:
    """Raises Unsound where a batch is missing, applied twice, or did not do what its outcome says."""
    if problems := [*_counts(rows, answers, load), *_effects(await db.fetchrow(SQL["consistency"]))]:
        raise Unsound("; ".join(problems))


def verify_counts(rows: Tally, answers: Answers, load: Load) -> None:
    """As `verify`, for threads that were not empty before the run. Raises Unsound."""
    if problems := _counts(rows, answers, load):
        raise Unsound("; ".join(problems))


def _counts(rows: Tally, answers: Answers, load: Load) -> Sequence[str]:
    """Every acknowledged batch is a row, and applied. wrk leaves at most one request a client unanswered."""
    unanswered = load.clients if answers.generator == "wrk" else 0
    problems = []
    if answers.refused or answers.broken or not answers.answers:
        problems.append(f"{answers.answers} answers, {answers.refused} refused, {answers.broken} broken")
    if rows.applied != rows.rows:
        problems.append(f"{rows.rows - rows.applied} of {rows.rows} batches not applied")
    if not answers.answers <= rows.rows <= answers.answers + unanswered:
        problems.append(f"{answers.answers} answers, but {rows.rows} batches")
    return problems


def _effects(found: asyncpg.Record) -> Sequence[str]:
    """What the outcomes say against what the tables hold."""
    equal = (
        ("messages_sent", found["messages_that_started_runs"] + found["messages_refused"]),
        ("messages_that_started_runs", found["runs"]),
        ("runs", found["messages"]),
        ("messages", found["message_events"]),
        ("interrupts_that_hit", found["runs_cancelled"]),
        ("runs_cancelled", found["completed_events"]),
        ("decisions_on_nothing", found["decisions_sent"]),
        ("threads_active_runs", found["runs_open"]),
        ("threads_run_seqs", found["runs"]),
        ("threads_wrong_status", 0),
    )
    return [f"{name} is {found[name]}, not {value}" for name, value in equal if found[name] != value]
