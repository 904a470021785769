"""What the rows of `sql/inbox.sql` say of a submission: that it is in, or why it is not. Pure."""

import asyncpg

from api.submission import (
    Archived,
    Fresh,
    Held,
    InFlight,
    Judged,
    Mismatch,
    Missing,
    Parked,
    Passes,
    Replay,
    Submission,
    Verdict,
)
from shared.db.records import thread_view_of


def fresh(row: asyncpg.Record) -> Fresh:
    return Fresh(row["batch"], row["accepted_at"], None if row["id"] is None else thread_view_of(row))


def refused(submission: Submission, row: asyncpg.Record) -> Verdict:
    """Why a row without a key, or with a key that nobody holds, did not go in."""
    if not row["found"]:
        return Missing()
    return Archived() if row["archived"] and Passes.ARCHIVED not in submission.passes else Held()


def judged(row: asyncpg.Record) -> Judged:
    """What became of the one that has the key already."""
    if not row["same"]:
        return Mismatch()
    if row["outcome"] is not None:
        return Replay(row["accepted_at"], row["outcome"], row["basis"])
    return Parked() if row["parked"] else InFlight()
