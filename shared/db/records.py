"""Rows of Postgres as the records of `shared.models`. The columns' names are the fields' names."""

from typing import Any

import asyncpg
from pydantic_core import from_json

from shared.models import (
    PermissionRequest,
    RequestState,
    Run,
    RunError,
    RunStatus,
    Steer,
    Thread,
    ThreadStatus,
    TokenKind,
    Trigger,
)
from shared.views import ThreadView

_STATUS = {status.value: status for status in RunStatus}  # a look-up is a third of a call of the Enum
_THREAD_STATUS = {status.value: status for status in ThreadStatus}
_TRIGGER = {trigger.value: trigger for trigger in Trigger}
_KIND = {kind.value: kind for kind in TokenKind}


def thread_of(row: asyncpg.Record) -> Thread:
    return Thread(
        partition=row["partition"],
        id=row["id"],
        account=row["account"],
        agent=row["agent"],
        kind=row["kind"],
        title=row["title"],
        user_id=row["user_id"],
        client_external_ref=row["client_external_ref"],
        attributed_user=row["attributed_user"],
        created_by=row["created_by"],
        created_by_kind=_KIND[row["created_by_kind"]],
        status=_THREAD_STATUS[row["status"]],
        active_runs=row["active_runs"],
        last_run_id=row["last_run_id"],
        last_run_seq=row["last_run_seq"],
        last_event_id=row["last_event_id"],
        held=row["held"],
        archived_at=row["archived_at"],
        deleted_at=row["deleted_at"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        ready_at=row["ready_at"],
    )


def thread_view_of(row: asyncpg.Record) -> ThreadView:
    """From a row that ends with the columns of a ThreadView, in their order."""
    return ThreadView._make(row[-len(ThreadView._fields) :])


def run_of(row: asyncpg.Record) -> Run:
    return Run(
        id=row["id"],
        seq=row["seq"],
        status=_STATUS[row["status"]],
        trigger=_TRIGGER[row["trigger"]],
        created_at=row["created_at"],
        started_at=row["started_at"],
        updated_at=row["updated_at"],
        completed_at=row["completed_at"],
        error=run_error_of(row["error"]),
        attempt=row["attempt"],
    )


def queued_run_of(row: asyncpg.Record) -> Run:
    """A run that is not terminal, from columns that stand beside its thread's."""
    return Run(
        id=row["run_id"],
        seq=row["run_seq"],
        status=_STATUS[row["run_status"]],
        trigger=_TRIGGER[row["run_trigger"]],
        created_at=row["run_created_at"],
        started_at=row["run_started_at"],
        updated_at=row["run_updated_at"],
        completed_at=None,
        error=run_error_of(row["run_error"]),
        attempt=row["run_attempt"],
    )


def run_error_of(text: str | None) -> RunError | None:
    if text is None:
        return None
    value: dict[str, Any] = from_json(text)
    return RunError(value["code"], value["message"], value["retryable"])


def request_of(row: asyncpg.Record) -> PermissionRequest:
    return PermissionRequest(
        id=row["id"],
        run=row["run"],
        state=RequestState(row["state"]),
        expires_at=row["expires_at"],
        note=row["note"],
    )


def steer_of(row: asyncpg.Record) -> Steer:
    return Steer(run=row["run"], target=row["target"], event=row["event"], text=row["text"], settled=row["settled"])
