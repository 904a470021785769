"""What the rows of `sql/inbox.sql` say of a submission: that it is in, or why it is not. Pure."""

from collections.abc import Sequence

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
    Refused,
    Replay,
    Submission,
    Unattachable,
)
from shared.db.records import thread_view_of

# Why a file can't be attached. Another account's is as unknown as one that does not exist.
_WHY = {
    "unknown": "was not found",
    "attached": "is attached already",
    "not_yours": "was uploaded with another token",
    "other_agent": "was uploaded to another agent",
    "not_ready": "is not ready: its upload is not over",
}


def fresh(row: asyncpg.Record) -> Fresh:
    return Fresh(row["batch"], row["accepted_at"], None if row["id"] is None else thread_view_of(row))


def refused(submission: Submission, row: asyncpg.Record) -> Refused:
    """Why a row without a key, or with a key that nobody holds, did not go in."""
    if not row["found"]:
        return Missing()
    if row["archived"] and Passes.ARCHIVED not in submission.passes:
        return Archived()
    return _unattachable(submission, row["refusals"]) if submission.files and row["takes"] else Held()


def _unattachable(submission: Submission, refusals: Sequence[str | None]) -> Unattachable:
    told = zip(submission.files, refusals, strict=True)
    return Unattachable(tuple(f"Attachment {file.name} {_WHY[why]}." for file, why in told if why is not None))


def judged(row: asyncpg.Record) -> Judged:
    """What became of the one that has the key already."""
    if not row["same"]:
        return Mismatch()
    if row["outcome"] is not None:
        return Replay(row["accepted_at"], row["outcome"], row["basis"])
    return Parked() if row["parked"] else InFlight()
