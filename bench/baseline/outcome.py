"""The native JSON objects of run and thread, from the baseline's rows."""

from datetime import datetime
from typing import Any

from shared.documents import moment

Document = dict[str, Any]


def run_document(run: Document | None) -> Document | None:
    if run is None:
        return None
    return {
        "completedAt": _moment(run.get("completed_at")),
        "createdAt": moment(run["created_at"]),
        "error": None,
        "finalOutput": None,
        "id": run["id"],
        "startedAt": _moment(run.get("started_at")),
        "status": run["status"],
        "trigger": run["trigger"],
        "updatedAt": moment(run["updated_at"]),
    }


def thread_document(thread: Document) -> Document:
    return {
        "agent_id": thread["agent"],
        "attributed_user": None,
        "client_external_ref": thread["client_external_ref"],
        "created_at": moment(thread["created_at"]),
        "created_by": {"id": thread["created_by"], "kind": "human_pat"},
        "id": thread["id"],
        "kind": thread["kind"],
        "last_run_id": thread["last_run_id"],
        "source": "api",
        "status": thread["status"],
        "title": thread["title"],
        "updated_at": moment(thread["updated_at"]),
        "userId": thread["user_id"],
    }


def _moment(value: datetime | None) -> str | None:
    return None if value is None else moment(value)
