"""Submissions as the columns that the inbox's statements take: one list a parameter, in the statement's order."""

from collections.abc import Sequence
from typing import Any

from pydantic_core import to_json

from api.submission import Passes, Submission


def _common(submissions: Sequence[Submission], reply_to: str) -> list[list[object]]:
    return [
        [s.ref for s in submissions],
        [s.partition for s in submissions],
        [s.thread for s in submissions],
        [s.account for s in submissions],
        [s.token for s in submissions],
        [s.events for s in submissions],
        [reply_to if s.reply else None for s in submissions],
    ]


def _keys(submissions: Sequence[Submission]) -> list[list[object]]:
    keyed = [s.idempotency for s in submissions]
    return [[k and k.key for k in keyed], [k and k.route for k in keyed], [k and k.digest for k in keyed]]


def _bases(submissions: Sequence[Submission]) -> list[object]:
    return [s.idempotency and s.idempotency.basis for s in submissions]


def _traceparents(submissions: Sequence[Submission]) -> list[object]:
    """Nothing at all where there are none: `unnest` fills up what is short."""
    found: list[object] = [s.traceparent for s in submissions]
    return found if any(found) else []


def columns_of_accepts(submissions: Sequence[Submission], reply_to: str) -> list[list[object]]:
    passes: list[object] = [
        (1 if Passes.ARCHIVED in s.passes else 0) + (2 if Passes.HELD in s.passes else 0) if s.passes else 0
        for s in submissions
    ]
    return [
        *_common(submissions, reply_to),
        passes,
        *_keys(submissions),
        _bases(submissions),
        _traceparents(submissions),
    ]


def columns_of_creates(submissions: Sequence[Submission], reply_to: str) -> list[list[object]]:
    new = [s.new for s in submissions if s.new is not None]
    return [
        *_common(submissions, reply_to),
        *_keys(submissions),
        _bases(submissions),
        [n.agent for n in new],
        [n.created_by_kind for n in new],
        [n.kind for n in new],
        [n.user_id for n in new],
        [n.client_external_ref for n in new],
        [n.attributed_user for n in new],
        [n.origin_application for n in new],
        [None if n.metadata is None else to_json(n.metadata).decode() for n in new],
        _traceparents(submissions),
    ]


def asked(submissions: Sequence[Submission], reply_to: str) -> tuple[str, list[Any]]:
    """The statement that takes submissions of one kind, and its arguments. One with files goes by itself."""
    new, files = submissions[0].new is not None, submissions[0].files
    columns = columns_of_creates(submissions, reply_to) if new else columns_of_accepts(submissions, reply_to)
    name = "create" if new else "accept"
    if not files:
        return name, columns
    (_,) = submissions
    return f"{name}_with_files", [*(column[0] if column else None for column in columns), [file.id for file in files]]


def columns_of_keys(submissions: Sequence[Submission]) -> list[list[object]]:
    """Of submissions that have a key."""
    return [[s.token for s in submissions], *_keys(submissions)]
